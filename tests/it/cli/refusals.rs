//! Inputs and outputs that a command refuses: streams that cannot be written or read, invalid numbers, `-` as a file,
//! files that are not text.

use super::errors::fails;
use super::{Ran, bertless, fixture, on, on_reading};

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
    let train = "train -m m -o o --task multiple-negatives --train t.tsv".split(' ');
    let train: Vec<&str> = train.collect();
    for (flag, value, says) in [
        ("--learning-rate", "-1", "expected a number above 0"),
        ("--learning-rate", "-1e-5", "expected a number above 0"),
        ("--learning-rate", "nan", "expected a number above 0"),
        ("--learning-rate", "fast", "expected a number above 0"),
        ("--epochs", "0", "expected a whole number from 1 "),
        ("--epochs", "-1", "expected a whole number from 1 "),
        ("--epochs", "1e3", "expected a whole number from 1 "),
        ("--batch-size", "-2", "expected a whole number from 1 "),
        ("--seed", "-1", "expected a whole number from 0 "),
        (
            "--seed",
            "9223372036854775808",
            "expected a whole number from 0 to 9223372036854775807",
        ),
        ("--precision", "int8", "[possible values: f32, bf16]"),
    ] {
        let ran = bertless(&[&train[..], &[flag, value]].concat());
        let value = format!("invalid value '{value}' for '{flag} <");
        fails(&ran, 2, &value);
        fails(&ran, 2, says);
    }
    let ran = bertless(&["train", "--task", "multi-lable"]);
    fails(&ran, 2, "tip: a similar value exists: 'multi-label'");
    // A value that only the recipe knows to be wrong is blamed on its flag, or on --set where that is the last word.
    let ran = bertless(&[&train[..], &["--batch-size", "1"]].concat());
    fails(&ran, 1, "error: --batch-size: 1 is too few");
    let ran = bertless(
        &[
            &train[..],
            &["--learning-rate", "1", "--set", "training.learning-rate=-1"],
        ]
        .concat(),
    );
    fails(&ran, 1, "training.learning-rate: is not above 0");
    let ran = bertless(&[&train[..], &["--batch-size", "8", "--batch", "8"]].concat());
    fails(&ran, 1, "also by its former name training.batch");
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
            "it cannot be written to standard output",
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

