//! Loads a model with arbitrary bytes as one of its JSON files. Loading must return an error, or a model that answers without a
//! panic. The first byte of the input selects the file.
#![no_main]

use bertless::{Model, ModelFiles, ModelOptions};
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../../fixtures/models/sentence-max/config.json");
const WEIGHTS: &[u8] = include_bytes!("../../fixtures/models/sentence-max/model.safetensors");
const TOKENIZER: &[u8] = include_bytes!("../../fixtures/models/sentence-max/tokenizer.json");
const MODULES: &[u8] = include_bytes!("../../fixtures/models/sentence-max/modules.json");
const POOLING: &[u8] = include_bytes!("../../fixtures/models/sentence-max/1_Pooling/config.json");
const DENSE: &[u8] = include_bytes!("../../fixtures/models/sentence-max/2_Dense/config.json");
const DENSE_WEIGHTS: &[u8] =
    include_bytes!("../../fixtures/models/sentence-max/2_Dense/model.safetensors");

const NAMES: [&str; 6] = [
    "config.json",
    "modules.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

fuzz_target!(|data: &[u8]| {
    let Some((which, json)) = data.split_first() else {
        return;
    };
    let files = ModelFiles::new()
        .with("config.json", CONFIG)
        .with("model.safetensors", WEIGHTS)
        .with("tokenizer.json", TOKENIZER)
        .with("modules.json", MODULES)
        .with("1_Pooling/config.json", POOLING)
        .with("2_Dense/config.json", DENSE)
        .with("2_Dense/model.safetensors", DENSE_WEIGHTS)
        .with(NAMES[usize::from(*which) % NAMES.len()], json.to_vec());
    if let Ok(model) = Model::from_files_with(files, ModelOptions::new().threads(1)) {
        let _ = model.predict("The quick brown fox.");
    }
});
