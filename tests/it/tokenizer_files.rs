//! Comparison with transformers of how a tokenizer's files are read (`fixtures/tokenizer_folders.py` writes the
//! references).

use std::collections::BTreeMap;

use crate::folders::Folders;
use bertless::{ModelFiles, Tokenizer, TokenizerWarning, Truncation};
use serde_json::{Value, json};

type Texts = BTreeMap<String, String>;

fn tokenizer(files: Texts) -> bertless::Result<Tokenizer> {
    let files = files.into_iter();
    let add =
        |files: ModelFiles, (name, text): (String, String)| files.with(name, text.into_bytes());
    Tokenizer::from_files(files.fold(ModelFiles::new(), add))
}

/// Ids of each text, by what the files of a folder say; `null` for a folder that is an error.
fn ids(files: Texts, texts: &[Value]) -> Value {
    let Ok(tokenizer) = tokenizer(files) else {
        return Value::Null;
    };
    let ids = |text: &Value| tokenizer.encode(text.as_str().unwrap(), None).unwrap().ids;
    texts.iter().map(|text| json!(ids(text))).collect()
}

/// The folders that are committed, and, where `BERTLESS_FOLDERS` names a file of the script's, random ones.
#[test]
fn every_file_of_a_folder_counts_as_in_transformers() {
    let random = std::env::var_os("BERTLESS_FOLDERS").map(|file| Folders::read(file.as_ref()));
    let mut wrong = Vec::new();
    for (folders, is_random) in [(Some(Folders::committed()), false), (random, true)] {
        let Some(folders) = folders else {
            continue;
        };
        for case in folders.cases() {
            let (got, expected) = (ids(folders.files(case), folders.texts()), &case["ids"]);
            // What transformers refuses may be of use here.
            if &got != expected && !(is_random && expected.is_null()) {
                wrong.push(format!("{case}\n  got {got}"));
            }
        }
    }
    let count = wrong.len();
    assert!(wrong.is_empty(), "{count} wrong:\n{}", wrong.join("\n"));
}

fn case<'a>(folders: &'a Folders, name: &str) -> &'a Value {
    let mut cases = folders.cases().iter();
    cases.find(|case| case["name"] == name).unwrap()
}

#[test]
fn every_class_of_transformers_is_read_as_it_reads_a_folder_or_is_refused_by_name() {
    let folders = Folders::committed();
    let with_class = |name: &str, class: &str| {
        let config = json!({"tokenizer_class": class, "do_lower_case": false});
        let mut files = folders.files(case(&folders, name));
        files.insert("tokenizer_config.json".to_owned(), config.to_string());
        files
    };
    let texts = folders.texts();
    let cased = &case(&folders, "cased")["ids"];
    let refused =
        |files| tokenizer(files).map_or_else(|error| error.to_string(), |_| String::new());
    for (name, scheme) in folders.0["classes"].as_object().unwrap() {
        for name in [name.clone(), format!("{name}Fast")] {
            let lines = || with_class("plain", &name);
            let json = || with_class("json-none-added", &name);
            match scheme.as_str().unwrap() {
                "bert" => {
                    assert_eq!(&ids(lines(), texts), cased, "{name}");
                    assert_eq!(&ids(json(), texts), cased, "{name}");
                }
                "mpnet" => assert_ne!(ids(lines(), texts), Value::Null, "{name}"),
                "file" => {
                    let error = refused(lines());
                    let says = [&name, "tokenizer.json"];
                    assert!(says.iter().all(|part| error.contains(part)), "{error}");
                    assert_ne!(ids(json(), texts), Value::Null, "{name}");
                }
                _ => {
                    for error in [refused(lines()), refused(json())] {
                        assert!(error.contains(&name), "{name}: {error:?}");
                    }
                }
            }
        }
    }
}

fn warnings(case_name: &str) -> Vec<TokenizerWarning> {
    let folders = Folders::committed();
    let files = folders.files(case(&folders, case_name));
    tokenizer(files).unwrap().warnings()
}

#[test]
fn capitals_that_are_lost_are_counted_and_the_cause_is_named() {
    for (case, named) in [
        ("default-lower", "BertTokenizer"),
        ("default-lower-no-config", "BertTokenizer"),
        ("explicit-lower", "do_lower_case of tokenizer_config.json"),
        ("generic-lower-false", "tokenizer.json"),
    ] {
        let warnings = warnings(case);
        // The, Paris and Hello.
        let [
            TokenizerWarning::CasedVocabulary {
                capitals: 3,
                tokens: 45,
                cause,
            },
        ] = &warnings[..]
        else {
            panic!("{case}: {warnings:?}");
        };
        assert!(cause.contains(named), "{case}: {cause}");
        assert!(warnings[0].to_string().contains(cause));
    }
    for case in [
        "cased",
        "class-over-json",
        "generic-lower-true",
        "no-family",
    ] {
        assert_eq!(warnings(case), [], "{case}");
    }
}

