//! Output of each command for each task.

use serde_json::{Value, json};

use super::{begins, bertless, fixture, near, on, reference};

const FOX: &str = "The quick brown fox jumps over the lazy dog.";

#[test]
fn a_classifier() {
    let ran = on("bert-classify", "predict", &["--json", FOX]);
    begins(
        ran.lines()[0],
        &[
            "text",
            "label",
            "score",
            "scores",
            "label",
            "score",
            "n_tokens",
            "truncated",
        ],
    );
    let (answer, expected) = (ran.object(), reference("bert-classify"));
    assert_eq!(answer["text"], FOX);
    assert_eq!(answer["label"], expected["scores"][0]["label"]);
    assert_eq!(answer["n_tokens"], 13);
    assert_eq!(answer["truncated"], false);
    assert_eq!(answer.as_object().unwrap().len(), 6);
    for at in 0..3 {
        assert_eq!(
            answer["scores"][at]["label"],
            expected["scores"][at]["label"]
        );
        near(
            &answer["scores"][at]["score"],
            &expected["scores"][at]["score"],
        );
    }
    let ran = on("bert-classify", "predict", &["--json", "-k", "1", FOX]);
    assert_eq!(ran.object()["scores"].as_array().unwrap().len(), 1);

    let ran = on("bert-classify", "predict", &[FOX, "a\nb"]);
    assert_eq!(ran.lines()[0], format!("positive  0.3960  {FOX}"));
    assert!(ran.lines()[1].ends_with("  a\\nb"));
}

/// The classifier that comes with the command.
#[test]
fn without_a_model() {
    let ran = bertless(&["predict", "An absolute delight.", "A dull, lifeless mess."]);
    let lines = ran.lines();
    assert!(lines[0].starts_with("positive  0.9"), "{ran:?}");
    assert!(lines[1].starts_with("negative  0.9"), "{ran:?}");
    let summary = bertless(&["inspect", "--json"]).object();
    assert_eq!(summary["labels"], json!(["negative", "positive"]));
    assert_eq!(summary["dtype"], "int8");
    let bench = bertless(&["bench", "--json", "--tokens", "8", "--seconds", "0.01"]);
    assert_eq!(bench.objects().len(), 2);
}

#[test]
fn a_text_that_is_too_long_is_cut_and_the_answer_says_so() {
    let long = "rain ".repeat(100);
    let answer = on("bert-classify", "predict", &["--json", &long]).object();
    assert_eq!(
        (&answer["n_tokens"], &answer["truncated"]),
        (&json!(40), &json!(true))
    );
    let answer = on(
        "bert-classify",
        "predict",
        &["--json", "--max-length", "5", FOX],
    )
    .object();
    assert_eq!(
        (&answer["n_tokens"], &answer["truncated"]),
        (&json!(5), &json!(true))
    );
    let ran = on("bert-classify", "predict", &[&long]);
    assert!(ran.lines()[0].ends_with("(cut off: longer than the model reads)"));
}

#[test]
fn several_labels() {
    let labels = |thresholds: &[&str]| {
        let arguments = [&["--json", FOX], thresholds].concat();
        on("bert-multilabel", "predict", &arguments).object()["labels"].take()
    };
    // 0.91, 0.57, 0.28
    assert_eq!(labels(&[]), json!(["negative", "positive"]));
    assert_eq!(labels(&["--threshold", "0.95"]), json!([]));
    let mixed = ["--threshold", "0.1", "--threshold", "positive=0.6"];
    assert_eq!(labels(&mixed), json!(["negative", "neutral"]));
    let ran = on("bert-multilabel", "predict", &[FOX]);
    assert!(ran.lines()[0].starts_with("negative 0.9122, positive 0.5725  The quick"));
}

#[test]
fn a_regression() {
    let answer = on("bert-regression", "predict", &["--json", FOX]).object();
    near(
        &answer["score"],
        &reference("bert-regression")["scores"][0]["score"],
    );
}

#[test]
fn entities() {
    for strategy in ["none", "simple", "first", "average", "max"] {
        let ran = on(
            "bert-tokens",
            "predict",
            &["--json", "--aggregation", strategy, FOX],
        );
        begins(
            ran.lines()[0],
            &["text", "entities", "label", "score", "text", "start", "end"],
        );
        let (answer, expected) = (ran.object(), reference("bert-tokens"));
        let found = answer["entities"].as_array().unwrap();
        let expected = expected["entities"][strategy].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{strategy}");
        for (entity, expected) in found.iter().zip(expected) {
            for key in ["label", "start", "end"] {
                assert_eq!(entity[key], expected[key], "{strategy}");
            }
            near(&entity["score"], &expected["score"]);
        }
    }
    let ran = on("bert-tokens", "predict", &[FOX]);
    let lines = ran.lines();
    assert_eq!(lines[0], FOX);
    assert_eq!(lines[1], "  PER  0.6218  0..3  The");
}

