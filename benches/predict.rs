//! Benchmarks of embedding texts of several lengths, on one thread: `cargo bench --bench predict`.
//!
//! Measures all-MiniLM-L6-v2 if it is in `.models/` (`python3 fixtures/fetch_models.py`). Short texts are then bound by
//! reading 42 MB of weights, long ones by arithmetic. Otherwise measures a tiny fixture, which shows the overhead of a call.

use std::hint::black_box;
use std::path::Path;

use bertless::{Embedder, Model, ModelOptions};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn embedder() -> (Embedder, &'static str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let real = root.join(".models/all-MiniLM-L6-v2");
    let options = ModelOptions::new().threads(1);
    let (dir, name, options) = if real.is_dir() {
        // The model's files set a maximum length of 256 tokens. Its table of positions has 512 rows.
        (real, "all-MiniLM-L6-v2", options.max_length(512))
    } else {
        let fixture = root.join("fixtures/models/sentence-mean");
        (fixture, "fixture", options)
    };
    (Embedder::load_with(dir, options).expect("a model"), name)
}

/// Returns a text of `tokens` tokens, special ones included.
fn text(model: &Model, tokens: usize) -> String {
    let text = vec!["the"; tokens - 2].join(" ");
    let encoding = model
        .tokenizer()
        .encode(text.as_str(), None)
        .expect("tokens");
    assert_eq!(encoding.len(), tokens);
    text
}

fn embed(criterion: &mut Criterion) {
    let (embedder, name) = embedder();
    let mut group = criterion.benchmark_group(format!("embed/{name}"));
    let longest = embedder.model().max_length();
    for tokens in [8, 16, 32, 64, 128, 256, 512]
        .into_iter()
        .filter(|&tokens| tokens <= longest)
    {
        let text = text(embedder.model(), tokens);
        let length: f32 = embedder
            .embed(&text)
            .expect("a vector")
            .iter()
            .map(|x| x * x)
            .sum();
        assert!((length - 1.0).abs() < 1e-5, "an embedding has length one");
        group.throughput(Throughput::Elements(tokens as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(tokens),
            &text,
            |bencher, text| {
                bencher.iter(|| embedder.embed(black_box(text)));
            },
        );
    }
    group.finish();
}

/// Measures batches of texts of different lengths. There is no padding, so the time depends on the number of tokens only.
fn embed_batch(criterion: &mut Criterion) {
    let (embedder, name) = embedder();
    let mut group = criterion.benchmark_group(format!("embed-batch/{name}"));
    let longest = embedder.model().max_length().min(64);
    for count in [2, 8, 32] {
        let lengths = (0..count).map(|index| 3 + (index * 7919) % (longest - 2));
        let texts: Vec<String> = lengths
            .clone()
            .map(|tokens| text(embedder.model(), tokens))
            .collect();
        let together = embedder.embed_batch(&texts).expect("vectors");
        let alone = embedder.embed(&texts[1]).expect("a vector");
        assert_eq!(
            together[1].to_vec(),
            alone.embedding,
            "a text has the same bits alone and in a batch"
        );
        group.throughput(Throughput::Elements(lengths.sum::<usize>() as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(count),
            &texts,
            |bencher, texts| {
                bencher.iter(|| embedder.embed_batch(black_box(texts)));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, embed, embed_batch);
criterion_main!(benches);
