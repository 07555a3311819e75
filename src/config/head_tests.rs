use super::tests::{bert, files, key_of, read};
use super::*;

#[test]
fn labels_come_in_the_order_of_their_ids() {
    let config = |rest: &str| {
        let head = r#""architectures": ["BertForSequenceClassification"]"#;
        read(&bert(&format!("{head}{rest}")))
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
    let alike = config(r#", "id2label": {"0": "a", "1": "a"}"#)
        .unwrap()
        .head;
    assert_eq!(alike.labels, ["a", "a"]); // as in the reference
    for wrong in [
        r#"{"0": "a", "2": "b"}"#,
        r#"{"0": null}"#,
        r#"{"0": ["a"]}"#,
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
        let head = r#""architectures": ["BertForSequenceClassification"]"#;
        read(&bert(&format!("{head}, {rest}"))).unwrap().head.score
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
    let section =
        r#""sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}"#;
    assert_eq!(score(&format!("{one}, {section}")), ScoreFunction::Identity);
    let old = r#""sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity""#;
    assert_eq!(score(&format!("{one}, {old}")), ScoreFunction::Identity);
}

#[test]
fn labels_may_be_numbers() {
    let head = r#""architectures": ["BertForTokenClassification"]"#;
    let config = format!(r#"{head}, "id2label": {{"1": 0.5, " 0 ": 7, "02": true, "3": "x"}}"#);
    let labels = read(&bert(&config)).unwrap().head.labels;
    assert_eq!(labels, ["7", "0.5", "true", "x"]);
}

/// Checks score functions against those of `CrossEncoder` in sentence-transformers 6.2.
#[test]
fn a_cross_encoders_own_activation_stands_over_the_problem_type() {
    use ScoreFunction::{Identity, Sigmoid, Softmax};
    let torch = |class: &str| format!(r#""torch.nn.modules.{class}""#);
    let (id, sig, soft) = (
        torch("linear.Identity"),
        torch("activation.Sigmoid"),
        torch("activation.Softmax"),
    );
    let new = |path: &str| format!(r#", "sentence_transformers": {{"activation_fn": {path}}}"#);
    let old = |path: &str| format!(r#", "sbert_ce_default_activation_function": {path}"#);
    let kind = |name: &str| format!(r#", "problem_type": "{name}""#);
    let one = r#", "id2label": {"0": "LABEL_0"}"#;
    let head = |rest: &str| {
        let architecture = r#""architectures": ["BertForSequenceClassification"]"#;
        read(&bert(&format!("{architecture}{rest}"))).map(|config| config.head)
    };
    let (regression, multi) = (kind("regression"), kind("multi_label_classification"));
    let version = r#", "sentence_transformers": {"version": "4.1.0"}"#;
    for (rest, score, rank) in [
        (String::new(), Sigmoid, Sigmoid),
        (regression.clone(), Identity, Sigmoid),
        (multi.clone(), Sigmoid, Sigmoid),
        (format!("{}{multi}", new(&id)), Identity, Identity),
        (format!("{}{regression}", new(&sig)), Sigmoid, Sigmoid),
        (format!("{}{regression}", old(&sig)), Sigmoid, Sigmoid),
        (format!("{}{multi}", old(&id)), Identity, Identity),
        (new(&soft), Softmax, Softmax),
        // A key in the section takes precedence over the older key, even if its value is null.
        (format!("{}{}", new(&id), old(&sig)), Identity, Identity),
        (format!("{}{}", new("null"), old(&id)), Sigmoid, Sigmoid),
        (format!("{version}{}", old(&id)), Identity, Identity),
        (format!("{version}{regression}"), Sigmoid, Sigmoid),
    ] {
        let head = head(&format!("{one}{rest}")).unwrap();
        assert_eq!((head.score, head.rank), (score, rank), "{rest}");
    }
    // For several labels, Identity is only the default that sentence-transformers writes.
    for (rest, score) in [
        (new(&id), Softmax),
        (new(&sig), Sigmoid),
        (new(&soft), Softmax),
        (format!("{}{multi}", new(&id)), Sigmoid),
        (format!("{}{multi}", new(&soft)), Softmax),
    ] {
        assert_eq!(head(&rest).unwrap().score, score, "{rest}");
    }
    for (rest, key) in [
        (new(r#""mine.Own""#), "activation_fn"),
        (new(&torch("activation.Tanh")), "activation_fn"),
        (new("3"), "activation_fn"),
        (old(r#""mine.Own""#), "sbert_ce_default_activation_function"),
        (kind("ranking"), "problem_type"),
    ] {
        let error = head(&format!("{one}{rest}")).unwrap_err();
        assert_eq!(key_of(error), key, "{rest}");
    }
}

#[test]
fn entailment_is_where_label2id_has_it() {
    let entailment = |rest: &str| {
        let head = r#""architectures": ["BertForSequenceClassification"], "id2label": "#;
        read(&bert(&format!("{head}{rest}")))
            .unwrap()
            .head
            .entailment
    };
    let named = r#"{"0": "Contradiction", "1": "neutral", "2": "ENTAILMENT"}"#;
    let unnamed = r#"{"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}"#;
    for (rest, expected) in [
        (named.to_owned(), Some(2)),
        (unnamed.to_owned(), None),
        (
            format!(r#"{named}, "label2id": {{"entailment": 0, "neutral": 1}}"#),
            Some(0),
        ),
        (
            format!(r#"{unnamed}, "label2id": {{"entails": 1}}"#),
            Some(1),
        ),
        // An invalid id is ignored.
        (format!(r#"{named}, "label2id": {{"LABEL_0": 0}}"#), Some(2)),
        (
            format!(r#"{named}, "label2id": {{"entailment": 3}}"#),
            Some(2),
        ),
        (
            format!(r#"{unnamed}, "label2id": {{"entailment": -1}}"#),
            None,
        ),
        (format!(r#"{unnamed}, "label2id": []"#), None),
        (
            r#"{"0": "not_entailment", "1": "entailment"}"#.to_owned(),
            Some(1),
        ),
    ] {
        assert_eq!(entailment(&rest), expected, "{rest}");
    }
}

/// Builds a checkpoint with tensors of these names.
fn weights(names: &[&str]) -> Vec<u8> {
    let zero = [0; 4];
    let view = |name: &&str| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &zero).unwrap();
        ((*name).to_owned(), view)
    };
    safetensors::serialize(names.iter().map(view), None).unwrap()
}

#[test]
fn without_an_architecture_the_head_decides() {
    let bare = r#""embedding_size": 8, "normalization_type": "no_norm", "activation": "gelu", "hidden_dim": 96"#;
    let tags = r#", "id2label": {"0": "O", "1": "B-PER", "2": "I-PER"}"#;
    let no_pooler = r#", "classifier_activation": false"#;
    let task = |family: &str, names: &[&str], more: &str| {
        let config = format!(r#""model_type": {family:?}, {bare}{more}"#);
        let files = files(&bert(&config)).with("model.safetensors", weights(names));
        Config::read(&files).map(|config| config.head.task)
    };
    let word = "embeddings.word_embeddings.weight";
    let pooler = "bert.pooler.dense.weight";
    for (family, names, expected) in [
        ("bert", &[word][..], Task::Embedding),
        ("bert", &[word, "pooler.dense.weight"], Task::Embedding),
        ("bert", &[pooler, "classifier.weight"], Task::Classification),
        ("bert", &["classifier.weight"], Task::TokenClassification),
        ("bert", &["qa_outputs.weight"], Task::QuestionAnswering),
        (
            "bert",
            &["cls.predictions.transform.dense.weight"],
            Task::FillMask,
        ),
        (
            "mobilebert",
            &["mobilebert.pooler.dense.weight", "classifier.weight"],
            Task::Classification,
        ),
        (
            "distilbert",
            &["pre_classifier.weight", "classifier.weight"],
            Task::Classification,
        ),
        (
            "distilbert",
            &["classifier.weight"],
            Task::TokenClassification,
        ),
        ("distilbert", &["vocab_transform.weight"], Task::FillMask),
        (
            "electra",
            &["classifier.dense.weight", "classifier.out_proj.weight"],
            Task::Classification,
        ),
        ("electra", &["classifier.weight"], Task::TokenClassification),
        (
            "electra",
            &["generator_predictions.dense.weight"],
            Task::FillMask,
        ),
        (
            "electra",
            &["discriminator_predictions.dense.weight"],
            Task::Embedding,
        ),
        (
            "mpnet",
            &["classifier.out_proj.weight"],
            Task::Classification,
        ),
        ("mpnet", &["lm_head.dense.weight"], Task::FillMask),
    ] {
        assert_eq!(
            task(family, names, "").unwrap(),
            expected,
            "{family} {names:?}"
        );
    }
    for none in ["null", "[]"] {
        let none = format!(r#", "architectures": {none}"#);
        let found = task("bert", &["classifier.weight"], &none).unwrap();
        assert_eq!(found, Task::TokenClassification);
    }
    // Old token classifiers have a pooler, and a MobileBERT sequence classifier may have none.
    for (family, names, more) in [
        ("bert", &[pooler, "classifier.weight"][..], tags),
        ("mobilebert", &["classifier.weight"], no_pooler),
        (
            "bert",
            &[
                "qa_outputs.weight",
                "cls.predictions.transform.dense.weight",
            ],
            "",
        ),
    ] {
        let error = task(family, names, more).unwrap_err();
        assert!(error.to_string().contains("is missing"), "{error}");
        assert_eq!(key_of(error), "architectures");
    }
    assert_eq!(read(&bert("")).unwrap().head.task, Task::Embedding); // weights that are missing are missed later
}

#[test]
fn a_cross_encoder_may_have_modules() {
    let read = |modules: &str, settings: &str| {
        let head = r#""architectures": ["BertForSequenceClassification"], "id2label": {"0": "x"}"#;
        Config::read(
            &files(&bert(head))
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
    assert!(error.to_string().contains("mine.Own"), "{error}");
    assert_eq!(key_of(error), "activation_fn");
    let more = format!(r#"[{transformer}, {{"path": "1", "type": "a.LogitScore"}}]"#);
    let error = read(&more, &saved("")).unwrap_err();
    assert!(matches!(error, Error::UnsupportedArchitecture { .. }));
    let error = read(&alone, &saved(r#", "default_prompt_name": "q""#)).unwrap_err();
    assert_eq!(key_of(error), "default_prompt_name");
}
