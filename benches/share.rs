//! Measures which share of the processor's peak arithmetic rate the crate reaches, in f32, bf16 and int8: `cargo bench --bench
//! share`.
//!
//! Measures the peak by a loop of independent products. Then measures the dense products of a MiniLM-shaped encoder (six layers
//! with weights of their own, 42 MB in f32) by number of rows, including the quantisation of activations; and the whole encoder
//! of all-MiniLM-L6-v2 by number of tokens, including attention, whose products are in f32 or i16. Uses one thread, and a process
//! for each instruction set. A share compares the fastest run within 0.1 s with the fastest run of the peak's loop just before it.
//! Each run takes milliseconds. The printed share is the median of ten.

#[path = "../src/kernels/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "only a part of the kernels is measured"
)]
mod kernels;

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use bertless::{Encoding, Model, ModelOptions};
use bytemuck::Zeroable;
use kernels::gemm::{Dtype, Epilogue, Packer, gemm};
use kernels::memory::AlignedFloats;
use kernels::simd::{Kernel, Simd};
use kernels::{Cpu, Engine, Threads};

/// Environment variable that selects the instruction set of a process.
const FORCED: &str = "BERTLESS_CPU";
/// Shapes (n, k) of the dense layers in one encoder layer.
const DENSE: [(usize, usize); 4] = [(1152, 384), (384, 384), (1536, 384), (384, 1536)];
const LAYERS: usize = 6;
const HIDDEN: usize = 384;

/// Loop of `N` independent chains of fused multiply-adds, enough of them to hide the latency of one.
struct Chains<const N: usize>(usize);

impl<const N: usize> Kernel for Chains<N> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut chains = [s.splat(0.0); N];
        let (factor, term) = (s.splat(black_box(0.5)), s.splat(black_box(1.0)));
        for _ in 0..self.0 {
            for chain in &mut chains {
                *chain = s.mul_add(*chain, factor, term);
            }
        }
        chains.iter().map(|&chain| s.reduce_add(chain)).sum()
    }
}

/// Loop of int8 dot products with operands in the L1 cache: the weights of `P` panels by the activations of `R` rows, with a chain
/// of sums for each pair of a row and a panel.
struct ByteChains<const R: usize, const P: usize>(usize);

impl<const R: usize, const P: usize> Kernel for ByteChains<R, P> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut chains = [[s.splat_i32(0); P]; R];
        let mut rows = [<[S::QuadI8; 4]>::zeroed(); R];
        for row in &mut rows {
            s.store_quads(s.splat(f32::from_bits(3)), row);
        }
        let panels = black_box([[2; 64]; P]);
        for _ in 0..self.0 {
            let rows = black_box(&rows);
            for part in 0..S::INT8_SUBSTEPS {
                let weights = panels.each_ref().map(|panel| s.load_quads(panel, part));
                for (row, chains) in rows.iter().zip(&mut chains) {
                    let activations = s.splat_quad(row[0], part);
                    for (chain, &weights) in chains.iter_mut().zip(&weights) {
                        *chain = s.dot_i8x4(*chain, weights, activations);
                    }
                }
            }
        }
        let chains = chains.as_flattened().iter();
        chains.map(|&chain| s.reduce_add(s.to_f32(chain))).sum()
    }
}

/// Loop of bf16 dot products with operands in the L1 cache: the weights of `P` panels by the activations of `R` rows, with a chain
/// of sums for each pair of a row and a panel.
struct HalfChains<const R: usize, const P: usize>(usize);

impl<const R: usize, const P: usize> Kernel for HalfChains<R, P> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut chains = [[s.splat(0.0); P]; R];
        let rows = black_box([[0x3f80; 2]; R]);
        let panels = black_box([[0x3f80; 32]; P]);
        let weights = panels.each_ref().map(|panel| s.load_pairs(panel));
        for _ in 0..self.0 {
            let rows = black_box(&rows);
            for (row, chains) in rows.iter().zip(&mut chains) {
                let activations = s.splat_pair(*row);
                for (chain, &weights) in chains.iter_mut().zip(&weights) {
                    *chain = s.dot_bf16(*chain, weights, activations);
                }
            }
        }
        let chains = chains.as_flattened().iter();
        chains.map(|&chain| s.reduce_add(chain)).sum()
    }
}

