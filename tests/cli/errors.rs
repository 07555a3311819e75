//! Errors: one clear line on standard error, code 1, or 2 for a command that makes no sense.

use super::{Ran, bertless, fixture, on, on_reading};

/// One line that says this, and nothing on standard output.
#[track_caller]
fn fails(ran: &Ran, code: i32, says: &str) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    assert_eq!(ran.out, "", "{ran:?}");
    complains(ran, says);
}

#[track_caller]
fn complains(ran: &Ran, says: &str) {
    assert!(
        ran.err.starts_with("error: ") && ran.err.contains(says),
        "{ran:?}"
    );
    assert!(
        ran.err.ends_with('\n') && ran.err.lines().count() == 1,
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
            "none, simple, first, average or max",
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

/// Runs a command whose standard output is this.
#[cfg(target_os = "linux")]
fn into(arguments: &[&str], output: impl Into<std::process::Stdio>) -> Ran {
    let mut command = super::command();
    let ran = command.args(arguments).stdout(output).output().unwrap();
    Ran {
        out: String::from_utf8(ran.stdout).unwrap(),
        err: String::from_utf8(ran.stderr).unwrap(),
        code: ran.status.code(),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let model = fixture("bert-classify");
    let model = model.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("t.tsv"), "text\tlabel\nrain\tneutral\n").unwrap();
    for arguments in [
        &["--help"][..],
        &["help", "train"],
        &["predict", "--help"],
        &["--version"],
        &["predict", "x"],
        &["predict", "-m", model, "--json", "x"],
        &["tokenize", "-m", model, "x"],
        &["inspect", model],
        &["pack", model, "-o", &path("packed"), "--force"],
        &["evaluate", "-m", model, "-d", &path("t.tsv")],
        &[
            "label",
            "-m",
            model,
            "-d",
            &path("t.tsv"),
            "-o",
            &path("o.tsv"),
        ],
        &["bench", "-m", model, "--tokens", "8", "--seconds", "0.01"],
        &["cost", "--latency-ms", "1=1"],
    ] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let ran = into(arguments, full);
        fails(&ran, 1, "standard output: No space left on device");
        // Opened for reading alone, where Rust takes writing for done.
        let ran = into(arguments, std::fs::File::open("/dev/null").unwrap());
        fails(&ran, 1, "standard output: it is closed");
    }
}

/// Runs a command by a shell that closes a stream first.
#[cfg(target_os = "linux")]
fn closing(stream: &str, arguments: &[&str]) -> Ran {
    let script = format!("exec \"$@\" {stream}");
    let ran = std::process::Command::new("sh")
        .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_bertless")])
        .args(arguments)
        .output()
        .unwrap();
    Ran {
        out: String::from_utf8(ran.stdout).unwrap(),
        err: String::from_utf8(ran.stderr).unwrap(),
        code: ran.status.code(),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn streams_that_are_closed_are_no_empty_ones() {
    for arguments in [&["predict", "x"][..], &["--version"]] {
        let ran = closing(">&-", arguments);
        fails(&ran, 1, "error: standard output: it is closed");
    }
    for arguments in [&["predict", "-"][..], &["evaluate", "-d", "-"]] {
        let ran = closing("<&-", arguments);
        fails(&ran, 1, "error: standard input: it is closed");
    }
    // A command that does not need it does not mind.
    assert_eq!(closing("<&-", &["predict", "x"]).code, Some(0));
    assert_eq!(closing("> /dev/null", &["predict", "x"]).code, Some(0));
    assert_eq!(closing("1<> /dev/null", &["predict", "x"]).code, Some(0));
}

#[test]
fn negative_numbers_are_refused_for_what_they_are() {
    let predict = |rest: &[&str]| on("bert-classify", "predict", &[rest, &["x"]].concat());
    for flag in ["--top-k", "--threads", "--max-length", "--threshold"] {
        fails(
            &predict(&[flag, "-1"]),
            2,
            &format!("invalid value '-1' for '{flag}"),
        );
    }
    for (arguments, says) in [
        (
            &["bench", "--tokens", "-8"][..],
            "invalid value '-8' for '--tokens",
        ),
        (&["bench", "--seconds", "-1"], "more than 0"),
        (&["cost", "--init-ms", "-0.5"], "number of milliseconds"),
        (
            &["tokenize", "--stride", "-1", "--max-length", "8", "x"],
            "invalid value '-1'",
        ),
        (
            &[
                "label",
                "-m",
                "m",
                "-d",
                "d",
                "-o",
                "o",
                "--least-score",
                "nan",
            ],
            "expected a number",
        ),
        (
            &["train", "--seeds", "-1"],
            "invalid value '-1' for '--seeds",
        ),
    ] {
        fails(&bertless(arguments), 2, says);
    }
    let train = [
        "train",
        "-m",
        "m",
        "-o",
        "o",
        "--task",
        "regression",
        "--train",
        "t.tsv",
    ];
    for (flag, value, says) in [
        ("--rate", "-1", "error: --rate: -1 is not above 0"),
        ("--rate", "-1e-5", "error: --rate: -1e-5 is not above 0"),
        ("--epochs", "0", "error: --epochs: 0 is not 1 or more"),
        ("--epochs", "-1", "expected u64 in `training.epochs`"),
        ("--batch", "-2", "expected usize in `training.batch`"),
        ("--seed", "-1", "expected u64 in `training.seed`"),
    ] {
        let ran = bertless(&[&train[..], &[flag, value]].concat());
        fails(&ran, 1, says);
    }
    let ran = bertless(&[&train[..], &["--rate", "1", "--set", "training.rate=-1"]].concat());
    fails(&ran, 1, "training.rate: is not above 0");
    // A text may be a negative number.
    assert_eq!(bertless(&["predict", "--", "-1"]).code, Some(0));
}

#[test]
fn a_file_is_not_called_by_a_dash() {
    let model = fixture("bert-classify");
    let model = model.to_str().unwrap();
    for arguments in [
        &["pack", model, "-o", "-"][..],
        &["label", "-m", model, "-d", "t.tsv", "-o", "-"],
        &["train", "-o", "-"],
        &["distill", "--output", "-"],
        &["cost", "--latency-ms", "1=1", "--svg", "-"],
    ] {
        fails(
            &bertless(arguments),
            2,
            "standard output is no place for it",
        );
    }
    for arguments in [
        &["label", "-m", model, "-o", "o.tsv", "-d", "-"][..],
        &["train", "--train", "-"],
        &["train", "--dev", "-"],
        &["distill", "--unlabelled", "-"],
    ] {
        fails(
            &bertless(arguments),
            2,
            "standard input cannot be: name a file",
        );
    }
}

#[test]
fn files_that_are_no_text_are_named_as_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let utf_16: Vec<u8> = "text\tlabel\nrain\t1\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let marked = [&b"\xff\xfe"[..], &utf_16].concat();
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0".to_vec();
    let zip = b"PK\x03\x04\x14\0\0\0".to_vec();
    let tables = [
        ("u.tsv", utf_16, "is UTF-16"),
        ("m.tsv", marked, "is UTF-16"),
        ("t.tsv.gz", gzip, "is compressed (gzip)"),
        ("t.zip", zip, "is a zip archive"),
        ("t.parquet", b"PAR1\x15\x04".to_vec(), "is a Parquet file"),
    ];
    let model = fixture("bert-classify");
    let model = model.to_str().unwrap();
    for (name, content, says) in tables {
        let file = path(name);
        std::fs::write(&file, &content).unwrap();
        let output = path("o.tsv");
        for arguments in [
            &["predict", "-m", model, "--file", &file][..],
            &["predict", "-m", model, "--jsonl", "--file", &file],
            &["predict", "-m", model, "--pairs", "--file", &file],
            &["evaluate", "-m", model, "--data", &file],
            &["label", "-m", model, "--data", &file, "--output", &output],
            &[
                "pack",
                model,
                "--output",
                &output,
                "--dtype",
                "int8",
                "--calibrate",
                &file,
            ],
            &[
                "train",
                "-m",
                model,
                "-o",
                &output,
                "--task",
                "classification",
                "--train",
                &file,
            ],
        ] {
            fails(&bertless(arguments), 1, &format!("{name}: {says}"));
        }
        let ran = on_reading("bert-classify", "predict", &["-"], &content);
        fails(&ran, 1, &format!("standard input: {says}"));
    }
}
