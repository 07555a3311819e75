//! Sources of texts: arguments, files and standard input.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use super::{bertless, bertless_reading, command, fixture, on, on_reading};

#[test]
fn a_line_is_a_text_from_everywhere() {
    let content = "a\tb\r\n\n\"c\" film";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("texts");
    std::fs::write(&path, content).unwrap();
    let file = path.to_str().unwrap();

    let arguments = on(
        "bert-classify",
        "predict",
        &["--json", "a\tb", "", "\"c\" film"],
    );
    assert_eq!(arguments.objects()[1]["text"], "");
    let read = |rest: &[&str]| {
        on_reading(
            "bert-classify",
            "predict",
            &[&["--json"], rest].concat(),
            content.as_bytes(),
        )
        .out
    };
    assert_eq!(read(&["-"]), arguments.out);
    assert_eq!(read(&["--file", "-"]), arguments.out);
    assert_eq!(read(&["--file", file]), arguments.out);
}

#[test]
fn pairs_from_everywhere() {
    let pairs = on(
        "bert-cross",
        "predict",
        &["--json", "--pairs", "a", "b", "c", "d"],
    );
    let first = &pairs.objects()[0];
    assert_eq!(
        (&first["text"], &first["text_pair"]),
        (&"a".into(), &"b".into())
    );
    let tsv = on_reading(
        "bert-cross",
        "predict",
        &["--json", "--pairs", "-"],
        b"a\tb\nc\td\n",
    );
    assert_eq!(tsv.out, pairs.out);
    let lines = b"{\"text\":\"a\",\"text_pair\":\"b\"}\n{\"text\":\"c\",\"text_pair\":\"d\"}\n";
    let jsonl = on_reading("bert-cross", "predict", &["--json", "--jsonl", "-"], lines);
    assert_eq!(jsonl.out, pairs.out);

    // Two texts are what `similarity` is about, so it needs no flag.
    let one = on("sentence-mean", "similarity", &["rain", "dog"]);
    let many = on_reading(
        "sentence-mean",
        "similarity",
        &["-"],
        b"rain\tdog\nrain\train\n",
    );
    assert_eq!(many.lines()[0], one.lines()[0]);
    assert_eq!(many.lines()[1], "1");
}

#[test]
fn questions_as_objects() {
    let line = br#"{"question": "What?", "context": "Rain."}"#;
    let object = on_reading(
        "bert-question",
        "predict",
        &["--json", "--jsonl", "-"],
        line,
    );
    let flags = ["--json", "--question", "What?", "--context", "Rain."];
    assert_eq!(object.out, on("bert-question", "predict", &flags).out);
    assert_eq!(object.object()["answer"], "Rain");
}

#[test]
fn many_texts_are_answered_in_their_order() {
    let texts: Vec<String> = (0..1000).map(|i| format!("rain {i}")).collect();
    let input = texts.join("\n");
    let ran = on_reading(
        "bert-classify",
        "predict",
        &["--json", "-"],
        input.as_bytes(),
    );
    let objects = ran.objects();
    assert_eq!(objects.len(), 1000);
    for (object, text) in objects.iter().zip(&texts) {
        assert_eq!(object["text"], text.as_str());
    }
    let alone = on("bert-classify", "predict", &["--json", "rain 777"]);
    assert_eq!(alone.object(), objects[777]);
}

#[test]
fn no_text_at_all_is_no_answer() {
    assert_eq!(on("bert-classify", "predict", &["-"]).out, "");
}

#[test]
fn a_text_is_answered_before_the_next_one_is_written() {
    let mut child = command()
        .args([
            "predict",
            "-m",
            fixture("bert-classify").to_str().unwrap(),
            "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines() {
            let _ = send.send(line.unwrap());
        }
    });
    for text in ["rain", "dog"] {
        writeln!(stdin, "{text}").unwrap();
        let line = receive.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(line.ends_with(&format!("  {text}")), "{line}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let mut child = command()
        .args([
            "predict",
            "-m",
            fixture("bert-classify").to_str().unwrap(),
            "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(&b"rain\n".repeat(10_000)); // stops when nobody reads any more
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(output.status.success());
}

#[test]
fn help_says_what_is_printed() {
    let ran = bertless_reading(&["predict", "--help"], b"");
    assert_eq!(ran.code, Some(0));
    for word in [
        "\"n_tokens\"",
        "\"entities\"",
        "--question",
        "--labels",
        "--query",
    ] {
        assert!(ran.out.contains(word), "{word}");
    }
    assert!(bertless(&["--version"]).out.starts_with("bertless "));
}

#[test]
fn empty_lines_of_json_lines_are_skipped_and_half_an_emoji_costs_its_own_character() {
    let lines = "\n{\"text\":\"good\"}\n\n{\"text\":\"cut \\ud83d\"}\r\n{\"text\": 7}\n \n";
    let ran = on_reading(
        "bert-classify",
        "predict",
        &["--json", "--jsonl", "-"],
        lines.as_bytes(),
    );
    let texts: Vec<String> = ran
        .objects()
        .iter()
        .map(|object| object["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(texts, ["good", "cut \u{fffd}", "7"]);
    let lines = b"{\"text\":\"good\"}\n{\"text\":";
    let ran = on_reading("bert-classify", "predict", &["--jsonl", "-"], lines);
    assert_eq!((ran.code, ran.out.lines().count()), (Some(1), 1));
    assert!(
        ran.err
            .contains("standard input, line 2: no JSON object: EOF"),
        "{ran:?}"
    );
}