#[test]
fn answers_to_questions() {
    let reference = reference("bert-question");
    let (question, context) = (&reference["first"], &reference["second"]);
    let (question, context) = (question.as_str().unwrap(), context.as_str().unwrap());
    let predict = |rest: &[&str]| on("bert-question", "predict", &[&["--json"], rest].concat());
    let ran = predict(&["--question", question, "--context", context, "-k", "3"]);
    begins(
        ran.lines()[0],
        &[
            "question",
            "context",
            "answer",
            "score",
            "start",
            "end",
            "no_answer_score",
            "answers",
        ],
    );
    let answer = ran.object();
    let expected = &reference["best"];
    near(&answer["no_answer_score"], &expected["no_answer_score"]);
    for at in 0..3 {
        let (answer, expected) = (&answer["answers"][at], &expected["answers"][at]);
        assert_eq!(answer["answer"], expected["answer"]);
        assert_eq!(
            (&answer["start"], &answer["end"]),
            (&expected["start"], &expected["end"])
        );
        near(&answer["score"], &expected["score"]);
    }
    // The other ways to put the same question.
    let same = predict(&["-k", "3", "--question", question, context]);
    assert_eq!(same.object(), answer);
    let same = predict(&["-k", "3", "--pairs", question, context]);
    assert_eq!(same.object(), answer);
    let short = predict(&["--max-answer-tokens", "1", "--question", question, context]).object();
    assert!(!short["answer"].as_str().unwrap().contains(' '));
}

#[test]
fn words_for_masks() {
    let text = "The [MASK] fox [MASK] over the lazy dog.";
    let ran = on("bert-mask", "predict", &["--json", text]);
    begins(
        ran.lines()[0],
        &["text", "masks", "token", "id", "score", "text", "n_tokens"],
    );
    let (answer, expected) = (ran.object(), reference("bert-mask"));
    for mask in 0..2 {
        assert_eq!(answer["masks"][mask].as_array().unwrap().len(), 5);
        for at in 0..5 {
            let word = &answer["masks"][mask][at];
            assert_eq!(word["id"], expected["masks"][mask][at]["id"]);
            near(&word["score"], &expected["masks"][mask][at]["score"]);
        }
    }
}

#[test]
fn labels_that_nobody_trained() {
    let reference = reference("bert-nli");
    for (flags, key) in [
        (&[][..], "zero_shot"),
        (&["--multi-label"][..], "zero_shot_multi"),
    ] {
        let arguments = [
            &["--json", "--labels", "politics, music,sports", FOX],
            flags,
        ]
        .concat();
        let ran = on("bert-nli", "predict", &arguments);
        begins(
            ran.lines()[0],
            &["text", "label", "score", "scores", "n_tokens", "truncated"],
        );
        let answer = ran.object();
        for at in 0..3 {
            let (score, expected) = (&answer["scores"][at], &reference[key][at]);
            assert_eq!(score["label"], expected["label"], "{key}");
            near(&score["score"], &expected["score"]);
        }
    }
    let other = [
        "--json",
        "--labels",
        "music",
        "--template",
        "Rain is {}!",
        FOX,
    ];
    let other = on("bert-nli", "predict", &other).object();
    let usual = on("bert-nli", "predict", &["--json", "--labels", "music", FOX]).object();
    assert_ne!(other["score"], usual["score"]);
}

/// Of labels without names the last one is taken, as transformers does, and the command says so; a flag says which one it is.
#[test]
fn labels_that_do_not_say_which_means_entailment() {
    let reference = reference("labels-nli-unnamed");
    let ask = |more: &[&str]| {
        let arguments = ["--json", "--labels", "politics,music,sports", FOX];
        on(
            "labels-nli-unnamed",
            "predict",
            &[&arguments, more].concat(),
        )
    };
    let silent = ask(&[]);
    assert_eq!(silent.code, Some(0), "{silent:?}");
    assert!(silent.err.starts_with("warning: ") && silent.err.contains("--entailment-label"));
    assert_eq!(silent.err.lines().count(), 1);
    let by_name = ask(&["--entailment-label", "LABEL_2"]);
    assert_eq!(by_name.out, silent.out);
    let answer = by_name.object();
    for at in 0..3 {
        let (score, expected) = (&answer["scores"][at], &reference["zero_shot"][at]);
        assert_eq!(score["label"], expected["label"]);
        near(&score["score"], &expected["score"]);
    }
    assert_eq!(ask(&["--entailment-label", "2"]).lines(), by_name.lines());
    assert_ne!(ask(&["--entailment-label", "0"]).lines(), by_name.lines());
}

