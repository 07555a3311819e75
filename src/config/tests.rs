use super::*;

pub(super) fn files(config: &str) -> ModelFiles {
    ModelFiles::new().with("config.json", config.as_bytes().to_vec())
}

pub(super) fn read(config: &str) -> Result<Config> {
    Config::read(&files(config))
}

pub(super) fn key_of(error: Error) -> String {
    match error {
        Error::Config { key, .. } => key,
        other => panic!("{other}"),
    }
}

/// Keys that every config.json of BERT has. A test overrides one by adding it again: the last entry of a key counts.
const BERT: &str = r#""model_type": "bert", "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 96, "vocab_size": 100, "max_position_embeddings": 40, "hidden_act": "gelu""#;

/// Returns a config.json of BERT with further keys or other values.
pub(super) fn bert(rest: &str) -> String {
    match rest {
        "" => format!("{{{BERT}}}"),
        rest => format!("{{{BERT}, {rest}}}"),
    }
}

#[test]
fn a_key_that_every_config_has_must_be_there() {
    let mobile =
        r#""model_type": "mobilebert", "embedding_size": 8, "normalization_type": "no_norm""#;
    let electra = r#""model_type": "electra", "embedding_size": 8"#;
    let distilbert = r#""model_type": "distilbert", "dim": 48, "n_layers": 2, "n_heads": 3, "hidden_dim": 96,
        "activation": "relu", "vocab_size": 100, "max_position_embeddings": 40"#;
    for config in [
        bert(""),
        bert(r#""model_type": "mpnet""#),
        bert(electra),
        bert(mobile),
        format!("{{{distilbert}}}"),
    ] {
        read(&config).unwrap();
        let whole: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&config).unwrap();
        for key in whole.keys().filter(|&key| key != "model_type") {
            let mut misspelt = whole.clone();
            let value = misspelt.remove(key).unwrap();
            misspelt.insert(format!("{key}s"), value);
            let error = read(&serde_json::to_string(&misspelt).unwrap()).unwrap_err();
            assert!(error.to_string().contains("missing"), "{error}");
            assert_eq!(&key_of(error), key);
        }
    }
}

#[test]
fn what_older_configs_do_not_say_is_as_in_the_reference() {
    let encoder = read(&bert("")).unwrap().encoder;
    assert_eq!((encoder.eps, encoder.token_types), (1e-12, 2));
    let mobile =
        bert(r#""model_type": "mobilebert", "embedding_size": 8, "normalization_type": "no_norm""#);
    let mobile = read(&mobile).unwrap().encoder.mobile.unwrap();
    assert!(mobile.no_norm && mobile.trigram_input);
    assert_eq!((mobile.true_hidden_size, mobile.feed_forwards), (128, 4));
}

#[test]
fn distilbert_has_words_of_its_own() {
    let config = r#"{"model_type": "distilbert", "dim": 48, "n_layers": 2, "n_heads": 3, "hidden_dim": 96, "activation": "relu",
        "vocab_size": 100, "max_position_embeddings": 40}"#;
    let encoder = read(config).unwrap().encoder;
    assert_eq!((encoder.hidden_size, encoder.intermediate_size), (48, 96));
    assert_eq!(encoder.num_hidden_layers, 2);
    assert_eq!(encoder.num_attention_heads, 3);
    assert_eq!(encoder.hidden_act, Activation::Relu);
}