/// Measures the peak: operations per second of independent products.
fn peak(cpu: Cpu, dtype: Dtype) -> f64 {
    const STEPS: usize = 1_000_000;
    let steps = black_box(STEPS);
    let wide = cpu.name().starts_with("avx512");
    // As many chains as the registers hold beside the operands: the shapes of the highest tiles. A chain has sixteen sums, which
    // take one register of AVX-512 or two of AVX2.
    let (chains, time) = match (dtype, wide) {
        (Dtype::F32, true) => (24, fastest_call(50, || cpu.run(Chains::<24>(steps)))),
        (Dtype::F32, false) => (6, fastest_call(50, || cpu.run(Chains::<6>(steps)))),
        (Dtype::Bf16, true) => (
            24,
            fastest_call(50, || cpu.run_bf16(HalfChains::<12, 2>(steps))),
        ),
        (Dtype::Bf16, false) => (
            4,
            fastest_call(50, || cpu.run_bf16(HalfChains::<4, 1>(steps))),
        ),
        (Dtype::Int8, true) => (
            24,
            fastest_call(50, || cpu.run_int8(ByteChains::<12, 2>(steps))),
        ),
        (Dtype::Int8, false) => (
            6,
            fastest_call(50, || cpu.run_int8(ByteChains::<6, 1>(steps))),
        ),
    };
    let products = match dtype {
        Dtype::F32 => 1,
        Dtype::Bf16 => 2,
        Dtype::Int8 => 4,
    };
    (STEPS * chains * 16 * 2 * products) as f64 / time
}

/// Calls `call` for `milliseconds`, and at least five times. Returns the time of the fastest call, in seconds.
fn fastest_call<T>(milliseconds: u64, mut call: impl FnMut() -> T) -> f64 {
    let (start, mut least, mut calls) = (Instant::now(), f64::MAX, 0);
    while calls < 5 || start.elapsed() < Duration::from_millis(milliseconds) {
        let begin = Instant::now();
        black_box(call());
        least = least.min(begin.elapsed().as_secs_f64());
        calls += 1;
    }
    least
}

/// Measures a call of `operations` operations. Returns its time in milliseconds, and its share of the peak.
fn measure_share(
    (cpu, dtype): (Cpu, Dtype),
    operations: usize,
    mut call: impl FnMut(),
) -> (f64, f64) {
    // `cargo bench` passes `--bench`. Run as a test, one round is enough.
    let rounds = if std::env::args().any(|argument| argument == "--bench") {
        10
    } else {
        1
    };
    let mut shares = Vec::new();
    let mut least = f64::MAX;
    for _ in 0..rounds {
        let peak = peak(cpu, dtype);
        let time = fastest_call(100, &mut call);
        shares.push(operations as f64 / time / peak);
        least = least.min(time);
    }
    shares.sort_by(f64::total_cmp);
    (least * 1e3, shares[rounds / 2])
}

