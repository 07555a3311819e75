//! Errors of the command: one line on standard error and exit code 1, or clap's usage error and exit code 2.

use super::{Ran, bertless, fixture, on, on_reading};

/// Asserts that a command failed with this message and printed nothing on standard output.
#[track_caller]
pub(super) fn fails(ran: &Ran, code: i32, says: &str) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    assert_eq!(ran.out, "", "{ran:?}");
    complains(ran, says);
}

/// Asserts that standard error is this error: one line, or clap's rendering of a usage error, which leads to the help.
#[track_caller]
fn complains(ran: &Ran, says: &str) {
    assert!(
        ran.err.starts_with("error: ") && ran.err.contains(says),
        "{ran:?}"
    );
    let end = "\n\nFor more information, try '--help'.\n";
    assert_eq!(ran.err.matches("error: ").count(), 1, "{ran:?}");
    assert_eq!(ran.err.ends_with(end), ran.code == Some(2), "{ran:?}");
    assert!(ran.err.ends_with('\n'), "{ran:?}");
    assert!(
        ran.code == Some(2) || ran.err.lines().count() == 1,
        "{ran:?}"
    );
}

#[test]
fn a_command_that_makes_no_sense() {
    let predict = |rest: &[&str]| on("bert-classify", "predict", rest);
    for (rest, says) in [
        (&[][..], "give texts"),
        (&["-", "x"], "stands alone"),
        (&["--pairs", "x"], "even number"),
        (&["--jsonl", "{}"], "--jsonl reads lines"),
        (&["--file", "f", "x"], "cannot be used with"),
        (&["--pairs", "--jsonl", "-"], "cannot be used with"),
        (&["--threads", "0", "x"], "--threads"),
        (&["--threads", "many", "x"], "--threads"),
        (&["--top-k", "0", "x"], "--top-k"),
        (
            &["--aggregation", "mean", "x"],
            "none, simple, first, average, max",
        ),
        (&["--pooling", "most", "x"], "mean-sqrt-len"),
        (&["--threshold", "high", "x"], "LABEL=NUMBER"),
        (&["--threshold", "1.5", "x"], "from 0 to 1"),
        (&["--context", "x"], "--question"),
        (&["--multi-label", "x"], "--labels"),
        (&["--entailment-label", "0", "x"], "--labels"),
        (&["--labels", "a,,b", "x"], "empty"),
        (&["--question", "q", "--pairs", "a", "b"], "--question"),
        (&["--frobnicate", "x"], "--frobnicate"),
    ] {
        fails(&predict(rest), 2, says);
    }
    // The built-in model answers only as it was trained to.
    for rest in [
        &["embed", "x"][..],
        &["similarity", "x", "y"],
        &["label", "-d", "x", "-o", "y"],
    ] {
        fails(&bertless(rest), 2, "--model");
    }
    fails(&bertless(&["inspect", "--verify"]), 1, "none is named");
    fails(&bertless(&["frobnicate"]), 2, "frobnicate");
    let neither = bertless(&["tokenize", "x"]);
    fails(&neither, 2, "--model");
    fails(&neither, 2, "--tokenizer-only");
    // clap's tip and the sub-command's usage are kept, for its errors and for ours.
    let close = predict(&["--modl", "x"]);
    fails(&close, 2, "tip: a similar argument exists: '--model'");
    for (ran, usage) in [
        (close, "Usage: bertless predict "),
        (predict(&[]), "Usage: bertless predict "),
        (neither, "Usage: bertless tokenize "),
    ] {
        fails(&ran, 2, usage);
    }
    let one = on("sentence-mean", "similarity", &["a"]);
    fails(&one, 2, "even number");
    assert!(!one.err.contains("--pairs"), "{one:?}");
}

