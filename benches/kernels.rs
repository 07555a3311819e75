//! Benchmarks of single kernels, on every instruction set of this machine: `cargo bench --bench kernels`.
//!
//! Products of few rows are bound by reading weights (8 rows by 1536 x 384 read 2.4 MB, which a second-level cache does
//! not hold), products of 32 rows and more by arithmetic. `matrixmultiply` packs its weights again at each call.
//! `benches/share.rs` compares the products with the processor's peak.

// The kernels are not public in the crate, so this program compiles them itself.
#[path = "../src/kernels/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "only a part of the kernels is measured"
)]
mod kernels;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernels::attention::{Attention, Projection, attention};
use kernels::gemm::{Dtype, Epilogue, PackedWeights, gemm};
use kernels::layer_norm::layer_norm;
use kernels::softmax::softmax;
use kernels::{Activation, Cpu, Engine, ExecContext, Threads};

/// Returns `len` numbers from -1 to 1, which repeat with a period of 1999, a prime.
fn numbers(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 7919) % 1999) as f32 / 999.0 - 1.0)
        .collect()
}

/// Returns a single-threaded context for each CPU level of this machine that has kernels of its own for this type.
fn contexts(dtype: Dtype) -> Vec<(&'static str, ExecContext)> {
    let own: &[&str] = match dtype {
        Dtype::F32 => &[],
        Dtype::Bf16 => &["avx512-bf16"],
        Dtype::Int8 => &["avx512-vnni", "avx2-vnni", "neon-dotprod"],
    };
    let all = own.iter().chain(&["avx512", "avx2", "neon", "portable"]);
    all.copied()
        .filter_map(|name| {
            let (cpu, threads) = (Cpu::from_name(name)?, Threads::new(1).ok()?);
            Some((name, Engine::new(cpu, threads).context()))
        })
        .collect()
}

/// Computes one output of a product in f64.
fn exact_output(x: &[f32], w: &[f32], k: usize, row: usize, channel: usize) -> f64 {
    let pairs = x[row * k..][..k].iter().zip(&w[channel * k..][..k]);
    pairs.map(|(&x, &w)| f64::from(x) * f64::from(w)).sum()
}

/// Numbers of rows of the activations.
const ROWS: [usize; 5] = [1, 8, 32, 128, 512];
/// Shapes (n, k) of the weights: MiniLM's dense layers, and the widest of TinyBERT's.
const SHAPES: [(usize, usize); 5] = [
    (1152, 384),
    (384, 384),
    (1536, 384),
    (384, 1536),
    (1200, 312),
];

fn sizes() -> impl Iterator<Item = (usize, usize, usize)> {
    ROWS.into_iter()
        .flat_map(|rows| SHAPES.map(|(n, k)| (rows, n, k)))
}

/// Types of floating-point products, and the maximum error of an output, for rows of up to 1,536 numbers below 1.
const TYPES: [(Dtype, f64); 2] = [(Dtype::F32, 1e-3), (Dtype::Bf16, 0.2)];

fn products(criterion: &mut Criterion) {
    let cases = TYPES
        .into_iter()
        .flat_map(|kind| sizes().map(move |size| (kind, size)));
    for ((dtype, bound), (rows, n, k)) in cases {
        let mut group = criterion.benchmark_group(format!("gemm/{dtype}/{rows}x{n}x{k}"));
        group.throughput(Throughput::Elements((2 * rows * n * k) as u64));
        let (x, w) = (numbers(rows * k), numbers(n * k));
        let packed = PackedWeights::pack(dtype, &w, n, k);
        let mut out = vec![0.0; rows * n];
        let expected = exact_output(&x, &w, k, rows - 1, n - 1);
        for (name, exec) in contexts(dtype) {
            gemm(&exec, &x, &packed, Epilogue::NONE, &mut out);
            assert!((f64::from(out[rows * n - 1]) - expected).abs() < bound);
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    gemm(&exec, black_box(&x), &packed, Epilogue::NONE, &mut out);
                });
            });
        }
        if dtype == Dtype::F32 {
            out.fill(f32::NAN);
            multiply_matrixmultiply(&x, &w, &mut out, rows, n, k);
            assert!((f64::from(out[rows * n - 1]) - expected).abs() < bound);
            group.bench_function("matrixmultiply", |bencher| {
                bencher.iter(|| multiply_matrixmultiply(black_box(&x), &w, &mut out, rows, n, k));
            });
        }
        group.finish();
    }
}

