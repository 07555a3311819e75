//! Memory does not grow with the number of calls.
//!
//! A file of its own, so that no other test's memory is in the figures.
#![cfg(target_os = "linux")]

use std::path::Path;

use bertless::{Model, ModelOptions};

/// Memory of this process that is in use now, in KB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse().unwrap()
}

/// Texts of 2 tokens up to more than the model can read.
fn texts() -> Vec<String> {
    (0..50).map(|words| vec!["film"; words].join(" ")).collect()
}

#[test]
fn a_hundred_thousand_calls_of_mixed_lengths() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/bert-classify");
    let texts = texts();
    for (threads, calls) in [(1, 100_000), (2, 20_000)] {
        let model = Model::load_with(&dir, ModelOptions::new().threads(threads)).unwrap();
        let call = |index: usize| {
            // Lengths come neither sorted nor in the same order each time.
            let text = &texts[index * 7919 % texts.len() * (index / 1000 % 7 + 1) % texts.len()];
            model.predict(text).unwrap();
        };
        (0..5_000).for_each(call);
        let before = resident();
        (0..calls).for_each(call);
        let grown = resident().saturating_sub(before);
        println!("{threads} threads, {calls} calls: {before} KB and {grown} more");
        assert!(grown < 2048, "{threads} threads: {grown} KB");
    }
}

/// The rows of words are read from the open file: each call, and nothing is kept of them.
#[test]
fn opening_again_and_again() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/sentence-mean");
    let open = || {
        let model = Model::load_with(&dir, ModelOptions::new().threads(2)).unwrap();
        model.embed("a good film").unwrap();
    };
    (0..50).for_each(|_| open());
    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (before, open_files) = (resident(), files());
    (0..500).for_each(|_| open());
    let grown = resident().saturating_sub(before);
    println!("500 models: {before} KB and {grown} more");
    assert!(grown < 8192, "{grown} KB");
    // The other test has a file open at times.
    assert!(files() <= open_files + 3);
}
