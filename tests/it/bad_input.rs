//! Invalid files, options and inputs are refused with an error that names the culprit: one test for each variant of the
//! error, and inputs at the limits.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bertless::{
    AnswerOptions, Classifier, Embedder, Error, Input, Model, ModelFiles, ModelOptions,
    PredictOptions, Thresholds, Tokenizer, Truncation,
};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/models")
        .join(name)
}

fn read(name: &str, file: &str) -> Vec<u8> {
    std::fs::read(folder(name).join(file)).unwrap()
}

/// The files of a fixture in memory.
fn parts(name: &str) -> ModelFiles {
    [
        "config.json",
        "model.safetensors",
        "vocab.txt",
        "tokenizer_config.json",
    ]
    .into_iter()
    .fold(ModelFiles::new(), |files, file| {
        files.with(file, read(name, file))
    })
}

const CLASSIFIER: &str = "bert-classify";

/// The error of loading the classifier with one file replaced.
#[track_caller]
fn refused(file: &str, bytes: impl Into<Cow<'static, [u8]>>) -> Error {
    Model::from_files(parts(CLASSIFIER).with(file, bytes)).unwrap_err()
}

/// The classifier's config.json with a key replaced or added.
fn config_with(key: &str, value: serde_json::Value) -> Vec<u8> {
    let mut config: serde_json::Value =
        serde_json::from_slice(&read(CLASSIFIER, "config.json")).unwrap();
    config[key] = value;
    serde_json::to_vec(&config).unwrap()
}

/// The classifier's weights with one tensor's entry in the header changed.
fn weights_with(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "the header keeps its length");
    let mut bytes = read(CLASSIFIER, "model.safetensors");
    let at = bytes
        .windows(from.len())
        .position(|piece| piece == from.as_bytes())
        .unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

/// The classifier's weights with all floats of the last tensor replaced.
fn weights_filled(value: f32) -> Vec<u8> {
    let mut bytes = read(CLASSIFIER, "model.safetensors");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for number in bytes[header..].as_chunks_mut().0 {
        *number = value.to_le_bytes();
    }
    bytes
}

#[test]
fn io_names_the_file() {
    let error = Model::load("no/such/folder").unwrap_err();
    assert!(
        matches!(&error, Error::PathMissing { path, .. } if path.starts_with("no/such/folder")),
        "{error}"
    );
}

#[test]
fn file_missing_says_what_would_serve() {
    let without_weights = ModelFiles::new()
        .with("config.json", read(CLASSIFIER, "config.json"))
        .with("vocab.txt", read(CLASSIFIER, "vocab.txt"));
    let error = Model::from_files(without_weights).unwrap_err();
    assert!(
        matches!(error, Error::FileMissing { .. })
            && error.to_string().contains("model.safetensors")
    );
    let empty = tempfile::tempdir().unwrap();
    let error = Model::load(empty.path()).unwrap_err();
    assert!(
        matches!(error, Error::FileMissing { .. }) && error.to_string().contains("config.json")
    );
    let error = Tokenizer::load(empty.path()).unwrap_err();
    assert!(matches!(error, Error::FileMissing { .. }) && error.to_string().contains("vocab.txt"));
}