/// Measures int8 products, including the quantisation of the rows, and a scalar loop over quantised rows for comparison.
fn int8_products(criterion: &mut Criterion) {
    for (rows, n, k) in sizes() {
        let mut group = criterion.benchmark_group(format!("gemm/int8/{rows}x{n}x{k}"));
        group.throughput(Throughput::Elements((2 * rows * n * k) as u64));
        let (x, w) = (numbers(rows * k), numbers(n * k));
        let packed = PackedWeights::pack(Dtype::Int8, &w, n, k);
        let mut out = vec![0.0; rows * n];
        let expected = exact_output(&x, &w, k, rows - 1, n - 1);
        // Numbers up to 1 are rounded by at most 1/254. The errors of k products add up like a random walk of k steps.
        let bound = (k as f64).sqrt() / 100.0;
        let mut levels = Vec::new();
        for (name, exec) in contexts(Dtype::Int8) {
            gemm(&exec, &x, &packed, Epilogue::NONE, &mut out);
            let found = out[rows * n - 1];
            assert!((f64::from(found) - expected).abs() < bound, "{name}");
            levels.push(found);
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    gemm(&exec, black_box(&x), &packed, Epilogue::NONE, &mut out);
                });
            });
        }
        // Integer sums are the same on every level. Their conversion to floats is rounded.
        assert!(levels.iter().all(|level| (level - levels[0]).abs() < 1e-4));
        let bytes = |x: &f32| (127.0 * x).round_ties_even() as i8;
        let (x, w): (Vec<i8>, Vec<i8>) =
            (x.iter().map(bytes).collect(), w.iter().map(bytes).collect());
        let mut sums = vec![0; rows * n];
        multiply_scalar(&x, &w, &mut sums, (n, k));
        assert!((f64::from(sums[rows * n - 1]) / (127.0 * 127.0) - expected).abs() < bound);
        group.bench_function("scalar", |bencher| {
            bencher.iter(|| multiply_scalar(black_box(&x), &w, &mut sums, (n, k)));
        });
        group.finish();
    }
}

/// Computes a product of i8 by its formula, without blocking or vector instructions.
fn multiply_scalar(x: &[i8], w: &[i8], sums: &mut [i32], (n, k): (usize, usize)) {
    for (row, sums) in x.chunks_exact(k).zip(sums.chunks_exact_mut(n)) {
        for (channel, sum) in w.chunks_exact(k).zip(sums) {
            let pairs = row.iter().zip(channel);
            *sum = pairs.map(|(&x, &w)| i32::from(x) * i32::from(w)).sum();
        }
    }
}