#[test]
fn parts_of_tokenizer_json_that_do_not_count_are_named() {
    for (case, parts) in [
        (
            "class-pipeline",
            &[
                ("normalizer", "Sequence [NFD, StripAccents]"),
                ("pre_tokenizer", "WhitespaceSplit"),
                ("post_processor", "null"),
            ][..],
        ),
        (
            "class-word-piece",
            &[
                ("model.unk_token", "<unk>"),
                ("model.continuing_subword_prefix", "e"),
                ("model.max_input_chars_per_word", "4"),
            ],
        ),
        ("json-added-beside-decoder", &[("added_tokens", "<e2>")]),
        ("json-and-config", &[]),
        ("generic-word-piece", &[]),
    ] {
        let ignored = warnings(case)
            .into_iter()
            .filter_map(|warning| match warning {
                TokenizerWarning::Ignored { part, found, class } => {
                    assert!(class.starts_with("BertTokenizer"), "{class}");
                    Some((part, found))
                }
                _ => None,
            });
        let expected: Vec<_> = parts
            .iter()
            .map(|&(part, found)| (part, found.to_owned()))
            .collect();
        assert_eq!(ignored.collect::<Vec<_>>(), expected, "{case}");
    }
}

#[test]
fn added_tokens_that_get_another_id_than_their_file_says_are_named() {
    let other = |file: &str, token: &str, wanted, id| TokenizerWarning::OtherId {
        file: file.to_owned(),
        token: token.to_owned(),
        wanted,
        id,
    };
    let decoder = "tokenizer_config.json (added_tokens_decoder)";
    for (case, expected) in [
        (
            "json-added-and-file",
            vec![other("added_tokens.json", "<e2>", 50, None)],
        ),
        (
            "added-json",
            vec![other("added_tokens.json", "<X>", 60, Some(46))],
        ),
        (
            "added-json-in-vocabulary",
            vec![other("added_tokens.json", "city", 5, Some(42))],
        ),
        ("decoder", vec![other(decoder, "<e1>", 5, Some(10))]),
        ("decoder-empty", vec![]),
        ("plain", vec![]),
    ] {
        let warnings = warnings(case).into_iter();
        let ids = warnings.filter(|it| matches!(it, TokenizerWarning::OtherId { .. }));
        assert_eq!(ids.collect::<Vec<_>>(), expected, "{case}");
    }
}

/// Which end of a text is cut off, with the ids of transformers: tokenizer_config.json says it, else tokenizer.json.
#[test]
fn the_side_that_is_cut_off() {
    let text = "the and was that with for not this from she they you";
    let pair = ("the and was that with for not", "this from she they you");
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/models/sentence-mean/"
    );
    let read = |name: &str| std::fs::read(format!("{folder}{name}")).unwrap();
    let ids = |side: Value, direction: Value| {
        let mut config: Value = serde_json::from_slice(&read("tokenizer_config.json")).unwrap();
        if !side.is_null() {
            config["truncation_side"] = side;
        }
        let mut json: Value = serde_json::from_slice(&read("tokenizer.json")).unwrap();
        if !direction.is_null() {
            json["truncation"] = json!({"direction": direction, "max_length": 6,
                "strategy": "LongestFirst", "stride": 0});
        }
        let files = ModelFiles::new()
            .with("tokenizer_config.json", config.to_string().into_bytes())
            .with("tokenizer.json", json.to_string().into_bytes());
        let tokenizer = Tokenizer::from_files(files)?;
        let one = tokenizer.encode(text, Some(&Truncation::to(8)))?;
        let two = tokenizer.encode(pair, Some(&Truncation::to(9)))?;
        Ok::<_, bertless::Error>((one.ids, two.ids))
    };
    let start = (
        vec![2, 88, 91, 95, 97, 98, 99, 3],
        vec![2, 88, 91, 95, 3, 105, 106, 107, 3],
    );
    let end = (
        vec![2, 103, 105, 106, 107, 109, 111, 3],
        vec![2, 98, 99, 103, 3, 107, 109, 111, 3],
    );
    let none = || Value::Null;
    assert_eq!(ids(none(), none()).unwrap(), start);
    assert_eq!(ids("left".into(), none()).unwrap(), end);
    assert_eq!(ids(none(), "Left".into()).unwrap(), end);
    assert_eq!(ids("right".into(), "Left".into()).unwrap(), start);
    for wrong in [json!("middle"), json!("Left"), json!(1)] {
        let error = ids(wrong, none()).unwrap_err().to_string();
        assert!(
            error.contains("tokenizer_config.json") && error.contains("truncation_side"),
            "{error}"
        );
    }
}

