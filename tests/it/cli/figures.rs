//! `evaluate`: metrics of a model on a table.

use serde_json::{Value, json};

use super::{Ran, begins, bertless_reading, fixture, on, on_reading};

const TEXTS: [&str; 4] = [
    "The quick brown fox jumps over the lazy dog.",
    "A great film, with wonderful acting!",
    "worst movie EVER... no story, no plot",
    "\"unbelievable 12345",
];

/// Evaluates a table that comes on standard input.
fn evaluate(model: &str, table: &str, rest: &[&str]) -> Ran {
    let arguments = [&["--json", "--data", "-"], rest].concat();
    on_reading(model, "evaluate", &arguments, table.as_bytes())
}

/// What the model says of the texts.
fn predicted(model: &str) -> Vec<Value> {
    on(model, "predict", &[&["--json"], &TEXTS[..]].concat()).objects()
}

fn table(header: &str, rows: impl Iterator<Item = String>) -> String {
    let rows: Vec<String> = std::iter::once(header.to_owned()).chain(rows).collect();
    rows.join("\n") + "\n"
}

#[test]
fn labels_by_name_or_id_in_any_column() {
    let ids = ["negative", "neutral", "positive"];
    let id = |name: &str| ids.iter().position(|label| *label == name).unwrap();
    let answers = predicted("bert-classify");
    // Three are expected as they come, by name and by id; one otherwise.
    let cell = |at: usize| {
        let label = answers[at]["label"].as_str().unwrap();
        match at {
            0 => label.to_owned(),
            3 => ((id(label) + 1) % 3).to_string(),
            _ => id(label).to_string(),
        }
    };
    let rows = || (0..4).map(|at| format!("{}\t7\t{}", cell(at), TEXTS[at]));
    let ran = evaluate("bert-classify", &table("label\tid\tsentence", rows()), &[]);
    let figures = ran.object();
    assert_eq!(figures.as_object().unwrap().len(), 4);
    assert_eq!(
        (&figures["n"], &figures["accuracy"]),
        (&json!(4), &json!(0.75))
    );
    for key in ["macro_f1", "mcc"] {
        assert!(figures[key].as_f64().unwrap() < 1.0, "{key}");
    }
    assert!(
        ran.out
            .starts_with("{\"n\":4,\"accuracy\":0.75,\"macro_f1\":")
    );

    let flags = ["--text-column", "words", "--label-column", "intent"];
    let renamed = evaluate("bert-classify", &table("intent\tid\twords", rows()), &flags);
    assert_eq!(renamed.out, ran.out);
    let wrong = evaluate("bert-classify", &table("intent\tid\twords", rows()), &[]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.err.contains("there is no column"), "{wrong:?}");
}