#[test]
fn models_that_are_not_there_or_not_for_that() {
    fails(
        &bertless(&["predict", "-m", "no/such/model", "x"]),
        1,
        "no/such/model",
    );
    let question = ["--question", "q", "--context", "c"];
    for (ran, says) in [
        (
            on("bert-classify", "predict", &question),
            "sequence classification",
        ),
        (
            on("bert-classify", "predict", &["--query", "q", "p"]),
            "reranking",
        ),
        (
            on("bert-classify", "predict", &["--labels", "a,b", "x"]),
            "negative, neutral, positive",
        ),
        (
            on("bert-classify", "predict", &["--labels", "a,b", "x"]),
            "entailment_label takes its name",
        ),
        (
            on(
                "labels-nli-unnamed",
                "predict",
                &["--labels", "a", "--entailment-label", "3", "x"],
            ),
            "LABEL_0, LABEL_1, LABEL_2",
        ),
        (
            on("bert-base", "predict", &["--labels", "a,b", "x"]),
            "zero-shot",
        ),
        (
            on("bert-question", "predict", &["x"]),
            "a question and a context",
        ),
        (
            on("bert-tokens", "predict", &["--pairs", "a", "b"]),
            "not a pair",
        ),
        (
            on("sentence-mean", "embed", &["--pairs", "a", "b"]),
            "not of a pair",
        ),
        (
            on("sentence-mean", "embed", &["--prompt", "joy", "x"]),
            "prompt",
        ),
        (
            on("bert-classify", "predict", &["--max-length", "41", "x"]),
            "40 positions",
        ),
        (
            on("bert-multilabel", "predict", &["--threshold", "joy=1", "x"]),
            "joy",
        ),
        (
            on("bert-classify", "predict", &["--threshold", "0.5", "x"]),
            "labels that exclude each other",
        ),
        (
            on("bert-classify", "predict", &["--query", "q", "a", "b"]),
            "error: this is a model for",
        ),
        (
            on(
                "bert-nli",
                "predict",
                &["--labels", "a", "--template", "It is.", "x"],
            ),
            "template",
        ),
        (
            on("bert-base", "tokenize", &["--max-length", "1", "x"]),
            "max_length",
        ),
    ] {
        fails(&ran, 1, says);
    }
}

#[test]
fn files_that_cannot_be_read() {
    fails(
        &on("bert-classify", "predict", &["--file", "no/such/file"]),
        1,
        "no/such/file: ",
    );
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    fails(&on("bert-classify", "predict", &["--file", dir]), 1, dir);
    let ran = on("bert-classify", "evaluate", &["--data", "no/such/table"]);
    fails(&ran, 1, "no/such/table: ");
}

#[test]
fn an_error_names_the_text_and_those_ahead_of_it_are_answered() {
    let ran = on_reading(
        "bert-classify",
        "predict",
        &["--json", "-"],
        b"rain\nra\xffin\ndog\n",
    );
    complains(
        &ran,
        "standard input, line 2: byte 3 of the line is not valid UTF-8",
    );
    assert_eq!((ran.code, ran.out.lines().count()), (Some(1), 1));
    assert!(ran.out.ends_with("}\n"));

    let ran = on_reading(
        "bert-mask",
        "predict",
        &["-"],
        b"a [MASK]\nno mask\n[MASK]\n",
    );
    complains(
        &ran,
        "standard input, line 2: there is no [MASK] in the text",
    );
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.starts_with("a [MASK]\n"));
    let ran = on("bert-mask", "predict", &["a [MASK]", "none"]);
    complains(&ran, "text 2: there is no [MASK]");
    fails(
        &on("bert-mask", "predict", &["none"]),
        1,
        "error: there is no [MASK]",
    );

    let ran = on_reading("bert-cross", "predict", &["--pairs", "-"], b"a\tb\nc\n");
    complains(
        &ran,
        "line 2: 1 columns with tabs between them, where there must be 2",
    );
    let ran = on_reading(
        "bert-cross",
        "predict",
        &["--jsonl", "-"],
        b"{\"text\":\"a\"}\n{\n",
    );
    complains(&ran, "line 2: ");
}

