//! Loads a tokenizer with arbitrary bytes as one of its files. Loading must return an error, or a tokenizer whose offsets lie inside
//! the text. The first byte of the input selects the file.
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
    // For half of the inputs there is also a tokenizer.json and a config.json of BERT, which makes the tokenizer read the other files
    // differently.
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
        // A warning quotes at most 200 characters of a file, each of which may be escaped as ten.
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