#[test]
fn a_label_that_the_model_does_not_have_is_an_error() {
    let rows = TEXTS.iter().zip(["0", "1", "joy", "2"]);
    let rows = rows.map(|(text, label)| format!("{text}\t{label}"));
    let ran = evaluate("bert-classify", &table("text\tlabel", rows), &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(
        ran.err
            .contains("line 4: label \"joy\" is none of negative, neutral, positive"),
        "{ran:?}"
    );
    let ran = evaluate("bert-classify", "text\tlabel\n", &[]);
    assert!(
        ran.err
            .contains("line 1: there is nothing below the header"),
        "{ran:?}"
    );
}

#[test]
fn sets_of_labels() {
    let rows = predicted("bert-multilabel")
        .into_iter()
        .zip(TEXTS)
        .map(|(answer, text)| {
            let labels: Vec<&str> = answer["labels"]
                .as_array()
                .unwrap()
                .iter()
                .map(|label| label.as_str().unwrap())
                .collect();
            format!("{text}\t{}", labels.join(","))
        });
    let table = table("text\tlabels", rows);
    let figures = evaluate("bert-multilabel", &table, &[]).object();
    assert_eq!(
        (&figures["n"], &figures["micro_f1"]),
        (&json!(4), &json!(1.0))
    );
    let strict = evaluate("bert-multilabel", &table, &["--threshold", "0.999"]).object();
    assert_eq!(strict["micro_f1"], 0.0);
}

#[test]
fn scores() {
    let answers = predicted("bert-regression");
    let rows = answers.iter().zip(TEXTS);
    let rows =
        rows.map(|(answer, text)| format!("{text}\t{}", -2.0 * answer["score"].as_f64().unwrap()));
    let figures = evaluate("bert-regression", &table("sentence\tscore", rows), &[]).object();
    assert_eq!(figures.as_object().unwrap().len(), 3);
    for key in ["pearson", "spearman"] {
        assert!((figures[key].as_f64().unwrap() + 1.0).abs() < 1e-6, "{key}");
    }
    let rows = TEXTS.map(|text| format!("{text}\t1.5")).into_iter();
    let figures = evaluate("bert-regression", &table("sentence\tscore", rows), &[]).object();
    assert_eq!(figures["spearman"], Value::Null); // all the same: not defined
    let ran = evaluate("bert-regression", "sentence\tscore\nx\thigh\n", &[]);
    assert!(
        ran.err.contains("line 2: \"high\" is not a number"),
        "{ran:?}"
    );
}

#[test]
fn likeness_of_pairs() {
    let rows = (0..3).map(|at| {
        let (a, b) = (TEXTS[at], TEXTS[at + 1]);
        let ran = on("sentence-mean", "similarity", &[a, b]);
        format!("{b}\t{}\t{a}", ran.lines()[0])
    });
    let table = table("sentence2\tscore\tsentence1", rows);
    let figures = evaluate("sentence-mean", &table, &[]).object();
    assert_eq!(figures["n"], 3);
    for key in ["pearson", "spearman"] {
        assert!(figures[key].as_f64().unwrap() > 1.0 - 1e-9, "{key}");
    }
}

#[test]
fn tags_of_words() {
    // What the model says of single tokens, so that a word's tag is that of its first one.
    let text = "Zoe Muller lives in New York ; she works";
    let ran = on(
        "bert-tokens",
        "predict",
        &["--json", "--aggregation", "none", text],
    );
    let answer = ran.object();
    let entities = answer["entities"].as_array().unwrap();
    let mut at = 0;
    let mut tags = Vec::new();
    for word in text.split(' ') {
        let first = entities.iter().find(|entity| entity["start"] == at);
        tags.push(first.map_or("O", |entity| entity["label"].as_str().unwrap()));
        at += word.len() + 1;
    }
    assert!(tags.iter().any(|tag| *tag != "O"));
    let row = |tags: &[&str]| {
        table(
            "tags\ttokens",
            std::iter::once(format!("{}\t{text}", tags.join(" "))),
        )
    };
    let figures = evaluate("bert-tokens", &row(&tags), &[]).object();
    assert_eq!(
        (&figures["entity_f1"], &figures["accuracy"]),
        (&json!(1.0), &json!(1.0))
    );
    let figures = evaluate("bert-tokens", &row(&["O"; 9]), &[]).object();
    assert_eq!(figures["entity_f1"], 0.0);
    let ran = evaluate("bert-tokens", &row(&tags[1..]), &[]);
    assert!(ran.err.contains("line 2: 9 tokens and 8 tags"), "{ran:?}");
}

#[test]
fn answers_to_questions() {
    let table = "question\tanswer\tcontext\nWhat?\tthe rain!\tRain.\nWhat?\tlazy dog\tRain.\n";
    let figures = evaluate("bert-question", table, &[]).object();
    assert_eq!(figures, json!({"n": 2, "exact_match": 0.5, "f1": 0.5}));
}

#[test]
fn there_is_no_measure_for_words_of_masks() {
    let ran = evaluate("bert-mask", "text\tlabel\nx\ty\n", &[]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("fill-mask"), "{ran:?}");
    let ran = on_reading(
        "bert-classify",
        "evaluate",
        &["--data", "-"],
        b"text\tlabel\nx\t0\n",
    );
    let lines = ran.lines();
    assert!(lines[0].starts_with("n ") && lines[1].starts_with("accuracy "));
}

/// The columns of a table that `--compare` prints, by their names.
fn columns(ran: &Ran) -> Vec<Vec<(String, String)>> {
    let cells = |line: &str| -> Vec<String> {
        let cells = line.split("  ").map(str::trim);
        cells
            .filter(|cell| !cell.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let lines = ran.lines();
    let names = cells(lines[0]);
    let row = |line: &&str| names.iter().cloned().zip(cells(line)).collect();
    lines[1..].iter().map(row).collect()
}

#[test]
fn types_side_by_side() {
    let cases = [
        (
            "bert-classify",
            "sentence\tlabel",
            "0",
            vec!["same_answers"],
        ),
        (
            "bert-multilabel",
            "sentence\tlabels",
            "0",
            vec!["same_answers"],
        ),
        (
            "bert-regression",
            "sentence\tscore",
            "0.5",
            vec!["difference_mean", "difference_worst"],
        ),
        (
            "sentence-mean",
            "sentence1\tsentence2\tscore",
            "a film\t0.5",
            vec!["cosine_mean", "cosine_worst"],
        ),
    ];
    for (model, header, rest, nearness) in cases {
        let rows = TEXTS.iter().map(|text| format!("{text}\t{rest}"));
        let table = table(header, rows);
        let single = evaluate(model, &table, &["--dtype", "int8"]).object();
        let ran = evaluate(model, &table, &["--compare", "f32,int8"]);
        let [exact, bytes] = &ran.objects()[..] else {
            panic!("{ran:?}");
        };
        assert_eq!(
            (&exact["dtype"], &bytes["dtype"]),
            (&json!("f32"), &json!("int8"))
        );
        for key in ["file_bytes", "weight_bytes"] {
            let sizes = (exact[key].as_u64().unwrap(), bytes[key].as_u64().unwrap());
            assert!(sizes.0 > sizes.1 && sizes.1 > 0, "{model} {key}: {sizes:?}");
        }
        for line in [exact, bytes] {
            assert!(line["file_bytes"].as_u64() > line["weight_bytes"].as_u64());
            assert!(line["texts_per_second"].as_f64().unwrap() > 0.0);
            for key in single.as_object().unwrap().keys() {
                assert!(line.get(key).is_some(), "{model} {key}");
            }
        }
        // The first is what others are compared with.
        for key in nearness {
            assert!(exact.get(key).is_none());
            let figure = bytes[key].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&figure), "{model} {key}: {figure}");
            if key.starts_with("cosine") {
                assert!(
                    figure > 0.9 && figure < 0.999_999,
                    "{model} {key}: {figure}"
                );
            }
            if key.starts_with("difference") {
                assert!(figure > 0.0, "{model} {key}");
            }
        }
        begins(
            ran.lines()[1],
            &[
                "dtype",
                "file_bytes",
                "weight_bytes",
                "texts_per_second",
                "n",
            ],
        );
        let same = evaluate(model, &table, &["--compare", "f32,f32"]);
        let second = &same.objects()[1];
        for (key, perfect) in [
            ("same_answers", 1.0),
            ("cosine_worst", 1.0),
            ("difference_worst", 0.0),
        ] {
            if let Some(figure) = second.get(key) {
                assert!(
                    (figure.as_f64().unwrap() - perfect).abs() < 1e-6,
                    "{model} {key}"
                );
            }
        }
    }
}

#[test]
fn types_side_by_side_in_a_table() {
    let rows = TEXTS.iter().map(|text| format!("{text}\t1"));
    let table = table("sentence\tlabel", rows);
    let arguments = [
        "--data",
        "-",
        "--compare",
        "f32,bf16,int8",
        "--threads",
        "1",
    ];
    let ran = on_reading("bert-classify", "evaluate", &arguments, table.as_bytes());
    let columns = columns(&ran);
    let names: Vec<&str> = columns[1].iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "dtype",
        "file MB",
        "weights MB",
        "texts/s",
        "accuracy",
        "macro_f1",
        "mcc",
        "same_answers",
    ];
    assert_eq!(names, expected);
    assert_eq!(columns[0].len(), expected.len() - 1);
    let types: Vec<&str> = columns.iter().map(|line| line[0].1.as_str()).collect();
    assert_eq!(types, ["f32", "bf16", "int8"]);
}