#[test]
fn a_name_with_a_line_break_is_still_one_line() {
    let ran = bertless(&["predict", "-m", "no\nsuch\u{1b}[31m", "x"]);
    fails(&ran, 1, "no\\nsuch\\u{1b}[31m");
}

/// A copy of a fixture's files.
fn copied(model: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(fixture(model)).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    dir
}

#[test]
fn a_text_without_any_token() {
    for model in ["bert-cross", "bert-question", "bert-tokens"] {
        let dir = copied(model);
        // The tokenizer of `bert-tokens`, but without special tokens around a text.
        let file = std::fs::read(fixture("bert-tokens").join("tokenizer.json")).unwrap();
        let mut tokenizer: serde_json::Value = serde_json::from_slice(&file).unwrap();
        tokenizer["post_processor"].take();
        std::fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
        let generic = r#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#;
        std::fs::write(dir.path().join("tokenizer_config.json"), generic).unwrap();
        let empty = match model {
            "bert-question" => &["--question", "", "--context", ""][..],
            _ => &[""],
        };
        let dir = dir.path().to_str().unwrap();
        let ran = bertless(&[&["predict", "--model", dir], empty].concat());
        fails(&ran, 1, "no token in the text");
    }
}

#[test]
fn a_file_that_is_no_packed_model() {
    let file = fixture("bert-classify").join("config.json");
    let ran = bertless(&["predict", "-m", file.to_str().unwrap(), "x"]);
    fails(&ran, 1, "config.json is not a packed model");
    let file = fixture("bert-classify").join("model.safetensors");
    let says = "model.safetensors is not a packed model, as `bertless pack` writes it: if it belongs to a model in several files, give their folder";
    for command in ["predict", "tokenize", "inspect"] {
        let text = &["x"][..usize::from(command != "inspect")];
        let arguments = [&[command, "-m", file.to_str().unwrap()], text].concat();
        fails(&bertless(&arguments), 1, says);
    }
}

#[cfg(unix)]
#[test]
fn weights_that_cannot_be_read_are_not_called_missing() {
    let dir = copied("bert-classify");
    let weights = dir.path().join("model.safetensors");
    let inspect = || bertless(&["inspect", "-m", dir.path().to_str().unwrap()]);
    std::fs::remove_file(&weights).unwrap();
    fails(&inspect(), 1, "has no model.safetensors");
    std::os::unix::fs::symlink("nowhere", &weights).unwrap();
    fails(&inspect(), 1, "/model.safetensors: No such file");
    std::fs::remove_file(&weights).unwrap();
    std::fs::create_dir(&weights).unwrap();
    fails(&inspect(), 1, "/model.safetensors: Is a directory");
}

#[test]
fn labels_that_are_called_the_same_are_not_measured() {
    let dir = copied("bert-classify");
    let path = dir.path().join("config.json");
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["id2label"]["1"] = "negative".into();
    std::fs::write(&path, config.to_string()).unwrap();
    let data = dir.path().join("data.tsv");
    std::fs::write(&data, "text\tlabel\nrain\tnegative\n").unwrap();
    let dir = dir.path().to_str().unwrap();
    let ran = bertless(&["evaluate", "-m", dir, "--data", data.to_str().unwrap()]);
    fails(&ran, 1, "two labels \"negative\"");
    assert_eq!(bertless(&["predict", "-m", dir, "rain"]).code, Some(0));
}

#[test]
fn weights_that_are_damaged() {
    let dir = copied("bert-classify");
    let weights = std::fs::read(fixture("bert-classify").join("model.safetensors")).unwrap();
    std::fs::write(
        dir.path().join("model.safetensors"),
        &weights[..weights.len() / 2],
    )
    .unwrap();
    let ran = bertless(&["inspect", "-m", dir.path().to_str().unwrap()]);
    fails(&ran, 1, "model.safetensors");
}