#[test]
fn passages_in_order() {
    let ranked = reference("cross-raw")["ranked"].take();
    let strings = |value: &Value| -> Vec<String> {
        let list = value.as_array().unwrap().iter();
        list.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let passages = strings(&ranked["passages"]);
    let query = ranked["query"].as_str().unwrap();
    let mut arguments = vec!["--json", "--query", query];
    arguments.extend(passages.iter().map(String::as_str));
    let ran = on("cross-raw", "predict", &arguments);
    begins(ran.lines()[0], &["text", "index", "score"]);
    let lines = ran.objects();
    assert_eq!(lines.len(), passages.len());
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(line["index"], ranked["order"][at]);
        near(&line["score"], &ranked["scores"][at]);
        assert_eq!(
            line["text"],
            passages[line["index"].as_u64().unwrap() as usize].as_str()
        );
    }
    arguments.extend(["--top-k", "2"]);
    assert_eq!(on("cross-raw", "predict", &arguments).objects(), lines[..2]);
}

#[test]
fn embeddings_and_their_likeness() {
    let ran = on("sentence-mean", "embed", &["--json", FOX, "a\tb"]);
    begins(ran.lines()[0], &["text", "embedding"]);
    let lines = ran.objects();
    assert_eq!(lines[1]["text"], "a\tb");
    assert_eq!(lines[0].as_object().unwrap().len(), 2);
    let row = |line: &Value| -> Vec<f64> {
        let numbers = line["embedding"].as_array().unwrap().iter();
        numbers.map(|x| x.as_f64().unwrap()).collect()
    };
    assert_eq!(row(&lines[0]).len(), 12);

    let bare = on("sentence-mean", "embed", &[FOX]);
    let numbers = bare.lines()[0]
        .split(' ')
        .map(|x| x.parse::<f32>().unwrap());
    let expected = row(&lines[0]).into_iter().map(|x| x as f32);
    assert_eq!(numbers.collect::<Vec<_>>(), expected.collect::<Vec<_>>());

    let length = |flag: &str| {
        let ran = on("sentence-mean", "embed", &["--json", flag, FOX]).object();
        row(&ran).iter().map(|x| x * x).sum::<f64>().sqrt()
    };
    assert!((length("--normalize") - 1.0).abs() < 1e-6);
    assert!((length("--no-normalize") - 1.0).abs() > 1e-3);
    let pooled = on(
        "sentence-mean",
        "embed",
        &["--json", "--pooling", "cls", FOX],
    )
    .object();
    assert_ne!(row(&pooled), row(&lines[0]));

    let ran = on(
        "sentence-prompts",
        "similarity",
        &["--json", FOX, "A great film, with wonderful acting!"],
    );
    assert_eq!(ran.object().as_object().unwrap().len(), 1);
    near(
        &ran.object()["similarity"],
        &reference("sentence-prompts")["similarity_to_second"],
    );
}

/// What is compared is what is left of a truncated embedding.
#[test]
fn embeddings_that_are_truncated() {
    let name = "sentence-truncated";
    let second = "A great film, with wonderful acting!";
    let embedding = on(name, "embed", &["--json", FOX]).object()["embedding"].take();
    assert_eq!(embedding.as_array().unwrap().len(), 5);
    let alike = on(name, "similarity", &["--json", FOX, second]).object();
    near(
        &alike["similarity"],
        &reference(name)["similarity_to_second"],
    );
    let summary = on(name, "inspect", &["--json"]).object();
    assert_eq!(summary["embedding"], 5);
}

#[test]
fn prompts() {
    let of = |name: &str, rest: &[&str]| {
        on("sentence-prompts", name, &[&["--json", FOX], rest].concat()).object()["embedding"]
            .take()
    };
    assert_eq!(of("embed", &[]), of("embed", &["--prompt", "query"])); // the model's own choice
    let document = of("embed", &["--prompt", "document"]);
    assert_ne!(of("embed", &[]), document);
    assert_eq!(of("predict", &["--prompt", "document"]), document);
}

#[test]
fn tokens() {
    let text = "Zoë Müller";
    let ran = on("bert-base", "tokenize", &["--json", text]);
    begins(ran.lines()[0], &["ids", "tokens", "type_ids", "offsets"]);
    let line = ran.object();
    assert_eq!(
        line["tokens"],
        json!(["[CLS]", "zoe", "mul", "##ler", "[SEP]"])
    );
    assert_eq!(line["type_ids"], json!([0, 0, 0, 0, 0]));
    let offsets = json!([[0, 0], [0, 3], [4, 7], [7, 10], [0, 0]]);
    assert_eq!(line["offsets"], offsets);
    assert_eq!(line["ids"].as_array().unwrap().len(), 5);
    assert_eq!(
        on("bert-base", "tokenize", &[text]).lines(),
        ["[CLS] zoe mul ##ler [SEP]"]
    );

    let ran = on(
        "bert-base",
        "tokenize",
        &["--json", "--pairs", "the", "é film"],
    )
    .object();
    assert_eq!(ran["type_ids"], json!([0, 0, 0, 1, 1, 1]));
    assert_eq!(ran["offsets"][4], json!([2, 6]));
}