#[test]
fn families_and_architectures_that_are_not_ours_are_named() {
    for (keys, says) in [
        ("", "one of bert, distilbert"),
        (r#""model_type": null"#, "one of bert, distilbert"),
        (
            r#""architectures": ["MobileBertModel"]"#,
            r#"it is "mobilebert""#,
        ),
        (r#""architectures": ["BertForMaskedLM"]"#, r#"it is "bert""#),
        (
            r#""architectures": ["RobertaModel"]"#,
            "one of bert, distilbert",
        ),
    ] {
        let error = read(&format!("{{{keys}}}")).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(key_of(error), "model_type");
    }
    let error = read(r#"{"model_type": "roberta"}"#).unwrap_err();
    assert!(matches!(error, Error::UnsupportedFamily { found } if found == "roberta"));
    let error = read(&bert(r#""hidden_act": "swish""#)).unwrap_err();
    assert!(matches!(error, Error::UnsupportedActivation { found } if found == "swish"));
}

#[test]
fn architectures_are_known_by_their_whole_names() {
    let read = |family: &str, architecture: &str| {
        let more = r#""embedding_size": 8, "normalization_type": "no_norm", "activation": "gelu", "hidden_dim": 96"#;
        let keys =
            format!(r#""model_type": {family:?}, "architectures": [{architecture:?}], {more}"#);
        read(&bert(&keys)).map(|config| config.head.task)
    };
    for (family, class) in [
        ("bert", "Bert"),
        ("distilbert", "DistilBert"),
        ("electra", "Electra"),
        ("mobilebert", "MobileBert"),
        ("mpnet", "MPNet"),
    ] {
        for (ending, task) in [
            ("Model", Task::Embedding),
            ("ForSequenceClassification", Task::Classification),
            ("ForTokenClassification", Task::TokenClassification),
            ("ForQuestionAnswering", Task::QuestionAnswering),
            ("ForMaskedLM", Task::FillMask),
        ] {
            assert_eq!(read(family, &format!("{class}{ending}")).unwrap(), task);
        }
    }
    for (family, name) in [
        ("bert", "BertForPreTraining"),
        ("mobilebert", "MobileBertForPreTraining"),
    ] {
        assert_eq!(read(family, name).unwrap(), Task::FillMask);
    }
    for (family, name) in [
        ("electra", "ElectraForPreTraining"),
        ("bert", "BertLMHeadModel"),
        ("bert", "JinaBertModel"),
        ("bert", "JinaBertForMaskedLM"),
        ("bert", "TFBertModel"),
        ("bert", "MobileBertForSequenceClassification"),
        ("mobilebert", "BertModel"),
        ("mpnet", "MPNetForCausalLM"),
        ("bert", "Model"),
        ("bert", "bertmodel"),
    ] {
        let error = read(family, name).unwrap_err();
        assert!(
            matches!(&error, Error::UnsupportedArchitecture { found } if found == name),
            "{error}"
        );
    }
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_allocated() {
    for (key, value) in [
        ("hidden_size", "1000000000000"),
        ("vocab_size", "18446744073709551615"),
        ("num_hidden_layers", "4000000000"),
        ("intermediate_size", "0"),
        ("max_position_embeddings", "-1"),
        ("num_attention_heads", "7"),
        ("layer_norm_eps", "0"),
        ("is_decoder", "true"),
        ("position_embedding_type", "\"relative_key\""),
    ] {
        let config = bert(&format!("\"{key}\": {value}"));
        assert_eq!(key_of(read(&config).unwrap_err()), key);
    }
}

fn sentence(pooling: &str) -> ModelFiles {
    files(&bert(""))
        .with(
            "modules.json",
            br#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]"#,
        )
        .with("1_Pooling/config.json", pooling.as_bytes().to_vec())
}

#[test]
fn pooling_by_old_keys_and_new() {
    let pooling = |json| Config::read(&sentence(json)).map(|config| config.sentence.pooling);
    assert_eq!(pooling("{}").unwrap(), [Pooling::Mean]);
    let old = r#"{"word_embedding_dimension": 48, "pooling_mode_max_tokens": true, "pooling_mode_cls_token": true}"#;
    assert_eq!(pooling(old).unwrap(), [Pooling::Cls, Pooling::Max]);
    let new = r#"{"embedding_dimension": 48, "pooling_mode": ["max", "cls"]}"#;
    assert_eq!(pooling(new).unwrap(), [Pooling::Max, Pooling::Cls]);
    assert_eq!(
        pooling(r#"{"pooling_mode": "lasttoken"}"#).unwrap(),
        [Pooling::LastToken]
    );
    let error = pooling(r#"{"word_embedding_dimension": 49}"#).unwrap_err();
    assert_eq!(key_of(error), "word_embedding_dimension");
    assert_eq!(
        key_of(pooling(r#"{"pooling_mode": "best"}"#).unwrap_err()),
        "pooling_mode"
    );
}

#[test]
fn sentence_settings_are_read() {
    let files = sentence("{}")
        .with("sentence_bert_config.json", br#"{"max_seq_length": 99, "do_lower_case": true}"#)
        .with(
            "config_sentence_transformers.json",
            br#"{"prompts": {"query": "q: "}, "default_prompt_name": "query", "similarity_fn_name": "dot"}"#,
        );
    let config = Config::read(&files).unwrap();
    assert_eq!(config.head.task, Task::Embedding);
    assert_eq!(config.sentence.modules, [Module::Normalize]);
    assert_eq!(config.sentence.max_tokens, Some(99));
    assert!(config.sentence.lower_case);
    assert_eq!(config.sentence.default_prompt.as_deref(), Some("query"));
    assert_eq!(config.sentence.similarity.as_deref(), Some("dot"));
}

#[test]
fn a_normalisation_of_something_else_is_refused() {
    let read = |json: &str| {
        let files = sentence("{}").with("2_Normalize/config.json", json.as_bytes().to_vec());
        Config::read(&files).map(|config| config.sentence.modules)
    };
    let supported = r#"{"module_input_name": "sentence_embedding", "module_output_name": null}"#;
    for json in ["{}", supported] {
        assert_eq!(read(json).unwrap(), [Module::Normalize]);
    }
    let error = read(r#"{"module_input_name": "token_embeddings"}"#).unwrap_err();
    assert_eq!(key_of(error), "module_input_name");
}

#[test]
fn modules_that_leave_the_folder_or_are_unknown_are_refused() {
    let with = |modules: &str| files("{}").with("modules.json", modules.as_bytes().to_vec());
    let error = Config::read(&with(r#"[{"path": "../x", "type": "a.Transformer"}]"#)).unwrap_err();
    assert!(matches!(error, Error::PathOutside { path, .. } if path == "../x"));
    let error = Config::read(&with(r#"[{"path": "", "type": "a.CLIPModel"}]"#)).unwrap_err();
    assert_eq!(key_of(error), "type");
    let lstm = r#"[{"path": "", "type": "a.Transformer"}, {"path": "1", "type": "a.LSTM"}]"#;
    let files = ModelFiles::new()
        .with("config.json", bert("").into_bytes())
        .with("modules.json", lstm.as_bytes().to_vec());
    let error = Config::read(&files).unwrap_err();
    assert!(matches!(error, Error::UnsupportedArchitecture { found } if found.contains("LSTM")));
}

#[test]
fn a_limit_by_each_of_its_names() {
    let limit = |files: &[(&str, &str)]| {
        let all = files.iter().fold(sentence("{}"), |all, &(name, json)| {
            all.with(name.to_owned(), json.as_bytes().to_vec())
        });
        Config::read(&all).map(|config| config.sentence.max_tokens)
    };
    let nine = r#"{"max_seq_length": 9}"#;
    for name in [
        "sentence_bert_config.json",
        "sentence_roberta_config.json",
        "sentence_distilbert_config.json",
        "sentence_camembert_config.json",
        "sentence_albert_config.json",
        "sentence_xlm-roberta_config.json",
        "sentence_xlnet_config.json",
    ] {
        assert_eq!(limit(&[(name, nine)]).unwrap(), Some(9), "{name}");
    }
    // Only the first file that has any key counts.
    let (bert, xlnet) = ("sentence_bert_config.json", "sentence_xlnet_config.json");
    assert_eq!(limit(&[(bert, "{}"), (xlnet, nine)]).unwrap(), Some(9));
    let other = r#"{"do_lower_case": false}"#;
    assert_eq!(limit(&[(bert, other), (xlnet, nine)]).unwrap(), None);
    assert_eq!(
        limit(&[("sentence_mpnet_config.json", nine)]).unwrap(),
        None
    );
    // Arguments of the tokenizer take precedence over max_seq_length.
    for (more, expected) in [
        (r#""tokenizer_args": {"model_max_length": 8}"#, 8),
        (r#""processor_kwargs": {"model_max_length": 8}"#, 8),
        (r#""processing_kwargs": {"text": {"max_length": 7}}"#, 7),
        (r#""processing_kwargs": {"text": {"padding": true}}"#, 9),
        (
            r#""processing_kwargs": {"text": {"max_length": 7}}, "tokenizer_args": {"model_max_length": 8}"#,
            7,
        ),
    ] {
        let json = format!(r#"{{"max_seq_length": 9, {more}}}"#);
        assert_eq!(limit(&[(bert, &json)]).unwrap(), Some(expected), "{more}");
    }
    for wrong in ["0", "-1", "9.5", "\"9\""] {
        let error = limit(&[(bert, &format!(r#"{{"max_seq_length": {wrong}}}"#))]).unwrap_err();
        assert_eq!(key_of(error), "max_seq_length");
    }
    let error = limit(&[(bert, r#"{"max_length": 9}"#)]).unwrap_err();
    assert!(error.to_string().contains("max_seq_length"), "{error}");
}

#[test]
fn arguments_that_are_not_followed_are_errors() {
    let read = |json: &str| {
        let json = format!(r#"{{"max_seq_length": 9, {json}}}"#);
        Config::read(&sentence("{}").with("sentence_bert_config.json", json.into_bytes()))
    };
    for followed in [
        r#""tokenizer_args": {"use_fast": true, "model_max_length": 8}, "model_args": {"torch_dtype": "auto"}"#,
        r#""config_args": {}, "processor_kwargs": null, "config_kwargs": {"layer_norm_eps": null}"#,
        r#""modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}"#,
        r#""transformer_task": "sequence-classification", "modality_config": {"text": {"method_output_name": "logits"}}"#,
    ] {
        read(followed).unwrap();
    }
    for (unread, key) in [
        (
            r#""tokenizer_args": {"do_lower_case": false}"#,
            "tokenizer_args.do_lower_case",
        ),
        (
            r#""config_kwargs": {"layer_norm_eps": 0.5}"#,
            "config_kwargs.layer_norm_eps",
        ),
        (
            r#""modality_config": {"text": {"method_output_name": ["hidden_states", 0]}}"#,
            "modality_config.text.method_output_name",
        ),
    ] {
        assert_eq!(key_of(read(unread).unwrap_err()), key);
    }
    let sparse = br#"{"model_type": "SparseEncoder"}"#;
    let files = sentence("{}").with("config_sentence_transformers.json", sparse);
    assert_eq!(key_of(Config::read(&files).unwrap_err()), "model_type");
}

#[test]
fn without_modules_no_file_of_sentence_transformers_counts() {
    let files = files(&bert(""))
        .with(
            "sentence_bert_config.json",
            br#"{"max_seq_length": 9, "do_lower_case": true}"#,
        )
        .with(
            "config_sentence_transformers.json",
            br#"{"truncate_dim": 4, "prompts": {"a": "b"}, "similarity_fn_name": "dot"}"#,
        );
    let config = Config::read(&files).unwrap().sentence;
    assert_eq!(config, SentenceConfig::plain(TransformerConfig::default()));
}

#[test]
fn how_much_of_an_embedding_is_kept() {
    let truncate = |value: &str| {
        let json = format!(r#"{{"truncate_dim": {value}}}"#);
        let files = sentence("{}").with("config_sentence_transformers.json", json.into_bytes());
        Config::read(&files).map(|config| config.sentence.truncate)
    };
    assert_eq!(truncate("4").unwrap(), Some(4));
    assert_eq!(truncate("99").unwrap(), Some(99)); // more than the width keeps all components
    assert_eq!(truncate("null").unwrap(), None);
    for wrong in ["0", "-4", "4.0", "\"4\"", "true"] {
        assert_eq!(key_of(truncate(wrong).unwrap_err()), "truncate_dim");
    }
}
