//! Benchmark of a training step at the shape of MiniLM-L6: `cargo bench --bench train --features train`.
//!
//! A step is forward pass, backward pass, clipping and AdamW, for 32 texts with 426 tokens and a dropout of 0.1. Throughput is in
//! tokens: 3,180/s on one core and 5,870/s on two (AVX-512, Zen 5, 2026).
//!
//! A token costs 55 MFLOP: three times the 21.2 of inference, less what the last layer omits because the head reads only the
//! first row of each text. So the step is bound by arithmetic: 249 GFLOP/s of a core with AVX-512 would be 4,500 tokens/s. AdamW,
//! which is bound by memory, takes a thirteenth of the step.

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