#[test]
fn tokens_are_cut_off_on_request_only() {
    let long = "rain ".repeat(100);
    let count = |rest: &[&str]| {
        let ran = on(
            "bert-base",
            "tokenize",
            &[&["--json", &long], rest].concat(),
        );
        let lines = ran.objects();
        lines
            .iter()
            .map(|line| line["ids"].as_array().unwrap().len())
            .collect::<Vec<_>>()
    };
    assert_eq!(count(&[]), [102]);
    assert_eq!(count(&["--max-length", "7"]), [7]);
    // Windows of 40 words that share 10: 0..40, 30..70, 60..100.
    assert_eq!(
        count(&["--max-length", "42", "--stride", "10"]),
        [42, 42, 42]
    );
    let pair = [
        "--pairs",
        "the a an",
        "rain",
        "--max-length",
        "5",
        "--truncation",
        "only-first",
    ];
    let ran = on("bert-base", "tokenize", &pair);
    assert_eq!(ran.lines(), ["[CLS] the [SEP] rain [SEP]"]);
}

#[test]
fn a_vocabulary_is_all_that_tokenize_needs() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["vocab.txt", "tokenizer_config.json"] {
        std::fs::copy(fixture("distilbert-base").join(file), dir.path().join(file)).unwrap();
    }
    let dir = dir.path().to_str().unwrap();
    let ran = bertless(&["tokenize", "--tokenizer-only", dir, "Rain!"]);
    assert_eq!(ran.lines(), ["[CLS] rain ! [SEP]"]);
    let ran = bertless(&["tokenize", "--model", dir, "Rain!"]);
    assert_eq!(ran.code, Some(1));
}

#[test]
fn what_a_model_is() {
    let summary = on("distilbert-classify", "inspect", &["--json"]).object();
    assert_eq!(summary["family"], "distilbert");
    assert_eq!(summary["task"], "classification");
    assert_eq!(
        summary["labels"],
        json!(["negative", "neutral", "positive"])
    );
    assert_eq!(summary["dtype"], "F16");
    for key in ["layers", "parameters", "bytes"] {
        assert!(summary[key].as_u64().unwrap() > 0, "{key}");
    }
    let ran = on("sentence-mean", "inspect", &[]);
    let lines = ran.lines();
    for key in [
        "family",
        "layers",
        "task",
        "pooling",
        "parameters",
        "size",
        "stored as",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(key)), "{key}");
    }
}

#[test]
fn capitals_that_are_lost_are_said_once_on_standard_error_and_by_inspect() {
    let dir = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(fixture("bert-classify")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    let vocabulary = dir.path().join("vocab.txt");
    let mut cased = std::fs::read_to_string(&vocabulary).unwrap();
    for (token, name) in [
        ("\nlondon\n", "\nLondon\n"),
        ("\nparis\n", "\nParis\n"),
        ("\nada\n", "\nAda\n"),
    ] {
        cased = cased.replace(token, name);
    }
    std::fs::write(&vocabulary, cased).unwrap();
    let config = dir.path().join("tokenizer_config.json");
    std::fs::write(&config, r#"{"tokenizer_class": "BertTokenizer"}"#).unwrap();
    let path = dir.path().to_str().unwrap();
    let packed = dir.path().join("packed");
    let packed = packed.to_str().unwrap();
    for arguments in [
        &["predict", "--model", path, "x"][..],
        &["tokenize", "--tokenizer-only", path, "x"],
        &["inspect", path],
        &["pack", path, "-o", packed],
        &["inspect", "--json", packed],
    ] {
        let ran = bertless(arguments);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(
            ran.err.starts_with("warning: 3 of ")
                && ran
                    .err
                    .contains("lower-cased by BertTokenizer (its default")
                && ran.err.lines().count() == 1,
            "{ran:?}"
        );
        if arguments[0] == "inspect" {
            assert!(
                ran.out.contains("warning") && ran.out.contains("lower-cased"),
                "{ran:?}"
            );
        }
    }
    std::fs::write(
        &config,
        r#"{"tokenizer_class": "BertTokenizer", "do_lower_case": false}"#,
    )
    .unwrap();
    assert_eq!(bertless(&["predict", "--model", path, "x"]).err, "");
}

#[test]
fn threads_change_nothing() {
    let of = |count| {
        on(
            "bert-classify",
            "predict",
            &["--json", "--threads", count, FOX, "b"],
        )
        .out
    };
    assert_eq!(of("1"), of("3"));
}
