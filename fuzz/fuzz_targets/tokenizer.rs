//! Any bytes as a tokenizer's files: an error, or encodings that stay inside the text.
#![no_main]

use bertless::{ModelFiles, Tokenizer, Truncation};
use libfuzzer_sys::fuzz_target;

const VOCABULARY: &[u8] = include_bytes!("../../fixtures/models/bert-classify/vocab.txt");
const JSON: &[u8] = include_bytes!("../../fixtures/models/bert-tokens/tokenizer.json");
const BERT: &[u8] = br#"{"model_type": "bert"}"#;
const NAMES: [&str; 6] = [
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
];
const TEXT: &str = "The quick [MASK] fox, naïve 你好 <s> unbelievable\u{301}!";

fuzz_target!(|data: &[u8]| {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    let mut files = ModelFiles::new().with("vocab.txt", VOCABULARY);
    // Half of the inputs are a file beside a tokenizer.json, which a class of BERT's reads in another way.
    if which & 128 != 0 {
        files = files.with("tokenizer.json", JSON).with("config.json", BERT);
    }
    let files = files.with(
        NAMES[usize::from(*which & 127) % NAMES.len()],
        bytes.to_vec(),
    );
    let Ok(tokenizer) = Tokenizer::from_files(files) else {
        return;
    };
    for warning in tokenizer.warnings() {
        // What is quoted is cut to 200 characters, of which each may be escaped as ten.
        assert!(warning.to_string().len() < 2500);
    }
    for truncation in [None, Some(Truncation::to(usize::from(*which)))] {
        if let Ok(encoding) = tokenizer.encode((TEXT, TEXT), truncation.as_ref()) {
            for &(start, end) in &encoding.offsets {
                assert!(TEXT.get(start as usize..end as usize).is_some());
            }
        }
    }
});