/// A folder with files of these names.
fn files(content: &[(&str, &str)]) -> (tempfile::TempDir, impl Fn(&str) -> String) {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in content {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let root = dir.path().to_owned();
    (dir, move |name: &str| root.join(name).display().to_string())
}

#[test]
fn a_table_is_not_read_as_lines() {
    let (_dir, path) = files(&[
        ("t.tsv", "text\tlabel\nrain\t1\n"),
        ("T.CSV", "text,label\nrain,1\n"),
        ("t.tab", ""),
        ("t.json", "[{\"text\": \"rain\"}]\n"),
        ("h.tsv", "sentence1\tsentence2\nrain\tdog\n"),
        ("one.jsonl", "{\"text\": \"rain\"}\n"),
        (
            "two.jsonl",
            "{\"text\": \"rain\", \"text_pair\": \"dog\"}\n",
        ),
    ]);
    let model = |name: &str| fixture(name).display().to_string();
    let (classify, cross) = (model("bert-classify"), model("bert-cross"));
    let embed = model("sentence-mean");
    let pack = [
        "pack",
        &classify,
        "--dtype",
        "int8",
        "-o",
        &path("packed"),
        "--calibrate",
    ];
    let texts = "a table, and texts are read from lines: write its column of texts to a .txt";
    let pairs = "a table with commas, and pairs are two columns with a tab between them";
    for (start, file, says) in [
        (&["predict", "-m", &classify, "-f"][..], "t.tsv", texts),
        (&["predict", "-m", &classify, "-f"], "T.CSV", texts),
        (&["embed", "-m", &embed, "-f"], "T.CSV", texts),
        (&["tokenize", "-m", &classify, "-f"], "t.tab", texts),
        (
            &["predict", "-m", &embed, "--query", "dog", "-f"],
            "t.tsv",
            texts,
        ),
        (&pack, "t.tsv", texts),
        (&pack, "T.CSV", texts),
        (&["predict", "-m", &cross, "--pairs", "-f"], "T.CSV", pairs),
        (&["similarity", "-m", &embed, "-f"], "T.CSV", pairs),
        (
            &["predict", "-m", &classify, "-f"],
            "t.json",
            "--jsonl reads objects, one a line",
        ),
        (
            &["similarity", "-m", &embed, "-f"],
            "h.tsv",
            "line 1: sentence1 and sentence2 are names of columns",
        ),
        (
            &["predict", "-m", &cross, "--pairs", "-f"],
            "one.jsonl",
            "line 1: there is one text, and two are needed",
        ),
        (
            &["predict", "-m", &embed, "--query", "dog", "-f"],
            "two.jsonl",
            "--query ranks single ones",
        ),
        (
            &pack,
            "two.jsonl",
            "line 1: there are two texts: --pairs reads pairs",
        ),
        (
            &["predict", "-m", &classify, "-f"],
            "none.tsv",
            "none.tsv: No such file",
        ),
    ] {
        let file = path(file);
        fails(&bertless(&[start, &[&file]].concat()), 1, says);
    }
    assert!(!std::path::Path::new(&path("packed")).exists());
}

#[test]
fn objects_are_read_as_such_by_the_ending() {
    let (_dir, path) = files(&[
        (
            "one.jsonl",
            "{\"sentence\": \"rain\"}\n\n{\"text\": \"dog\"}\n",
        ),
        (
            "two.ndjson",
            "{\"sentence1\": \"rain\", \"sentence2\": \"dog\"}\n",
        ),
        ("objects", "{\"sentence\": \"rain\"}\n"),
        ("empty.txt", ""),
    ]);
    let predict = |model, rest: &[&str]| on(model, "predict", &[&["--json"], rest].concat());
    let texts = predict("bert-classify", &["rain", "dog"]).objects();
    assert_eq!(
        predict("bert-classify", &["-f", &path("one.jsonl")]).objects(),
        texts
    );
    let pair = predict("bert-cross", &["--pairs", "rain", "dog"]).objects();
    for flags in [&[][..], &["--pairs"], &["--jsonl"]] {
        let two = path("two.ndjson");
        let ran = predict("bert-cross", &[flags, &["-f", &two]].concat());
        assert_eq!(ran.objects(), pair, "{flags:?}");
    }
    let ran = predict("bert-classify", &["--jsonl", "-f", &path("objects")]);
    assert_eq!(ran.objects(), texts[..1]);
    // By no ending it is a text like any other, and no text is no answer.
    let ran = predict("bert-classify", &["-f", &path("objects")]);
    assert_eq!(ran.object()["text"], "{\"sentence\": \"rain\"}");
    assert_eq!(
        predict("bert-classify", &["-f", &path("empty.txt")]).lines(),
        [""; 0]
    );
}

#[test]
fn a_number_that_is_none_is_answered_with_what_is_expected() {
    for (arguments, says) in [
        (
            &["predict", "-k", "-1", "x"][..],
            "expected a whole number from 1 to 4294967295",
        ),
        (
            &["predict", "-k", "0", "x"],
            "expected a whole number from 1",
        ),
        (
            &["predict", "-k", "1.5", "x"],
            "expected a whole number from 1",
        ),
        (
            &["predict", "--threads", "2000", "x"],
            "expected a whole number from 1 to 1024",
        ),
        (
            &["predict", "--stride", "-1", "x"],
            "expected a whole number from 0",
        ),
        (
            &["tokenize", "--stride", "x", "--max-length", "8", "x"],
            "expected a whole number from 0",
        ),
        (
            &["bench", "--batch", "4294967295"],
            "at most 1048576 are measured",
        ),
        (
            &["bench", "--batch", "99999999999999999999"],
            "expected a whole number",
        ),
        (
            &["cost", "--texts", "1000000", "--tokens", "32"],
            "at most 1048576 are measured",
        ),
        (
            &["train", "--seeds", "1,x"],
            "expected a whole number from 0",
        ),
        (
            &["pack", "m", "-o", "o", "--max-error", "-1"],
            "expected a number, 0 or more",
        ),
        (
            &["pack", "m", "-o", "o", "--max-error", "nan"],
            "expected a number, 0 or more",
        ),
        (
            &["pack", "m", "-o", "o", "--max-error", "x"],
            "expected a number, 0 or more",
        ),
    ] {
        fails(&bertless(arguments), 2, says);
    }
}