#[test]
fn what_cannot_be_compared_is_said() {
    let ran = evaluate(
        "bert-classify",
        "text\tlabel\na\t1\n",
        &["--compare", "f32,int3"],
    );
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let rest = ["--compare", "f32", "--dtype", "int8"];
    let ran = evaluate("bert-classify", "text\tlabel\na\t1\n", &rest);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let ran = evaluate(
        "bert-classify",
        "text\tlabel\na\tjoy\n",
        &["--compare", "f32,int8"],
    );
    assert!(
        ran.code == Some(1) && ran.err.contains("line 2: label \"joy\""),
        "{ran:?}"
    );
    let file = fixture("../packed/bert-classify.safetensors");
    let arguments = [
        "evaluate",
        "--model",
        file.to_str().unwrap(),
        "--data",
        "-",
        "--compare",
        "int8",
    ];
    let ran = bertless_reading(&arguments, b"text\tlabel\na\t1\n");
    assert!(
        ran.code == Some(1) && ran.err.contains("not a model's folder"),
        "{ran:?}"
    );
    // Nor the model that comes with the crate, which is packed as well.
    let arguments = ["evaluate", "--data", "-", "--compare", "int8"];
    let ran = bertless_reading(&arguments, b"text\tlabel\na\tpositive\n");
    assert!(
        ran.code == Some(1) && ran.err.contains("--model names it"),
        "{ran:?}"
    );
}