fn dense_products(cpu: Cpu, dtype: Dtype) {
    let engine = Engine::new(cpu, Threads::new(1).expect("no pool"));
    // The packer puts the weights into huge pages, as for a model.
    let floats: usize = DENSE.iter().map(|(n, k)| LAYERS * n * k).sum();
    let packer = Packer::new(&engine.threads, floats);
    let pack = |(n, k)| {
        let packed = packer.rows(dtype, n, k, |_, out| {
            out.fill(0.01);
            Ok::<(), ()>(())
        });
        packed.expect("nothing is read")
    };
    let layers: Vec<_> = (0..LAYERS).map(|_| DENSE.map(pack)).collect();
    drop(packer);
    let exec = engine.context();
    for rows in [8, 16, 32, 64, 128, 256, 512] {
        // The rows are aligned to cache lines, as in a model.
        let mut x = AlignedFloats::zeros(rows * 1536);
        let mut out = AlignedFloats::zeros(rows * 1536);
        x.fill(0.1);
        let operations: usize = DENSE.iter().map(|(n, k)| 2 * LAYERS * rows * n * k).sum();
        let (ms, share) = measure_share((cpu, dtype), operations, || {
            for weights in layers.iter().flatten() {
                let (n, k) = (weights.n(), weights.k());
                gemm(
                    &exec,
                    &x[..rows * k],
                    weights,
                    Epilogue::NONE,
                    &mut out[..rows * n],
                );
            }
        });
        // The last product has k = 1536, so each output is the sum of 1536 products of 0.1 and 0.01. bf16 represents both numbers
        // with a relative error below 1e-3.
        assert!((out[0] - 1.536).abs() < 5e-3, "{}", out[0]);
        println!(
            "  dense products, {rows:3} rows      {ms:8.3} ms  {:5.1} % of the peak",
            share * 100.0
        );
    }
}

fn whole_encoder(cpu: Cpu, dtype: Dtype, dir: &Path) {
    let options = ModelOptions::new().threads(1).dtype(match dtype {
        Dtype::F32 => bertless::Dtype::F32,
        Dtype::Bf16 => bertless::Dtype::Bf16,
        Dtype::Int8 => bertless::Dtype::Int8,
    });
    let model = Model::load_with(dir, options).expect("a model");
    for tokens in [8, 16, 32, 64, 128, 256, 512] {
        let mut ids: Vec<u32> = (0..tokens as u32)
            .map(|at| 1000 + at * 7919 % 28000)
            .collect();
        (ids[0], ids[tokens - 1]) = (101, 102);
        let texts = [Encoding::from_ids(ids)];
        let rows = model.last_hidden_states(&texts).expect("rows");
        assert_eq!(rows[0].dim(), (tokens, HIDDEN));
        let products: usize = DENSE.iter().map(|(n, k)| 2 * LAYERS * tokens * n * k).sum();
        let operations = products + 4 * LAYERS * tokens * tokens * HIDDEN;
        let (ms, share) = measure_share((cpu, dtype), operations, || {
            black_box(model.last_hidden_states(&texts).expect("rows"));
        });
        println!(
            "  whole encoder,  {tokens:3} tokens    {ms:8.3} ms  {:5.1} % of the peak",
            share * 100.0
        );
    }
}

fn main() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(".models/all-MiniLM-L6-v2");
    if let Ok(name) = std::env::var(FORCED) {
        let cpu = Cpu::from_name(&name).expect("an instruction set of this processor");
        // Types that another level computes by the same code are measured on that level.
        let types: &[Dtype] = match name.as_str() {
            "avx512-bf16" => &[Dtype::Bf16],
            "avx512-vnni" | "avx2-vnni" => &[Dtype::F32, Dtype::Int8],
            _ => &[Dtype::F32, Dtype::Bf16, Dtype::Int8],
        };
        for &dtype in types {
            let peak = peak(cpu, dtype) / 1e9;
            println!("{name}, {dtype}: {peak:.1} billion operations per second");
            dense_products(cpu, dtype);
            if dir.is_dir() {
                whole_encoder(cpu, dtype, &dir)
            } else {
                println!(
                    "  not measured: {} (python3 fixtures/fetch_models.py)",
                    dir.display()
                )
            }
        }
        return;
    }
    // A process reads the level of its models from the environment once, so each level has a process of its own.
    let this = std::env::current_exe().expect("this program");
    for name in [
        "avx512-bf16",
        "avx512-vnni",
        "avx2-vnni",
        "avx2",
        "neon-dotprod",
        "neon",
    ] {
        if Cpu::from_name(name).is_some() {
            let mut child = std::process::Command::new(&this);
            child.env(FORCED, name).args(std::env::args().skip(1));
            let ended = child.status().expect("a second process");
            assert!(ended.success(), "{name}");
        }
    }
}