/// Computes `x` times the transpose of `w` with the crate `matrixmultiply`.
#[allow(unsafe_code, reason = "the other crate takes raw pointers")]
fn multiply_matrixmultiply(x: &[f32], w: &[f32], out: &mut [f32], rows: usize, n: usize, k: usize) {
    assert!(x.len() == rows * k && w.len() == n * k && out.len() == rows * n);
    // SAFETY: the buffers hold rows x k, n x k (read transposed) and rows x n floats, as the assertion above checks, and the
    // strides describe these shapes.
    unsafe {
        matrixmultiply::sgemm(
            rows,
            k,
            n,
            1.0,
            x.as_ptr(),
            k as isize,
            1,
            w.as_ptr(),
            1,
            k as isize,
            0.0,
            out.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}

fn heads(criterion: &mut Criterion) {
    let (heads, head_dim) = (12, 32);
    let width = heads * head_dim;
    // Attention beside bf16 products runs the same code as beside int8 products, so bf16 is not measured.
    let sizes = [Dtype::F32, Dtype::Int8]
        .into_iter()
        .flat_map(|dtype| [8, 32, 128, 512].map(|tokens| (dtype, tokens)));
    for (dtype, tokens) in sizes {
        let mut group = criterion.benchmark_group(format!("attention/{dtype}/{tokens}"));
        group.throughput(Throughput::Elements((4 * tokens * tokens * width) as u64));
        let mut qkv = numbers(tokens * 3 * width);
        // All values are 1, so each output is the sum of its probabilities.
        qkv.chunks_mut(3 * width)
            .for_each(|row| row[2 * width..].fill(1.0));
        let part = |index: usize| Projection {
            data: &qkv,
            stride: 3 * width,
            offset: index * width,
        };
        let input = Attention {
            query: part(0),
            key: part(1),
            value: part(2),
            starts: &[0, tokens],
            out_starts: &[0, tokens],
            heads,
            head_dim,
            bias: None,
            dtype,
        };
        let mut out = vec![0.0; tokens * width];
        for (name, exec) in contexts(dtype) {
            attention(&exec, &input, &mut out);
            assert!(out.iter().all(|sum| (sum - 1.0).abs() < 1e-5));
            group.bench_function(name, |bencher| {
                bencher.iter(|| attention(&exec, black_box(&input), &mut out));
            });
        }
        group.finish();
    }
}

fn rows(criterion: &mut Criterion) {
    for len in [32, 128, 512] {
        let mut group = criterion.benchmark_group(format!("softmax/f32/{len}"));
        group.throughput(Throughput::Elements(len as u64));
        for (name, exec) in contexts(Dtype::F32) {
            let mut row = numbers(len);
            softmax(exec.cpu, &mut row);
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            group.bench_function(name, |bencher| {
                bencher.iter(|| softmax(exec.cpu, black_box(&mut row)));
            });
        }
        group.finish();
    }
    let (count, width) = (128, 384);
    let (weight, bias) = (vec![1.0; width], vec![0.0; width]);
    let mut group = criterion.benchmark_group(format!("layer_norm/f32/{count}x{width}"));
    group.throughput(Throughput::Elements((count * width) as u64));
    for (name, exec) in contexts(Dtype::F32) {
        let mut x = numbers(count * width);
        layer_norm(&exec, &mut x, &weight, &bias, 1e-12);
        let squares: f32 = x.iter().map(|x| x * x).sum();
        assert!((squares / x.len() as f32 - 1.0).abs() < 1e-4);
        group.bench_function(name, |bencher| {
            bencher.iter(|| layer_norm(&exec, black_box(&mut x), &weight, &bias, 1e-12));
        });
    }
    group.finish();
}

/// Measures the cost of an activation in an epilogue. The product has one input channel, so that it takes little time itself.
fn epilogues(criterion: &mut Criterion) {
    let (rows, n) = (128, 1536);
    let (x, w) = (numbers(rows), numbers(n));
    let packed = PackedWeights::new(&w, n, 1);
    let mut out = vec![0.0; rows * n];
    for activation in [Activation::Identity, Activation::Gelu, Activation::GeluTanh] {
        let mut group = criterion.benchmark_group(format!("epilogue/{activation:?}/{rows}x{n}"));
        group.throughput(Throughput::Elements((rows * n) as u64));
        for (name, exec) in contexts(Dtype::F32) {
            let epilogue = Epilogue {
                activation,
                ..Epilogue::NONE
            };
            gemm(&exec, &x, &packed, epilogue, &mut out);
            let (last, product) = (out[rows * n - 1], x[rows - 1] * w[n - 1]);
            assert!(last.abs() <= product.abs() && last * product >= 0.0);
            group.bench_with_input(
                BenchmarkId::from_parameter(name),
                &epilogue,
                |bencher, &epilogue| {
                    bencher.iter(|| gemm(&exec, black_box(&x), &packed, epilogue, &mut out));
                },
            );
        }
        group.finish();
    }
}

criterion_group!(benches, products, int8_products, heads, rows, epilogues);
criterion_main!(benches);