/// Tables of each kind, with labels as lists, in cells and by id.
#[test]
fn labels_are_the_same_in_every_kind_of_table() {
    let dir = tempfile::tempdir().unwrap();
    let names = on("bert-multilabel", "inspect", &["--json"]).object()["labels"].clone();
    let [a, b] = [0, 1].map(|id: usize| names[id].as_str().unwrap().to_owned());
    let figures: Vec<Value> = [
        ("t.tsv", format!("text\tlabels\nrain\t{a}, {b}\ndog\t1\ncat\t\n")),
        ("t.csv", format!("text,labels\nrain,\" {b} ,{a}\"\ndog,1.0\ncat,\n")),
        (
            "t.jsonl",
            format!(
                "{{\"text\": \"rain\", \"labels\": [\"{a}\", \"{b}\"]}}\n{{\"text\": \"dog\", \"labels\": [1]}}\n\n\
                 {{\"text\": \"cat\", \"labels\": []}}\n"
            ),
        ),
    ]
    .into_iter()
    .map(|(name, table)| {
        let path = dir.path().join(name);
        std::fs::write(&path, table).unwrap();
        let data = path.to_str().unwrap();
        on("bert-multilabel", "evaluate", &["--json", "--data", data]).object()
    })
    .collect();
    assert_eq!(figures[0]["n"], 3);
    assert_eq!(figures[0], figures[1]);
    assert_eq!(figures[0], figures[2]);
}

#[test]
fn a_table_that_cannot_be_measured_is_named_by_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let evaluate = |model: &str, name: &str, table: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, table).unwrap();
        on(model, "evaluate", &["--data", path.to_str().unwrap()])
    };
    for (model, name, table, says) in [
        (
            "bert-classify",
            "t.tsv",
            "text\tlabel\n",
            "t.tsv, line 1: there is nothing below the header",
        ),
        (
            "bert-classify",
            "t.jsonl",
            "\n",
            "t.jsonl, line 1: there is no row",
        ),
        (
            "bert-classify",
            "t.csv",
            "text;label\nrain;1\n",
            "t.csv, line 1: there is no column sentence, nor text, nor sentence1, nor premise, only text;label: cells of .csv \
             have commas between them, those of .tsv tabs",
        ),
        (
            "sentence-mean",
            "t.tsv",
            "text\tscore\nrain\t1\n",
            "t.tsv, line 1: there is no column sentence2, nor text_pair, nor context, nor hypothesis, only text, score; \
             --text-column and --pair-column name others",
        ),
        (
            "bert-classify",
            "t.jsonl",
            "{\"text\": \"rain\", \"label\": [0, 1]}\n",
            "line 1: there are several labels, \"0 1\", where one belongs: this model answers with one label",
        ),
        (
            "bert-classify",
            "t.tsv",
            "text\tlabel\nrain\t+1\n",
            "line 2: label \"+1\" is none of",
        ),
        (
            "bert-classify",
            "t.jsonl",
            "{\"text\": \"rain\", \"label\": 1e0}\n",
            "line 1: label \"1e0\" is none of",
        ),
        (
            "bert-multilabel",
            "t.jsonl",
            "{\"text\": \"rain\", \"labels\": [0, 0, 1]}\n",
            "line 1: label \"0\" stands twice in \"0 0 1\": the names or ids of the labels that hold belong there, not a 0 \
             or 1 for each label",
        ),
    ] {
        let ran = evaluate(model, name, table);
        assert!(ran.code == Some(1) && ran.err.contains(says), "{ran:?}");
    }
}
