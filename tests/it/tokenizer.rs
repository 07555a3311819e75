//! Comparison of the tokenizer with committed references (`fixtures/tokenizer_reference.py` writes them), and its
//! invariants on random strings. `tests/parity/run.py` compares whole vocabularies and all of Unicode.

use std::path::Path;

use bertless::{Input, ModelFiles, Tokenizer, Truncation, TruncationStrategy};
use proptest::prelude::*;
use serde_json::{Value, json};

fn fixture(path: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures")
            .join(path),
    )
    .unwrap()
}

/// What the tokenizer says, in the references' form; `null` for an error.
fn answer(tokenizer: &Tokenizer, request: &Value) -> Value {
    let first = request[0].as_str().unwrap();
    let input = match request[1].as_str() {
        Some(second) => Input::Pair(first, second),
        None => Input::Text(first),
    };
    let windows = match request[2].as_u64() {
        None => tokenizer.encode(input, None).map(|encoding| vec![encoding]),
        Some(max_length) => {
            let truncation = Truncation {
                max_length: max_length as usize,
                strategy: match request[3].as_str().unwrap() {
                    "only_first" => TruncationStrategy::OnlyFirst,
                    "only_second" => TruncationStrategy::OnlySecond,
                    _ => TruncationStrategy::LongestFirst,
                },
                stride: request[4].as_u64().unwrap() as usize,
            };
            tokenizer.encode_windows(input, &truncation)
        }
    };
    let Ok(windows) = windows else {
        return Value::Null;
    };
    let window = |encoding: &bertless::Encoding| {
        let mask: Vec<u8> = encoding
            .special_tokens_mask()
            .into_iter()
            .map(u8::from)
            .collect();
        let offsets = encoding.char_offsets(input);
        json!([
            encoding.ids,
            encoding.type_ids,
            offsets,
            encoding.words,
            mask
        ])
    };
    Value::Array(windows.iter().map(window).collect())
}

/// The vocabulary of a `tokenizer.json` as `vocab.txt` has it.
fn vocabulary(tokenizer: &Value) -> Vec<u8> {
    let vocab = tokenizer["model"]["vocab"].as_object().unwrap();
    let mut tokens: Vec<_> = vocab
        .iter()
        .map(|(token, id)| (id.as_u64(), token))
        .collect();
    tokens.sort();
    let lines = tokens.into_iter().map(|(_, token)| format!("{token}\n"));
    lines.collect::<String>().into_bytes()
}

/// Through `tokenizer.json`; through `vocab.txt` with `tokenizer_config.json`; and through the `tokenizer.json` of another
/// setting, over which the config stands.
#[test]
fn references_in_every_setting_and_every_way_in() {
    let reference: Value = serde_json::from_slice(&fixture("tokenizer/reference.json")).unwrap();
    let requests = reference["requests"].as_array().unwrap();
    let cases = reference["cases"].as_array().unwrap();
    let bytes = |value: &Value| serde_json::to_vec(value).unwrap();
    let mut compared = 0;
    for case in cases {
        let json = ModelFiles::new().with("tokenizer.json", bytes(&case["tokenizer"]));
        let mut ways = vec![("tokenizer.json", json)];
        if case["config"].is_object() {
            let mut config = case["config"].clone();
            config["tokenizer_class"] = "BertTokenizer".into();
            let config = ModelFiles::new().with("tokenizer_config.json", bytes(&config));
            let text = config
                .clone()
                .with("vocab.txt", vocabulary(&case["tokenizer"]));
            ways.push(("vocab.txt", text));
            let other = config.with("tokenizer.json", bytes(&cases[0]["tokenizer"]));
            ways.push(("tokenizer_config.json", other));
        }
        for (way, files) in ways {
            let tokenizer = Tokenizer::from_files(files).unwrap();
            let answers = case["answers"].as_array().unwrap();
            assert_eq!(requests.len(), answers.len());
            for (request, expected) in requests.iter().zip(answers) {
                let setting = &case["tokenizer"]["normalizer"];
                let got = answer(&tokenizer, request);
                assert_eq!(&got, expected, "{way}, {setting}: {request}");
                compared += 1;
            }
        }
    }
    assert!(compared > 20 * requests.len() - 1, "{compared}");
}

fn small() -> Tokenizer {
    let files = ModelFiles::new().with("vocab.txt", fixture("models/bert-classify/vocab.txt"));
    Tokenizer::from_files(files).unwrap()
}

