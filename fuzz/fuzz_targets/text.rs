//! Predicts arbitrary texts with a model of each task. The spans of the answers must lie inside the text.
#![no_main]

use std::sync::LazyLock;

use bertless::{Model, ModelFiles, ModelOptions, Prediction};
use libfuzzer_sys::fuzz_target;

macro_rules! model {
    ($name:literal) => {
        LazyLock::new(|| {
            let files = ModelFiles::new()
                .with(
                    "config.json",
                    include_bytes!(concat!("../../fixtures/models/", $name, "/config.json")),
                )
                .with(
                    "model.safetensors",
                    include_bytes!(concat!(
                        "../../fixtures/models/",
                        $name,
                        "/model.safetensors"
                    )),
                )
                .with("vocab.txt", VOCABULARY);
            Model::from_files_with(files, ModelOptions::new().threads(1)).unwrap()
        })
    };
}

const VOCABULARY: &[u8] = include_bytes!("../../fixtures/models/bert-classify/vocab.txt");
static MODELS: [LazyLock<Model>; 4] = [
    model!("bert-classify"),
    model!("bert-tokens"),
    model!("bert-mask"),
    model!("bert-question"),
];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for model in &MODELS {
        if let Ok(Prediction::Entities(answer)) = model.predict(text) {
            for entity in &answer.entities {
                assert_eq!(text[entity.bytes.clone()], entity.text);
            }
        }
        if let Ok(Prediction::Answer(answer)) = model.predict(("what is it", text)) {
            assert_eq!(text[answer.bytes.clone()], answer.answer);
        }
    }
});
