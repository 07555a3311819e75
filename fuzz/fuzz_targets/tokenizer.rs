//! Any bytes as a tokenizer's files: an error, or encodings that stay inside the text.
#![no_main]

use bertless::{Files, Tokenizer, Truncation};
use libfuzzer_sys::fuzz_target;

const VOCABULARY: &[u8] = include_bytes!("../../fixtures/models/bert-classify/vocab.txt");
const NAMES: [&str; 5] = [
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];
const TEXT: &str = "The quick [MASK] fox, naïve 你好 <s> unbelievable\u{301}!";

fuzz_target!(|data: &[u8]| {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    let files = Files::new()
        .with("vocab.txt", VOCABULARY)
        .with(NAMES[usize::from(*which) % NAMES.len()], bytes.to_vec());
    let Ok(tokenizer) = Tokenizer::from_parts(files) else {
        return;
    };
    for truncation in [None, Some(Truncation::to(usize::from(*which)))] {
        if let Ok(encoding) = tokenizer.encode((TEXT, TEXT), truncation.as_ref()) {
            for &(start, end) in &encoding.offsets {
                assert!(TEXT.get(start as usize..end as usize).is_some());
            }
        }
    }
});
