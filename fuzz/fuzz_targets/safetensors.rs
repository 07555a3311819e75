//! Loads arbitrary bytes as a checkpoint. Loading must return an error, or a model whose scores are finite.
//!
//! The first byte selects whether the rest is a whole file or only a header, to which this target adds the length and a fixture's
//! weights. A reader's mistakes are in the header, which is a tenth of the fixture's file.
#![no_main]

use bertless::{Model, ModelFiles, ModelOptions};
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../../fixtures/models/bert-classify/config.json");
const VOCABULARY: &[u8] = include_bytes!("../../fixtures/models/bert-classify/vocab.txt");
const WHOLE: &[u8] = include_bytes!("../../fixtures/models/bert-classify/model.safetensors");

/// Returns a file with this header and the fixture's weights.
fn with_header(header: &[u8]) -> Vec<u8> {
    let (length, rest) = WHOLE.split_first_chunk().unwrap();
    let weights = &rest[u64::from_le_bytes(*length) as usize..];
    [&(header.len() as u64).to_le_bytes(), header, weights].concat()
}

fuzz_target!(|data: &[u8]| {
    let Some((which, rest)) = data.split_first() else {
        return;
    };
    let file = match which % 2 {
        0 => with_header(rest),
        _ => rest.to_vec(),
    };
    let files = ModelFiles::new()
        .with("config.json", CONFIG)
        .with("vocab.txt", VOCABULARY)
        .with("model.safetensors", file);
    if let Ok(model) = Model::from_files_with(files, ModelOptions::new().threads(1))
        && let Ok(prediction) = model.predict("The quick brown fox.")
    {
        assert!(prediction.score().is_some_and(f32::is_finite));
    }
});