/// Tests that a pair is truncated if tokens of either text are cut off, and only then.
#[test]
fn a_pair_is_truncated_if_either_text_is() {
    let tokenizer = small();
    let whole = tokenizer.encode(("a film", "a good film"), None).unwrap();
    for (strategy, max_length) in [
        (TruncationStrategy::OnlyFirst, whole.len() - 1),
        (TruncationStrategy::OnlySecond, whole.len() - 1),
        (TruncationStrategy::LongestFirst, whole.len() - 1),
        (TruncationStrategy::OnlySecond, whole.len()),
    ] {
        let truncation = Truncation {
            strategy,
            ..Truncation::to(max_length)
        };
        let encoding = tokenizer
            .encode(("a film", "a good film"), Some(&truncation))
            .unwrap();
        assert_eq!(encoding.len(), max_length);
        assert_eq!(encoding.truncated, max_length < whole.len(), "{strategy}");
    }
}

/// Tests ids at the ends of the vocabulary: the unknown token, and a token that is added behind all others.
#[test]
fn ids_at_the_ends_of_the_vocabulary() {
    let vocabulary = b"[PAD]\n[CLS]\n[SEP]\n[MASK]\na\n[UNK]\n";
    let files = ModelFiles::new().with("vocab.txt", vocabulary);
    let plain = Tokenizer::from_files(files.clone()).unwrap();
    assert_eq!((plain.vocab_size(), plain.unk_id()), (6, 5));
    assert_eq!(plain.encode("a b", None).unwrap().ids, [1, 4, 5, 2]);
    let added = br#"{"<far>": 6}"#;
    let tokenizer = Tokenizer::from_files(files.with("added_tokens.json", added)).unwrap();
    assert_eq!(tokenizer.vocab_size(), 7);
    assert_eq!(tokenizer.id_to_token(6), Some("<far>"));
    assert_eq!(tokenizer.id_to_token(7), None);
}

/// Any text, and texts of what is hard: marks, ideographs, special tokens, white space of all kinds.
fn text() -> impl Strategy<Value = String> {
    let hard = prop::sample::select(vec![
        "a", "É", "e\u{301}", "\u{323}", "\u{344}", "\u{f73}", "한", "中", "[MASK]", "[SEP]", " ",
        "\t", "\u{85}", "\u{3000}", "\0", "\u{200b}", "İ", "##ing", "!", "—", "😀", "the", "film",
    ]);
    prop_oneof![
        any::<String>(),
        prop::collection::vec(hard, 0..40).prop_map(|pieces| pieces.concat()),
    ]
}

proptest! {
    #[test]
    fn tokens_stand_in_their_text_in_order(text in text()) {
        let tokenizer = small();
        let encoding = tokenizer.encode(text.as_str(), None).unwrap();
        prop_assert!(!encoding.truncated);
        let mut word = None;
        let mut reached = 0;
        for index in 0..encoding.len() {
            prop_assert!((encoding.ids[index] as usize) < tokenizer.vocab_size());
            let (start, end) = encoding.offsets[index];
            if encoding.sequences[index].is_none() {
                prop_assert_eq!((start, end), (0, 0));
                continue;
            }
            prop_assert!(text.get(start as usize..end as usize).is_some_and(|piece| !piece.is_empty()));
            prop_assert!(start >= reached);
            reached = start;
            prop_assert!(encoding.words[index] >= word);
            word = encoding.words[index];
        }
    }

    #[test]
    fn white_space_around_a_text_is_nothing(text in text()) {
        let tokenizer = small();
        let plain = tokenizer.encode(text.as_str(), None).unwrap();
        let padded = tokenizer.encode(format!(" \n{text} ").as_str(), None).unwrap();
        prop_assert_eq!(plain.ids, padded.ids);
    }

    #[test]
    fn windows_cover_all_tokens(text in text(), max_length in 4usize..20, stride in 0usize..4) {
        let tokenizer = small();
        let truncation = Truncation { max_length, stride, ..Truncation::to(max_length) };
        prop_assume!(stride < max_length - 2);
        let whole = tokenizer.encode(text.as_str(), None).unwrap();
        let windows = tokenizer.encode_windows(text.as_str(), &truncation).unwrap();
        let mut joined = Vec::new();
        for (index, window) in windows.iter().enumerate() {
            prop_assert!(window.len() <= max_length);
            let own = &window.ids[1..window.len() - 1];
            joined.extend_from_slice(if index == 0 { own } else { &own[stride..] });
        }
        prop_assert_eq!(&joined, &whole.ids[1..whole.len() - 1]);
        let cut = tokenizer.encode(text.as_str(), Some(&truncation)).unwrap();
        prop_assert_eq!(&cut.ids, &windows[0].ids);
        prop_assert_eq!(cut.truncated, windows.len() > 1);
    }
}
