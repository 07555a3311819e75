//! A whole step of training, forward, backward, clipping and AdamW, at MiniLM-L6's shape: 32 texts, 426 tokens, dropout of
//! 0.1: `cargo bench --bench train --features train`. Throughput is in tokens: 3,180/s on one core and 5,870/s on two
//! (AVX-512, Zen 5, 2026).
//!
//! A token costs 55 MFLOP: three times the 21.2 of inference, less what the last layer leaves out because the head looks at
//! first rows only. So the step is bound by arithmetic: 249 GFLOP/s of a core with AVX-512 would be 4,500 tokens/s. AdamW,
//! which is bound by memory, takes a thirteenth of it.

use bertless::train::Trial;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn steps(criterion: &mut Criterion) {
    for (precision, in_bf16) in [("f32", false), ("bf16", true)] {
        let mut group = criterion.benchmark_group(format!("train/{precision}/32x13"));
        for threads in [1, 2] {
            let mut trial = Trial::new(threads).expect("threads can be started");
            if in_bf16 {
                trial = trial.in_bf16();
            }
            let loss = trial.step().expect("a step");
            assert!((loss - std::f64::consts::LN_2).abs() < 0.05, "{loss}");
            group.throughput(Throughput::Elements(trial.tokens() as u64));
            group.bench_function(format!("threads{threads}"), |bencher| {
                bencher.iter(|| trial.step().expect("a step"));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
