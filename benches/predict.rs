//! How long texts take, by their length, on one thread: `cargo bench --bench predict`.
//!
//! With all-MiniLM-L6-v2 in `.models/` (`python3 fixtures/fetch_models.py`) the model is real, and short texts are bound
//! by reading 42 MB of weights, long ones by arithmetic; without it a fixture shows what a call costs beside the
//! arithmetic.

use std::hint::black_box;
use std::path::Path;

use bertless::{Embedder, Model, ModelOptions};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn embedder() -> (Embedder, &'static str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let real = root.join(".models/all-MiniLM-L6-v2");
    let options = ModelOptions::new().threads(1);
    let (dir, name, options) = if real.is_dir() {
        // Its files say 256 tokens, its table of positions has 512.
        (real, "all-MiniLM-L6-v2", options.max_length(512))
    } else {
        let fixture = root.join("fixtures/models/sentence-mean");
        (fixture, "fixture", options)
    };
    (Embedder::load_with(dir, options).expect("a model"), name)
}

/// A text of so many tokens, special ones included.
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

/// Texts of many lengths at once: no padding, so their tokens are all that counts.
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
            "the same bits in company"
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