/// A tokenizer of a vocabulary with one token a line.
fn of_lines(tokens: &[&str], files: &[(&str, &str)]) -> bertless::Result<Tokenizer> {
    let lines = [
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].as_slice(),
        tokens,
    ]
    .concat();
    let vocabulary = ("vocab.txt", lines.join("\n"));
    let files = files.iter().map(|&(name, text)| (name, text.to_owned()));
    let files = files.chain([vocabulary]);
    tokenizer(files.map(|(name, text)| (name.to_owned(), text)).collect())
}

#[test]
fn an_uncased_vocabulary_may_have_one_capital_letter_in_a_hundred_tokens() {
    let small: Vec<String> = (0..95).map(|index| format!("token{index}")).collect();
    for (capitals, warns) in [(0, false), (1, false), (2, true)] {
        let mut tokens: Vec<&str> = small.iter().map(String::as_str).collect();
        tokens[..capitals].copy_from_slice(&["Paris", "London"][..capitals]);
        let tokenizer = of_lines(&tokens, &[]).unwrap();
        assert_eq!(tokenizer.vocab_size(), 100);
        assert_eq!(!tokenizer.warnings().is_empty(), warns, "{capitals}");
    }
    assert_eq!(of_lines(&["small"], &[]).unwrap().warnings(), []);
}

/// The ids are those of transformers.
#[test]
fn tokens_outside_the_vocabulary_are_found_by_id_and_by_name() {
    let config = r#"{"extra_special_tokens": ["<x>"], "model_max_length": 1000000000}"#;
    let added = r#"{"<y>": 7}"#;
    let files = [
        ("tokenizer_config.json", config),
        ("added_tokens.json", added),
    ];
    let tokenizer = of_lines(&["a"], &files).unwrap();
    assert_eq!(tokenizer.vocab_size(), 8);
    for (id, token, special) in [
        (0, "[PAD]", true),
        (1, "[UNK]", true),
        (4, "[MASK]", true),
        (5, "a", false),
        (6, "<y>", false),
        (7, "<x>", true),
    ] {
        assert_eq!(tokenizer.id_to_token(id), Some(token));
        assert_eq!(tokenizer.token_to_id(token), Some(id));
        assert_eq!(tokenizer.is_special(id), special, "{token}");
    }
    assert_eq!(
        (tokenizer.id_to_token(8), tokenizer.token_to_id("<z>")),
        (None, None)
    );
    assert_eq!((tokenizer.pad_id(), tokenizer.unk_id()), (Some(0), 1));
    assert_eq!(
        (tokenizer.mask_id(), tokenizer.mask_token()),
        (Some(4), "[MASK]")
    );
    assert_eq!(tokenizer.model_max_length(), None);
}

#[test]
fn an_id_that_is_not_a_whole_number_is_named() {
    for id in ["7.5", "\"7\"", "null"] {
        let added = format!(r#"{{"<y>": {id}}}"#);
        let error = of_lines(&["a"], &[("added_tokens.json", &added)]).unwrap_err();
        let says = format!("added_tokens.json: <y>: {id} is not an id");
        assert_eq!(error.to_string(), says);
    }
}

/// The offsets are those of transformers.
#[test]
fn white_space_before_a_mask_is_part_of_it_where_its_file_says_so() {
    let folders = Folders::committed();
    let offsets = |name: &str, mask: &str| {
        let mut files = folders.files(case(&folders, name));
        if let Some(json) = files.get_mut("tokenizer.json") {
            let mut value: Value = serde_json::from_str(json).unwrap();
            value["added_tokens"][4]["lstrip"] = true.into();
            *json = value.to_string();
        }
        let text = format!("the {mask} the");
        let encoding = tokenizer(files).unwrap().encode(text.as_str(), None);
        encoding.unwrap().offsets[2]
    };
    assert_eq!(offsets("generic-tokens", "[MASK]"), (3, 10));
    assert_eq!(offsets("plain", "[MASK]"), (4, 10));
}

/// The ids are those of transformers.
#[test]
fn white_space_in_an_added_token_is_any_white_space_after_normalisation() {
    let tokenizer = of_lines(&["a", "b"], &[("added_tokens.json", r#"{"a b": 7}"#)]).unwrap();
    let ids = tokenizer.encode("a\tb A\u{3000}B a  b", None).unwrap().ids;
    assert_eq!(ids, [2, 7, 7, 5, 6, 3]);
}
