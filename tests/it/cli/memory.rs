//! Memory that a real model takes, measured as that of a process which does nothing else.
//!
//! Needs the model that `python3 fixtures/fetch_models.py` downloads. Without it the test prints a message and passes,
//! unless `BERTLESS_REAL=1` requires the model.
#![cfg(target_os = "linux")]

use std::path::Path;

use super::bertless;

/// What a process may take beside the weights of its encoder, in MB: program, tokenizer, positions, what it computes in.
const BESIDE: f64 = 16.0;

#[test]
fn peak_memory_is_that_of_the_encoder() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(".models/all-MiniLM-L6-v2");
    if !dir.is_dir() {
        let missing = format!("{} is not there (see the top of this file)", dir.display());
        let must = std::env::var_os("BERTLESS_REAL").is_some_and(|set| set == "1");
        assert!(!must, "{missing}");
        eprintln!("skipped: {missing}");
        return;
    }
    let dir = dir.to_str().unwrap();
    let summary = bertless(&["inspect", "--json", "--model", dir]).object();
    let number = |key: &str| summary[key].as_f64().unwrap();
    let hidden = number("hidden");
    let (words, pooler) = (number("vocabulary") * hidden, (hidden + 1.0) * hidden);
    let encoder = 4.0 * (number("parameters") - words - pooler) / 1e6;
    for threads in ["1", "2"] {
        let quick = ["--tokens", "8", "--seconds", "0.01", "--threads", threads];
        let ran = bertless(&[&["bench", "--json", "--model", dir], &quick[..]].concat());
        let peak = ran.objects()[0]["peak_rss_mb"].as_f64().unwrap();
        println!("{threads} threads: {peak:.1} MB, of which the encoder is {encoder:.1}");
        assert!(peak < encoder + BESIDE, "{peak} MB for {encoder}");
        assert!(peak > encoder, "{peak} MB cannot hold {encoder}");
    }
}
