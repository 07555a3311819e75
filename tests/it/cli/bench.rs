//! `bench`: the form of its output; the measured values depend on the machine.

use std::time::{Duration, Instant};

use super::{begins, bertless, fixture, on};

const QUICK: [&str; 2] = ["--seconds", "0.01"];

#[test]
fn lines_of_json_have_their_keys_in_order() {
    let lengths = [
        "--json",
        "--threads",
        "2",
        "--tokens",
        "2,5",
        "--batch",
        "3",
        "--dtype",
        "int8",
    ];
    let begin = Instant::now();
    let ran = on("bert-base", "bench", &[&lengths[..], &QUICK].concat());
    let whole = begin.elapsed();
    let lines = ran.lines();
    let keys = [
        "load_ms",
        "first_ms",
        "peak_rss_mb",
        "cpu",
        "threads",
        "dtype",
    ];
    begins(lines[0], &keys);
    let objects = ran.objects();
    let start = &objects[0];
    assert_eq!(
        (&start["threads"], &start["dtype"]),
        (&2.into(), &"int8".into())
    );
    assert!(!start["cpu"].as_str().unwrap().is_empty());
    let ms = |key: &str| start[key].as_f64().unwrap();
    assert!(
        0.0 < ms("load_ms") && ms("load_ms") < ms("first_ms"),
        "{start}"
    );
    // As seen from outside, and not more than the clock's grain off.
    let first = Duration::from_secs_f64(ms("first_ms") / 1e3);
    assert!(
        first < whole + Duration::from_millis(20),
        "{start} {whole:?}"
    );
    if cfg!(target_os = "linux") {
        assert!((1.0..100.0).contains(&ms("peak_rss_mb")), "{start}")
    } else {
        assert!(start["peak_rss_mb"].is_null())
    }

    assert_eq!(objects.len(), 3);
    for ((line, shape), tokens) in lines.iter().zip(&objects).skip(1).zip([2, 5]) {
        begins(line, &["tokens", "batch", "median_ms", "p99_ms", "min_ms"]);
        assert_eq!(
            (&shape["tokens"], &shape["batch"]),
            (&tokens.into(), &3.into())
        );
        let ms = |key: &str| shape[key].as_f64().unwrap();
        assert!(0.0 < ms("min_ms"), "{shape}");
        assert!(ms("min_ms") <= ms("median_ms") && ms("median_ms") <= ms("p99_ms"));
    }
}

#[test]
fn usual_lengths_are_those_that_the_model_has_positions_for() {
    // Models of every task and family with 40 positions, and one whose texts are cut at fewer.
    for model in [
        "bert-classify",
        "bert-question",
        "bert-mask",
        "electra-mask",
        "mobilebert-tokens",
        "mpnet-base",
    ] {
        let ran = on(model, "bench", &[&["--json"], &QUICK[..]].concat());
        let tokens: Vec<u64> = ran.objects()[1..]
            .iter()
            .map(|shape| shape["tokens"].as_u64().unwrap())
            .collect();
        assert_eq!(tokens, [8, 16, 32], "{model}");
    }
}

#[test]
fn a_table_for_readers() {
    let ran = on(
        "bert-base",
        "bench",
        &[&["--tokens", "7"], &QUICK[..]].concat(),
    );
    let lines = ran.lines();
    for (line, begins) in lines.iter().zip([
        "load ",
        "first answer ",
        "peak memory ",
        "computed on ",
        "",
        "tokens",
    ]) {
        assert!(line.starts_with(begins), "{line}");
    }
    assert_eq!(lines.len(), 7);
    let cells: Vec<&str> = lines[6].split_whitespace().collect();
    assert_eq!((cells.len(), cells[0], cells[1]), (5, "7", "1"));
}

#[test]
fn what_cannot_be_measured() {
    let fails = |rest: &[&str], code: i32, says: &str| {
        super::errors::fails(&on("bert-base", "bench", rest), code, says);
    };
    fails(
        &["--tokens", "8,9999"],
        1,
        "--tokens 9999: 9999 tokens are asked for, the model has 40 positions",
    );
    fails(&["--tokens", "1"], 1, "2 special tokens");
    fails(&["--tokens", "0"], 2, "--tokens");
    fails(&["--tokens", "8,"], 2, "--tokens");
    fails(&["--batch", "0"], 2, "--batch");
    fails(&["--seconds", "0"], 2, "more than 0");
    fails(&["--seconds", "soon"], 2, "more than 0");
    fails(&["text"], 2, "text");
    let ran = bertless(&["bench", "--model", "no/such/folder"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.err.contains("no/such/folder"), "{ran:?}");
}

#[test]
fn a_length_without_positions_is_refused_ahead_of_the_weights() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json"] {
        std::fs::copy(fixture("bert-base").join(file), dir.path().join(file)).unwrap();
    }
    let bench = |tokens| {
        let dir = dir.path().to_str().unwrap();
        bertless(&["bench", "--model", dir, "--tokens", tokens])
    };
    assert!(
        bench("9999").err.contains("--tokens 9999: "),
        "{:?}",
        bench("9999")
    );
    assert!(
        bench("8").err.contains("model.safetensors"),
        "{:?}",
        bench("8")
    );
}
