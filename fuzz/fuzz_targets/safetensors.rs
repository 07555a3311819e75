//! Any bytes as a checkpoint: an error, or a model that answers with numbers.
#![no_main]

use bertless::{Files, Model, ModelOptions};
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../../fixtures/models/bert-classify/config.json");
const VOCABULARY: &[u8] = include_bytes!("../../fixtures/models/bert-classify/vocab.txt");

fuzz_target!(|data: &[u8]| {
    let files = Files::new()
        .with("config.json", CONFIG)
        .with("vocab.txt", VOCABULARY)
        .with("model.safetensors", data.to_vec());
    if let Ok(model) = Model::from_parts_with(files, ModelOptions::new().threads(1))
        && let Ok(prediction) = model.predict("The quick brown fox.")
    {
        assert!(prediction.score().is_some_and(f32::is_finite));
    }
});
