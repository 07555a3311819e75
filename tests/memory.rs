//! Memory does not grow with the number of calls.
//!
//! A file of its own, whose tests run one at a time, so that no other test's memory is in the figures.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bertless::{Model, ModelFiles, ModelOptions};
use serde_json::{Value, json};

/// Held by the test that runs.
fn alone() -> MutexGuard<'static, ()> {
    static RUNNING: Mutex<()> = Mutex::new(());
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A size of this process in KB, by its name in /proc/self/status.
fn kilobytes(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let size = line
        .unwrap()
        .trim_start_matches(':')
        .trim_end_matches(" kB");
    size.trim().parse().unwrap()
}

/// Memory of this process that is in use now, in KB.
fn resident() -> usize {
    kilobytes("VmRSS")
}

/// Texts of 2 tokens up to more than the model can read.
fn texts() -> Vec<String> {
    (0..50).map(|words| vec!["film"; words].join(" ")).collect()
}

#[test]
fn a_hundred_thousand_calls_of_mixed_lengths() {
    let _alone = alone();
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

/// A call with 100,000 texts keeps only its answers: 24 floats each, 10 MB, which may be in memory twice while their vector
/// grows. Hidden states of all tokens would be 57 MB.
#[test]
fn a_hundred_thousand_texts_in_one_call() {
    let _alone = alone();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/bert-base");
    let embedder = Model::load(dir).unwrap();
    let long = "the quick brown fox jumps over the lazy dog";
    let texts: Vec<&str> = ["a good film", long, ""]
        .into_iter()
        .cycle()
        .take(100_000)
        .collect();
    embedder.embed_batch(&texts[..3000]).unwrap();
    // From here on the peak is counted anew.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = kilobytes("VmHWM");
    let embeddings = embedder.embed_batch(&texts).unwrap();
    assert_eq!(embeddings.len(), texts.len());
    let grown = kilobytes("VmHWM") - before;
    println!("100,000 texts: {before} KB and {grown} more");
    assert!(grown < 40 << 10, "{grown} KB");
}

/// The rows of words are read from the open file: each call, and nothing is kept of them.
#[test]
fn opening_again_and_again() {
    let _alone = alone();
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
    assert_eq!(files(), open_files);
}

/// The weights of a fixture, behind so many numbers of another head.
fn with_another_head(weights: &[u8], numbers: usize) -> Vec<u8> {
    let header = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let mut tensors: Value = serde_json::from_slice(&weights[8..header]).unwrap();
    for tensor in tensors.as_object_mut().unwrap().values_mut() {
        let offsets = tensor.get_mut("data_offsets").and_then(Value::as_array_mut);
        for offset in offsets.into_iter().flatten() {
            *offset = json!(offset.as_u64().unwrap() as usize + 4 * numbers);
        }
    }
    let offsets = [0, 4 * numbers];
    tensors["cls.other"] = json!({"dtype": "F32", "shape": [numbers], "data_offsets": offsets});
    let json = serde_json::to_vec(&tensors).unwrap();
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    bytes.extend(std::iter::repeat_n(0x11, 4 * numbers));
    bytes.extend(&weights[header..]);
    bytes
}

/// Of bytes that are the model's alone, only the words stay.
#[test]
fn weights_in_memory_are_not_kept_beside_packed_ones() {
    let _alone = alone();
    const MEGABYTES: usize = 100;
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/bert-classify");
    let read = |file: &str| std::fs::read(dir.join(file)).unwrap();
    let files = ["config.json", "vocab.txt", "tokenizer_config.json"]
        .into_iter()
        .fold(ModelFiles::new(), |files, file| {
            files.with(file, read(file))
        });
    let before = resident();
    // One more than counts: what other threads have left behind may be taken back meanwhile.
    let weights = with_another_head(&read("model.safetensors"), (MEGABYTES + 1) << 18);
    let files = files.with("model.safetensors", weights);
    let held = resident().saturating_sub(before);
    assert!(held > MEGABYTES << 10, "{held} KB");

    let clone = files.clone();
    let options = ModelOptions::new().threads(1);
    let text = "a good film";
    let answer = Model::load(&dir).unwrap().predict(text).unwrap();
    let model = Model::from_files_with(clone, options.clone()).unwrap();
    assert_eq!(model.predict(text).unwrap(), answer);
    drop(model);
    let model = Model::from_files_with(files, options).unwrap();
    let kept = resident().saturating_sub(before);
    println!("{held} KB of weights, {kept} KB of a model");
    assert!(kept < MEGABYTES << 9, "{kept} KB");
    assert_eq!(model.predict(text).unwrap(), answer);
}