/// An embedder's module, whose weights are in a file that is not read.
#[test]
fn weights_pickled_names_the_module_and_the_cure() {
    let model = "sentence-max";
    let files = || {
        let modules = read(model, "modules.json");
        ModelFiles::new()
            .with("modules.json", modules)
            .with("config.json", read(model, "config.json"))
            .with("tokenizer.json", read(model, "tokenizer.json"))
            .with("model.safetensors", read(model, "model.safetensors"))
            .with(
                "1_Pooling/config.json",
                read(model, "1_Pooling/config.json"),
            )
            .with("2_Dense/config.json", read(model, "2_Dense/config.json"))
    };
    for (name, says) in [
        (
            "2_Dense/pytorch_model.bin",
            "for f in [\"the model in memory/2_Dense/pytorch_model.bin\"]",
        ),
        (
            "2_Dense/pytorch_model.bin.index.json",
            "glob.glob(\"the model in memory/2_Dense/pytorch_model-*.bin\")",
        ),
    ] {
        let error = Model::from_files(files().with(name, b"a pickle")).unwrap_err();
        assert!(
            matches!(&error, Error::WeightsPickled { file, .. } if file.ends_with(name)),
            "{error}"
        );
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = Model::from_files(files()).unwrap_err();
    assert!(
        matches!(&error, Error::FileMissing { dir, .. } if dir.ends_with("2_Dense")),
        "{error}"
    );
}

#[test]
fn path_outside_is_refused() {
    for path in ["../other", "/etc", "a/../../b"] {
        let modules = format!(
            r#"[{{"path": {path:?}, "type": "sentence_transformers.models.Transformer"}}]"#
        );
        let error = refused("modules.json", modules.into_bytes());
        assert!(
            matches!(&error, Error::PathOutside { path: named, .. } if named == path),
            "{error}"
        );
    }
}

#[test]
fn json_names_the_file() {
    for file in [
        "config.json",
        "tokenizer_config.json",
        "tokenizer.json",
        "modules.json",
    ] {
        for bytes in [&b"{"[..], b"\xff", b"", b"3"] {
            let error = refused(file, bytes);
            assert!(
                matches!(&error, Error::Json { file: named, .. } if named == file),
                "{file}: {error}"
            );
        }
    }
}

#[test]
fn config_names_the_key() {
    let error = refused(
        "config.json",
        config_with("hidden_size", (1u64 << 60).into()),
    );
    assert!(
        matches!(&error, Error::Config { key, .. } if key == "hidden_size"),
        "{error}"
    );
}

#[test]
fn unsupported_family_architecture_activation() {
    let error = refused("config.json", config_with("model_type", "roberta".into()));
    assert!(
        matches!(&error, Error::UnsupportedFamily { found, .. } if found == "roberta"),
        "{error}"
    );
    let architectures = serde_json::json!(["BertForNextSentencePrediction"]);
    let error = refused("config.json", config_with("architectures", architectures));
    assert!(
        matches!(&error, Error::UnsupportedArchitecture { .. }),
        "{error}"
    );
    let error = refused("config.json", config_with("hidden_act", "swish".into()));
    assert!(
        matches!(&error, Error::UnsupportedActivation { found, .. } if found == "swish"),
        "{error}"
    );
}

#[test]
fn unsupported_tokenizer_says_why() {
    let json = br#"{"model": {"type": "BPE", "vocab": {}}}"#;
    let error = refused("tokenizer.json", json);
    assert!(
        matches!(&error, Error::UnsupportedTokenizer { .. }) && error.to_string().contains("BPE")
    );
}

#[test]
fn a_pipeline_that_is_not_followed_names_the_part() {
    let file = |part: &str, value: &str| {
        let mut json: serde_json::Value =
            serde_json::from_slice(&read("bert-tokens", "tokenizer.json")).unwrap();
        json[part] = serde_json::from_str(value).unwrap();
        json.to_string().into_bytes()
    };
    let generic = br#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#;
    let long = format!(r#"{{"type": "{}"}}"#, "x".repeat(1000));
    let steps = |key: &str, names: &[&str]| {
        let steps = names.iter().map(|name| serde_json::json!({"type": name}));
        serde_json::json!({"type": "Sequence", key: steps.collect::<Vec<_>>()}).to_string()
    };
    let accents = steps("normalizers", &["NFD", "StripAccents", "Lowercase"]);
    let twice = steps("normalizers", &["BertNormalizer", "BertNormalizer"]);
    let spaces = steps("pretokenizers", &["WhitespaceSplit", "Punctuation"]);
    let bytes = r#"{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false}"#;
    let template = |single: &[&str], pair: &[&str]| {
        let text = |id: &&str| serde_json::json!({"Sequence": {"id": id, "type_id": 0}});
        let [single, pair] = [single, pair].map(|ids| ids.iter().map(text).collect::<Vec<_>>());
        serde_json::json!({"type": "TemplateProcessing", "single": single, "pair": pair})
            .to_string()
    };
    let [none, twice_a, with_b] =
        [&[][..], &["A", "A"], &["A", "B"]].map(|single| template(single, &["A", "B"]));
    let [no_pair, no_b, no_a, twice_b] =
        [&[][..], &["A"], &["B"], &["A", "B", "B"]].map(|pair| template(&["A"], pair));
    let third = template(&["C"], &["A", "B"]);
    for (part, value, named) in [
        ("normalizer", r#"{"type": "NFD"}"#, "normalizer is NFD"),
        (
            "normalizer",
            &accents,
            "Sequence [NFD, StripAccents, Lowercase]: NFD",
        ),
        ("normalizer", &twice, "once"),
        ("normalizer", &long, "xxx…"),
        (
            "pre_tokenizer",
            r#"{"type": "Whitespace"}"#,
            "is Whitespace,",
        ),
        ("pre_tokenizer", "null", "pre-tokenizer is none"),
        (
            "pre_tokenizer",
            &spaces,
            "Sequence [WhitespaceSplit, Punctuation]",
        ),
        ("post_processor", bytes, "post-processor is ByteLevel"),
        ("post_processor", &none, "each text once"),
        ("post_processor", &twice_a, "each text once"),
        ("post_processor", &with_b, "each text once"),
        ("post_processor", &no_pair, "each text once"),
        ("post_processor", &no_b, "each text once"),
        ("post_processor", &no_a, "each text once"),
        ("post_processor", &twice_b, "each text once"),
        ("post_processor", &third, "names a text \"C\""),
    ] {
        let bytes = file(part, value);
        let files = parts(CLASSIFIER).with("tokenizer.json", bytes);
        // BertTokenizer has its own in its place.
        let model = Model::from_files(files.clone()).unwrap();
        assert!(!model.tokenizer().warnings().is_empty(), "{value}");
        let error = Model::from_files(files.with("tokenizer_config.json", generic)).unwrap_err();
        assert!(
            matches!(&error, Error::UnsupportedTokenizer { file, .. } if file == "tokenizer.json"),
            "{error}"
        );
        let message = error.to_string();
        assert!(message.contains(named) && message.len() < 500, "{message}");
    }
}

#[test]
fn tokenizer_settings_name_the_file_and_the_key() {
    let config = "tokenizer_config.json";
    let map = "special_tokens_map.json";
    for (file, json, key) in [
        (config, r#"{"tokenizer_class": 3}"#, "tokenizer_class"),
        (config, r#"{"do_lower_case": "no"}"#, "do_lower_case"),
        (config, r#"{"strip_accents": 1}"#, "strip_accents"),
        (config, r#"{"model_max_length": "512"}"#, "model_max_length"),
        (config, r#"{"mask_token": ["[MASK]"]}"#, "mask_token"),
        (config, r#"{"mask_token": {"lstrip": true}}"#, "mask_token"),
        (config, r#"{"cls_token": null}"#, "cls_token"),
        (
            config,
            r#"{"extra_special_tokens": "<e>"}"#,
            "extra_special_tokens",
        ),
        (
            config,
            r#"{"extra_special_tokens": {"e": 5}}"#,
            "extra_special_tokens.e",
        ),
        (
            config,
            r#"{"added_tokens_decoder": []}"#,
            "added_tokens_decoder",
        ),
        (
            config,
            r#"{"added_tokens_decoder": {"x": "<e>"}}"#,
            "added_tokens_decoder.x",
        ),
        (
            config,
            r#"{"added_tokens_decoder": {"5": {"content": 5}}}"#,
            "added_tokens_decoder.5",
        ),
        (map, r#"{"sep_token": null}"#, "sep_token"),
        (
            map,
            r#"{"additional_special_tokens": [7]}"#,
            "additional_special_tokens",
        ),
        ("added_tokens.json", r#"{"<e>": "7"}"#, "<e>"),
    ] {
        let error = refused(file, json.as_bytes().to_vec());
        assert!(
            matches!(&error, Error::Config { file: named, key: wrong, .. } if named == file && wrong == key),
            "{json}: {error}"
        );
    }
}

#[test]
fn a_class_that_config_json_alone_names_is_refused_by_name() {
    let named = config_with("tokenizer_class", "BertJapaneseTokenizer".into());
    let files = parts(CLASSIFIER).with("tokenizer_config.json", b"{}");
    let error = Model::from_files(files.with("config.json", named)).unwrap_err();
    assert!(
        matches!(&error, Error::UnsupportedTokenizer { file, reason, .. }
            if file == "config.json" && reason.contains("BertJapaneseTokenizer")),
        "{error}"
    );
}

#[test]
fn vocabulary_is_checked() {
    for bytes in [&b""[..], b"\n\n", b"[UNK]\n\xff\n"] {
        let error = refused("vocab.txt", bytes);
        assert!(
            matches!(&error, Error::Vocabulary { file, .. } if file == "vocab.txt"),
            "{error}"
        );
    }
    let absurd = br#"{"model": {"vocab": {"[UNK]": 4294967295}}, "pre_tokenizer": {"type": "BertPreTokenizer"}}"#;
    let error = refused("tokenizer.json", absurd);
    assert!(matches!(error, Error::Vocabulary { .. }), "{error}");
}

#[test]
fn token_not_in_vocabulary_is_named() {
    let vocabulary = String::from_utf8(read(CLASSIFIER, "vocab.txt")).unwrap();
    for (token, wanted) in [
        ("[UNK]", "unk_token"),
        ("[CLS]", "cls_token"),
        ("[SEP]", "sep_token"),
    ] {
        let without = vocabulary.replace(token, "other");
        let error = refused("vocab.txt", without.into_bytes());
        assert!(
            matches!(&error, Error::TokenNotInVocabulary { file, key, token: named, .. }
                if file == "tokenizer_config.json" && key == wanted && named == token),
            "{error}"
        );
    }
    let of_map = parts(CLASSIFIER).with("special_tokens_map.json", br#"{"unk_token": "[unk]"}"#);
    let error = Model::from_files(of_map).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"special_tokens_map.json: unk_token: "[unk]" is not in the vocabulary: name a token that is"#
    );
}

#[test]
fn a_token_of_every_text_without_a_row_is_refused_when_the_model_is_opened() {
    for (file, key) in [
        ("tokenizer_config.json", "cls_token"),
        ("special_tokens_map.json", "sep_token"),
    ] {
        let said = format!(r#"{{"tokenizer_class": "BertTokenizer", "{key}": "<new>"}}"#);
        let error = refused(file, said.into_bytes());
        let Error::TokenWithoutRow { id, rows, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*id as usize, *rows);
        let message = error.to_string();
        let says = format!("{file}: {key}: \"<new>\" has id {id}");
        assert!(message.starts_with(&says), "{message}");
    }
    // A template names its tokens by id.
    let mut json: serde_json::Value =
        serde_json::from_slice(&read("bert-tokens", "tokenizer.json")).unwrap();
    let rows = json["model"]["vocab"].as_object().unwrap().len();
    let new = serde_json::json!({"id": rows, "content": "<new>", "special": true});
    json["added_tokens"].as_array_mut().unwrap().push(new);
    json["post_processor"] = serde_json::json!(
        {"type": "BertProcessing", "cls": ["<new>", rows], "sep": ["<new>", rows]});
    let files = parts(CLASSIFIER)
        .with("tokenizer.json", json.to_string().into_bytes())
        .with(
            "tokenizer_config.json",
            br#"{"tokenizer_class": "TokenizersBackend"}"#,
        );
    let message = Model::from_files(files).unwrap_err().to_string();
    let says = format!("tokenizer.json: post_processor: \"<new>\" has id {rows}");
    assert!(message.starts_with(&says), "{message}");
    // A text need not hold an added token, and most do not.
    let config = br#"{"tokenizer_class": "BertTokenizer", "extra_special_tokens": ["<new>"]}"#;
    let model = parts(CLASSIFIER).with("tokenizer_config.json", config);
    let model = Model::from_files(model).unwrap();
    assert!(model.predict("good").is_ok());
    let error = model.predict("good <new>").unwrap_err();
    assert!(
        matches!(error, Error::EmbeddingOutOfRange { .. }),
        "{error}"
    );
}

#[test]
fn a_longest_text_without_room_for_a_word_names_its_file_and_key() {
    for (limit, said) in [
        (
            "-1",
            "-1 is not a number of tokens: remove the key for no limit",
        ),
        (
            "6.5",
            "6.5 is not a number of tokens: remove the key for no limit",
        ),
        ("1", "1 leaves no room for a word beside 2 special tokens"),
        ("2", "2 leaves no room for a word beside 2 special tokens"),
        ("\"6\"", "\"6\" is not a number"),
    ] {
        for key in ["model_max_length", "max_len"] {
            let config = format!(r#"{{"tokenizer_class": "BertTokenizer", "{key}": {limit}}}"#);
            let error = refused("tokenizer_config.json", config.into_bytes());
            let expected = format!("tokenizer_config.json: {key}: {said}");
            assert_eq!(error.to_string(), expected);
        }
    }
    let longest = |limit: &str| {
        let config =
            format!(r#"{{"tokenizer_class": "BertTokenizer", "model_max_length": {limit}}}"#);
        let files = parts(CLASSIFIER).with("tokenizer_config.json", config.into_bytes());
        Model::from_files(files).unwrap().max_length()
    };
    let all = longest("null");
    for none in ["0", "1e9", "1e30", "1000000000000000019884624838656"] {
        assert_eq!(longest(none), all, "{none}");
    }
    assert_eq!((longest("3"), longest("6.0")), (3, 6));
}

#[test]
fn a_byte_order_mark_ahead_of_any_file_changes_nothing() {
    let plain = Model::from_files(parts(CLASSIFIER)).unwrap();
    let expected = plain.predict("good [PAD] and bad").unwrap();
    for name in ["config.json", "tokenizer_config.json", "vocab.txt"] {
        let marked = [b"\xEF\xBB\xBF".to_vec(), read(CLASSIFIER, name)].concat();
        let model = Model::from_files(parts(CLASSIFIER).with(name, marked)).unwrap();
        assert_eq!(
            model.predict("good [PAD] and bad").unwrap(),
            expected,
            "{name}"
        );
        let error = refused(name, b"\xFF\xFE{\0}\0".to_vec());
        assert!(
            matches!(&error, Error::Io { path, cause: source } if path.ends_with(name) && source.to_string().contains("UTF-16")),
            "{error}"
        );
    }
}

#[test]
fn embedding_out_of_range_names_the_table() {
    let mut vocabulary = read(CLASSIFIER, "vocab.txt");
    vocabulary.extend_from_slice(b"beyond\n");
    let model = Model::from_files(parts(CLASSIFIER).with("vocab.txt", vocabulary)).unwrap();
    assert!(model.predict("good").is_ok());
    let error = model.predict("good and beyond").unwrap_err();
    assert!(
        matches!(error, Error::EmbeddingOutOfRange { .. }),
        "{error}"
    );
    assert!(model.predict("good").is_ok()); // and nothing is broken by it
}

#[test]
fn safetensors_damaged_anywhere() {
    let whole = read(CLASSIFIER, "model.safetensors");
    for len in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        let error = refused("model.safetensors", whole[..len].to_vec());
        assert!(matches!(error, Error::Safetensors { .. }), "{len}: {error}");
    }
    for length in [0, 1 << 20, u64::MAX] {
        let mut lying = whole.clone();
        lying[..8].copy_from_slice(&length.to_le_bytes());
        let error = refused("model.safetensors", lying);
        assert!(
            matches!(error, Error::Safetensors { .. }),
            "{length}: {error}"
        );
    }
}

#[test]
fn weight_missing_is_named() {
    let error = refused(
        "model.safetensors",
        weights_with("classifier.weight", "classifier.weighs"),
    );
    assert!(
        matches!(&error, Error::WeightMissing { name, .. } if name == "classifier.weight"),
        "{error}"
    );
}

#[test]
fn weight_twice_is_refused() {
    // Without its prefix this tensor is called like another that has no prefix.
    let error = refused(
        "model.safetensors",
        weights_with(r#""bert.pooler.dense.bias""#, r#""bert.classifier.bias"  "#),
    );
    assert!(matches!(&error, Error::WeightTwice { .. }), "{error}");
}

/// A fixture's files in memory, with its tensors changed.
fn with_tensors(name: &str, change: impl FnOnce(&mut Tensors)) -> ModelFiles {
    let bytes = read(name, "model.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Tensors = file
        .iter()
        .map(|(name, view)| {
            assert_eq!(view.dtype(), Dtype::F16);
            (
                name.to_owned(),
                (view.shape().to_vec(), view.data().to_vec()),
            )
        })
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (shape, data))| {
        (
            name,
            TensorView::new(Dtype::F16, shape.clone(), data).unwrap(),
        )
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    let files = [
        "config.json",
        "vocab.txt",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    let there = files
        .into_iter()
        .filter(|file| folder(name).join(file).exists());
    there
        .fold(ModelFiles::new(), |files, file| {
            files.with(file, read(name, file))
        })
        .with("model.safetensors", bytes)
}

/// Shapes and bytes by name.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

#[track_caller]
fn unexpected(files: ModelFiles, weight: &str) {
    let error = Model::from_files(files).unwrap_err();
    assert!(
        matches!(&error, Error::WeightUnexpected { name, .. } if name == weight),
        "{error}"
    );
}

#[test]
fn weight_unexpected_where_a_name_is_misspelt() {
    let misspelt = with_tensors("bert-untied", |tensors| {
        let bias = tensors.remove("cls.predictions.decoder.bias").unwrap();
        tensors.insert("cls.predictions.decoder.bIas".to_owned(), bias);
    });
    unexpected(misspelt, "cls.predictions.decoder.bIas");
}

#[test]
fn weight_unexpected_where_there_are_more_layers_than_the_config_says() {
    for layers in 0..2 {
        let config = config_with("num_hidden_layers", layers.into());
        let error = refused("config.json", config);
        let layer = format!("bert.encoder.layer.{layers}.");
        assert!(
            matches!(&error, Error::WeightUnexpected { name, .. } if name.starts_with(&layer)),
            "{error}"
        );
    }
    let more = with_tensors("bert-base", |tensors| {
        let (shape, data) = tensors["encoder.layer.0.output.dense.bias"].clone();
        tensors.insert("encoder.layer.0.adapter.bias".to_owned(), (shape, data));
    });
    unexpected(more, "encoder.layer.0.adapter.bias");
    let networks = with_tensors("mobilebert-base", |_| {});
    let mut config: serde_json::Value =
        serde_json::from_slice(&read("mobilebert-base", "config.json")).unwrap();
    config["num_feedforward_networks"] = 3.into();
    let networks = networks.with("config.json", serde_json::to_vec(&config).unwrap());
    unexpected(networks, "encoder.layer.0.ffn.2.intermediate.dense.bias");
}

/// What is saved although it is tied is harmless where it is the same, and has no right answer where it is not.
#[test]
fn weight_unexpected_where_a_tied_one_differs() {
    for (model, words, decoder, bias) in [
        (
            "bert-mask",
            "bert",
            "cls.predictions.decoder",
            "cls.predictions.bias",
        ),
        (
            "mobilebert-mask",
            "mobilebert",
            "cls.predictions.decoder",
            "cls.predictions.bias",
        ),
        ("mpnet-mask", "mpnet", "lm_head.decoder", "lm_head.bias"),
        (
            "distilbert-mask",
            "distilbert",
            "vocab_projector",
            "vocab_projector.bias",
        ),
        (
            "electra-mask",
            "electra",
            "generator_lm_head",
            "generator_lm_head.bias",
        ),
    ] {
        let words = format!("{words}.embeddings.word_embeddings.weight");
        let own = [format!("{decoder}.weight"), format!("{decoder}.bias")];
        let both = |changed: Option<&String>| {
            with_tensors(model, |tensors| {
                for (name, same) in own.iter().zip([words.as_str(), bias]) {
                    let mut tensor = tensors[same].clone();
                    if changed == Some(name) {
                        tensor.1[0] ^= 1;
                    }
                    tensors.insert(name.clone(), tensor);
                }
            })
        };
        let mask = if model == "mpnet-mask" {
            "<mask>"
        } else {
            "[MASK]"
        };
        let text = format!("a good {mask}");
        let predict = |files: ModelFiles| Model::from_files(files).unwrap().predict(&text).unwrap();
        let plain = predict(with_tensors(model, |_| {}));
        assert_eq!(predict(both(None)), plain, "{model}");
        unexpected(both(Some(&own[0])), &own[0]);
        if own[1] != bias {
            unexpected(both(Some(&own[1])), &own[1]);
        }
    }
}

#[test]
fn weight_shape_names_both() {
    let error = refused("config.json", config_with("intermediate_size", 41.into()));
    let Error::WeightShape {
        name,
        expected,
        found,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(name.contains("intermediate.dense.weight"));
    assert_eq!((expected, found), (vec![41, 24], vec![40, 24]));
}

#[test]
fn labels_of_another_number_than_weights_name_the_key() {
    let labels = serde_json::json!({"0": "a", "1": "b"});
    let error = refused("config.json", config_with("id2label", labels));
    assert!(
        matches!(&error, Error::Config { key, .. } if key == "id2label"),
        "{error}"
    );
    let says = error.to_string();
    assert!(
        says.contains("2 labels") && says.contains("has 3"),
        "{says}"
    );
}

#[test]
fn weight_type_is_named() {
    let error = refused("model.safetensors", weights_with(r#""F32""#, r#""I32""#));
    assert!(
        matches!(&error, Error::WeightType { found, .. } if found == "I32"),
        "{error}"
    );
}

#[test]
fn non_finite_weights_and_outputs() {
    for value in [f32::NAN, f32::INFINITY] {
        let error = refused("model.safetensors", weights_filled(value));
        assert!(
            matches!(&error, Error::NonFinite { what, .. } if what.contains("weight")),
            "{error}"
        );
    }
    // Finite weights whose products are not.
    let files = parts(CLASSIFIER).with("model.safetensors", weights_filled(3e38));
    let model = Model::from_files(files).unwrap();
    assert!(matches!(
        model.predict("good film"),
        Err(Error::NonFinite { .. })
    ));
    assert!(matches!(
        model.embed("good film"),
        Err(Error::NonFinite { .. })
    ));
    assert!(matches!(
        model.last_hidden_state("good film"),
        Err(Error::NonFinite { .. })
    ));
    assert!(matches!(
        model.hidden_states("good film"),
        Err(Error::NonFinite { .. })
    ));
    assert!(matches!(
        model.logits("good film"),
        Err(Error::NonFinite { .. })
    ));
}

#[test]
fn the_question_without_an_answer_is_named() {
    let model = Model::load(folder("bert-question")).unwrap();
    for unfit in [Input::Pair("who?", ""), Input::Text("who?")] {
        let error = model
            .predict_batch([Input::Pair("who?", "me"), unfit])
            .unwrap_err();
        assert!(
            matches!(&error, Error::Input { index: Some(1), .. }),
            "{error}"
        );
    }
}

#[test]
fn wrong_task_names_both() {
    let error = Embedder::load(folder(CLASSIFIER)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is a model for sequence classification, not for embedding"
    );
    let error = Classifier::load(folder("bert-tokens")).unwrap_err();
    assert!(matches!(error, Error::WrongTask { .. }));
    let model = Model::load(folder(CLASSIFIER)).unwrap();
    assert!(matches!(
        model.answer("who?", "me"),
        Err(Error::WrongTask { .. })
    ));
    assert!(matches!(
        model.rerank("x", ["y"]),
        Err(Error::WrongTask { .. })
    ));
    let embedder = Model::load(folder("bert-base")).unwrap();
    assert!(matches!(embedder.logits("x"), Err(Error::WrongTask { .. })));
}

#[test]
fn input_of_the_wrong_form() {
    let answerer = Model::load(folder("bert-question")).unwrap();
    for input in [
        answerer.predict("who?"),
        answerer.predict(("who?", "")),
        answerer.predict(("who?", " \t")),
    ] {
        assert!(matches!(input, Err(Error::Input { .. })), "{input:?}");
    }
    let tagger = Model::load(folder("bert-tokens")).unwrap();
    assert!(matches!(
        tagger.predict(("one", "two")),
        Err(Error::Input { .. })
    ));
    let filler = Model::load(folder("bert-mask")).unwrap();
    let texts = ["a [MASK] film", "no mask"];
    let error = filler.predict_batch(texts).unwrap_err();
    assert!(
        matches!(&error, Error::Input { index: Some(1), .. }),
        "{error}"
    );
}

#[test]
fn options_that_cannot_be_followed() {
    let mut unknown = Thresholds::default();
    unknown.labels.insert("no such label".to_owned(), 0.5);
    let mut high = Thresholds::default();
    high.labels.insert("neutral".to_owned(), 1.5);
    let choose =
        |thresholds| ModelOptions::new().calls(PredictOptions::new().thresholds(thresholds));
    for thresholds in [
        unknown,
        high,
        Thresholds::all(-0.1),
        Thresholds::all(f32::NAN),
    ] {
        let error = Model::load_with(folder("bert-multilabel"), choose(thresholds)).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Option {
                    name: "thresholds",
                    ..
                }
            ),
            "{error}"
        );
    }
    assert!(Model::load_with(folder("bert-multilabel"), choose(Thresholds::all(1.0))).is_ok());
    // Where labels exclude each other, or there are none, thresholds mean nothing.
    for model in [CLASSIFIER, "bert-regression", "bert-tokens", "bert-base"] {
        let error = Model::load_with(folder(model), choose(Thresholds::all(0.5))).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Option {
                    name: "thresholds",
                    ..
                }
            ),
            "{error}"
        );
    }
    for (name, options) in [
        ("threads", ModelOptions::new().threads(0)),
        ("max_length", ModelOptions::new().max_length(41)),
        ("max_length", ModelOptions::new().max_length(2)),
        (
            "top_k",
            ModelOptions::new().calls(PredictOptions::new().top_k(0)),
        ),
        (
            "prompt",
            ModelOptions::new().calls(PredictOptions::new().prompt("query")),
        ),
    ] {
        let error = Model::load_with(folder(CLASSIFIER), options).unwrap_err();
        assert!(
            matches!(&error, Error::Option { name: named, .. } if *named == name),
            "{error}"
        );
    }
    let tokenizer = Tokenizer::load(folder(CLASSIFIER)).unwrap();
    let error = tokenizer
        .encode("a b c", Some(&Truncation::to(1)))
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Option {
                name: "max_length",
                ..
            }
        ),
        "{error}"
    );
}

/// The usual stride gives way to a question that leaves little room; one that was asked for does not.
#[test]
fn a_long_question_has_windows_that_fit() {
    let context = "it was a good year for people in london and in paris and they eat lunch in the rain and in the city";
    let asked = |stride, words| {
        let answers = AnswerOptions {
            stride,
            ..Default::default()
        };
        let options = ModelOptions::new().calls(PredictOptions::new().answers(answers));
        let model = Model::load_with(folder("bert-question"), options).unwrap();
        model.answer(&"who ".repeat(words), context)
    };
    // 40 tokens, 3 of them special.
    for words in [1, 16, 17, 20, 34, 36] {
        assert!(asked(None, words).is_ok(), "{words}");
    }
    assert!(matches!(
        asked(None, 37),
        Err(Error::Option {
            name: "max_length",
            ..
        })
    ));
    let error = asked(Some(20), 20).unwrap_err();
    assert!(
        matches!(error, Error::Option { name: "stride", .. }),
        "{error}"
    );
    assert!(asked(Some(16), 20).is_ok());
}

/// Threads need address space: a process that has too little of it gets an error, not a crash. Stacks are so large here
/// that a fourth does not fit, and there is plenty left for all else that a thread needs.
#[cfg(target_os = "linux")]
#[test]
fn threads_that_cannot_be_started() {
    const CHILD: &str = "BERTLESS_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let error =
            Model::load_with(folder(CLASSIFIER), ModelOptions::new().threads(8)).unwrap_err();
        assert!(
            matches!(error, Error::Threads { threads: 8, .. }),
            "{error}"
        );
        return;
    }
    let child = std::process::Command::new("sh")
        .args([
            "-c",
            r#"ulimit -v 4000000; exec "$0" --exact bad_input::threads_that_cannot_be_started"#,
        ])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .env("RUST_MIN_STACK", (1 << 30).to_string())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && printed.contains("1 passed"),
        "{printed}"
    );
}

#[test]
fn texts_at_the_limits() {
    let model = Model::load(folder(CLASSIFIER)).unwrap();
    let huge = [
        "a".repeat(10 << 20),
        "a b ".repeat(10 << 18),
        "\u{301}".repeat(5 << 20),
        "[MASK]".repeat(1 << 18),
        "\0".repeat(1 << 20),
    ];
    for text in &huge {
        let prediction = model.predict(text).unwrap();
        assert!(prediction.n_tokens() <= model.max_length());
        assert_eq!(
            prediction.truncated(),
            text.starts_with("a b") || text.starts_with('[')
        );
    }
    for text in ["", " ", "\0", "\u{FFFD}", "[PAD][PAD]", "\u{10FFFF}"] {
        assert!(
            model
                .predict(text)
                .unwrap()
                .score()
                .is_some_and(f32::is_finite),
            "{text:?}"
        );
    }
    assert!(model.predict_batch::<&str>([]).unwrap().is_empty());
}
