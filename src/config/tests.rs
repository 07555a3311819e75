use super::*;

fn files(config: &str) -> Files {
    Files::new().with("config.json", config.as_bytes().to_vec())
}

fn read(config: &str) -> Result<Config> {
    Config::read(&files(config))
}

fn key_of(error: Error) -> String {
    match error {
        Error::Config { key, .. } => key,
        other => panic!("{other}"),
    }
}

#[test]
fn a_silent_config_has_the_family_s_defaults() {
    for (family, hidden, layers, heads) in [
        ("bert", 768, 12, 12),
        ("distilbert", 768, 6, 12),
        ("electra", 256, 12, 4),
        ("mobilebert", 512, 24, 4),
        ("mpnet", 768, 12, 12),
    ] {
        let encoder = read(&format!(r#"{{"model_type": "{family}"}}"#))
            .unwrap()
            .encoder;
        assert_eq!(encoder.family.name(), family);
        assert_eq!(
            (encoder.hidden, encoder.layers, encoder.heads),
            (hidden, layers, heads)
        );
    }
    let mobile = read(r#"{"model_type": "mobilebert"}"#)
        .unwrap()
        .encoder
        .mobile
        .unwrap();
    assert!(mobile.no_norm && mobile.trigram && mobile.inner == 128 && mobile.feed_forwards == 4);
}

#[test]
fn distilbert_has_words_of_its_own() {
    let config = r#"{"model_type": "distilbert", "dim": 48, "n_layers": 2, "n_heads": 3, "hidden_dim": 96, "activation": "relu"}"#;
    let encoder = read(config).unwrap().encoder;
    assert_eq!((encoder.hidden, encoder.layers, encoder.heads), (48, 2, 3));
    assert_eq!(
        (encoder.intermediate, encoder.activation),
        (96, Activation::Relu)
    );
}

#[test]
fn families_and_architectures_that_are_not_ours_are_named() {
    let error = read(r#"{"model_type": "roberta"}"#).unwrap_err();
    assert!(matches!(error, Error::UnsupportedFamily { found } if found == "roberta"));
    let error = read(r#"{"model_type": "electra", "architectures": ["ElectraForPreTraining"]}"#);
    assert!(
        matches!(error, Err(Error::UnsupportedArchitecture { found }) if found == "ElectraForPreTraining")
    );
    let error = read(r#"{"model_type": "bert", "hidden_act": "swish"}"#).unwrap_err();
    assert!(matches!(error, Error::UnsupportedActivation { found } if found == "swish"));
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
        let config = format!(r#"{{"model_type": "bert", "{key}": {value}}}"#);
        assert_eq!(key_of(read(&config).unwrap_err()), key);
    }
}

#[test]
fn labels_come_in_the_order_of_their_ids() {
    let config = |rest: &str| {
        let head = r#""model_type": "bert", "architectures": ["BertForSequenceClassification"]"#;
        read(&format!("{{{head}{rest}}}"))
    };
    let head = config(r#", "id2label": {"1": "yes", "0": "no"}"#)
        .unwrap()
        .head;
    assert_eq!(
        (head.labels, head.score),
        (vec!["no".into(), "yes".into()], ScoreFunction::Softmax)
    );
    let head = config("").unwrap().head;
    assert_eq!(head.labels, ["LABEL_0", "LABEL_1"]);
    for wrong in [
        r#"{"0": "a", "2": "b"}"#,
        r#"{"0": 1}"#,
        "{}",
        r#"{"x": "a"}"#,
        "[]",
    ] {
        let error = config(&format!(r#", "id2label": {wrong}"#)).unwrap_err();
        assert_eq!(key_of(error), "id2label");
    }
}

#[test]
fn scores_follow_the_problem_type() {
    let score = |rest: &str| {
        let head = r#""model_type": "bert", "architectures": ["BertForSequenceClassification"]"#;
        read(&format!("{{{head}, {rest}}}")).unwrap().head.score
    };
    let one = r#""id2label": {"0": "LABEL_0"}"#;
    assert_eq!(score(one), ScoreFunction::Sigmoid);
    assert_eq!(
        score(&format!(r#"{one}, "problem_type": "regression""#)),
        ScoreFunction::Identity
    );
    assert_eq!(
        score(r#""problem_type": "multi_label_classification""#),
        ScoreFunction::Sigmoid
    );
    let own = r#""sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}"#;
    assert_eq!(score(&format!("{one}, {own}")), ScoreFunction::Identity);
    let old = r#""sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity""#;
    assert_eq!(score(&format!("{one}, {old}")), ScoreFunction::Identity);
}

fn sentence(pooling: &str) -> Files {
    files(r#"{"model_type": "bert", "hidden_size": 48}"#)
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
fn modules_that_leave_the_folder_or_are_unknown_are_refused() {
    let with = |modules: &str| files("{}").with("modules.json", modules.as_bytes().to_vec());
    let error = Config::read(&with(r#"[{"path": "../x", "type": "a.Transformer"}]"#)).unwrap_err();
    assert!(matches!(error, Error::PathOutside { path, .. } if path == "../x"));
    let error = Config::read(&with(r#"[{"path": "", "type": "a.CLIPModel"}]"#)).unwrap_err();
    assert_eq!(key_of(error), "type");
    let lstm = r#"[{"path": "", "type": "a.Transformer"}, {"path": "1", "type": "a.LSTM"}]"#;
    let files = Files::new()
        .with("config.json", br#"{"model_type": "bert"}"#)
        .with("modules.json", lstm.as_bytes().to_vec());
    let error = Config::read(&files).unwrap_err();
    assert!(matches!(error, Error::UnsupportedArchitecture { found } if found.contains("LSTM")));
}

#[test]
fn a_cross_encoder_may_have_modules() {
    let read = |modules: &str, settings: &str| {
        let config = r#"{"model_type": "bert", "architectures": ["BertForSequenceClassification"], "id2label": {"0": "x"}}"#;
        Config::read(
            &files(config)
                .with("modules.json", modules.as_bytes().to_vec())
                .with(
                    "config_sentence_transformers.json",
                    settings.as_bytes().to_vec(),
                ),
        )
    };
    let transformer = r#"{"path": "", "type": "a.Transformer"}"#;
    let alone = format!("[{transformer}]");
    let saved = |more: &str| format!(r#"{{"model_type": "CrossEncoder"{more}}}"#);

    let config = read(
        &alone,
        &saved(r#", "activation_fn": "torch.nn.modules.linear.Identity""#),
    )
    .unwrap();
    assert_eq!(config.head.task, Task::Classification);
    assert_eq!(config.head.score, ScoreFunction::Identity);
    assert_eq!(
        read(&alone, &saved("")).unwrap().head.score,
        ScoreFunction::Sigmoid
    );

    let error = read(&alone, &saved(r#", "activation_fn": "mine.Own""#)).unwrap_err();
    assert!(matches!(error, Error::UnsupportedActivation { found } if found == "mine.Own"));
    let more = format!(r#"[{transformer}, {{"path": "1", "type": "a.LogitScore"}}]"#);
    let error = read(&more, &saved("")).unwrap_err();
    assert!(matches!(error, Error::UnsupportedArchitecture { .. }));
    let error = read(&alone, &saved(r#", "default_prompt_name": "q""#)).unwrap_err();
    assert_eq!(key_of(error), "default_prompt_name");
}
