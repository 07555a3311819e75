//! Benchmarks of opening a model, on one thread and on two: `cargo bench --bench load`.
//!
//! A fixture, whose weights are tiny, shows the cost of everything else. With all-MiniLM-L6-v2 in `.models/`
//! (`python3 fixtures/fetch_models.py`) 43 MB of weights are read from the page cache and packed. The bound is the bandwidth
//! of memory: the weights are read once and written once.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use bertless::{Model, ModelOptions, Tokenizer, WeightFormat};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Names and folders of the models that exist on this machine.
fn models() -> Vec<(&'static str, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixture = root.join("fixtures/models/sentence-mean");
    let real = root.join(".models/all-MiniLM-L6-v2");
    let models = [("fixture", fixture), ("all-MiniLM-L6-v2", real)];
    models.into_iter().filter(|(_, dir)| dir.is_dir()).collect()
}

fn load(criterion: &mut Criterion) {
    for (name, dir) in models() {
        let open = |threads| {
            let options = ModelOptions::new().threads(threads);
            Model::load_with(&dir, options).expect("a model")
        };
        let vector = open(1).embed("A man is eating.").expect("a vector");
        let length: f32 = vector.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5, "an embedding has length one");

        let mut group = criterion.benchmark_group(format!("load/{name}"));
        group.throughput(Throughput::Bytes(open(1).summary().bytes as u64));
        for threads in [1, 2] {
            let again = open(threads).embed("A man is eating.").expect("a vector");
            assert_eq!(again, vector, "packing on {threads} threads");
            group.bench_function(format!("threads={threads}"), |bencher| {
                bencher.iter(|| open(black_box(threads)));
            });
        }
        // Opening the tokenizer is a part of opening the model.
        group.bench_function("tokenizer", |bencher| {
            bencher.iter(|| Tokenizer::load(black_box(&dir)));
        });

        let packed = Model::pack(&dir, WeightFormat::F32).expect("a packed model");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("model.safetensors");
        packed.save(&file).expect("a file");
        let options = || ModelOptions::new().threads(1);
        let read = Model::load_with(&file, options()).expect("a model");
        let again = read.embed("A man is eating.").expect("a vector");
        assert_eq!(again, vector, "packed");
        group.bench_function("packed/read", |bencher| {
            bencher.iter(|| Model::load_with(black_box(&file), options()));
        });
        // Opens the file in static memory, like a model that is embedded in the program. Only header, settings and vocabulary
        // are read.
        let memory: &'static mut [u8] = vec![0; packed.bytes() + 64].leak();
        let start = memory.as_ptr().align_offset(64);
        let aligned = &mut memory[start..][..packed.bytes()];
        aligned.copy_from_slice(&packed.to_vec());
        let aligned: &'static [u8] = aligned;
        group.bench_function("packed/static", |bencher| {
            bencher.iter(|| Model::from_bytes_with(black_box(aligned), options()));
        });
        group.bench_function("packed/tokenizer", |bencher| {
            bencher.iter(|| Tokenizer::load(black_box(&file)));
        });
        group.finish();
    }
}

criterion_group!(benches, load);
criterion_main!(benches);
