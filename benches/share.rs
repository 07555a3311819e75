//! How near the processor's peak of arithmetic it all comes, in single precision, in bf16 and in 8-bit integers: `cargo
//! bench --bench share`.
//!
//! The peak is measured here and now, by a loop of products that depend on nothing; then the dense products of a
//! MiniLM-shaped encoder (six layers of weights of their own, 42 MB as floats) by rows, the quantising of activations
//! included, and the encoder of all-MiniLM-L6-v2 as a whole by tokens, its attention counted, which is in single precision
//! at any rate. One thread, each instruction set in a process of its own. A share compares the
//! best run of a tenth of a second with the best run of the peak just before it, each run a steady one of milliseconds;
//! the figure is the median of ten such shares.

#[path = "../src/kernels/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "only a part of the floor is measured"
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

const FORCED: &str = "BERTLESS_CPU";
/// Dense layers of one encoder layer: (n, k).
const DENSE: [(usize, usize); 4] = [(1152, 384), (384, 384), (1536, 384), (384, 1536)];
const LAYERS: usize = 6;
const HIDDEN: usize = 384;

/// `N` chains of fused products, enough of them to hide how long one takes.
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

/// Products of bytes, out of the nearest cache: `P` panels' weights by `R` rows' activations, a chain for each of both.
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

/// Products of numbers in bf16, in the same way.
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

/// Operations a second of independent products.
fn peak(cpu: Cpu, dtype: Dtype) -> f64 {
    const STEPS: usize = 1_000_000;
    let steps = black_box(STEPS);
    let wide = cpu.name().starts_with("avx512");
    // As many chains as leave registers for what they multiply: of sixteen sums, which are one register of AVX-512 and two
    // of AVX2, the shapes of the highest tiles.
    let (chains, time) = match (dtype, wide) {
        (Dtype::F32, true) => (24, seconds(50, || cpu.run(Chains::<24>(steps)))),
        (Dtype::F32, false) => (6, seconds(50, || cpu.run(Chains::<6>(steps)))),
        (Dtype::Bf16, true) => (24, seconds(50, || cpu.run_bf16(HalfChains::<12, 2>(steps)))),
        (Dtype::Bf16, false) => (4, seconds(50, || cpu.run_bf16(HalfChains::<4, 1>(steps)))),
        (Dtype::Int8, true) => (24, seconds(50, || cpu.run_int8(ByteChains::<12, 2>(steps)))),
        (Dtype::Int8, false) => (6, seconds(50, || cpu.run_int8(ByteChains::<6, 1>(steps)))),
    };
    let products = match dtype {
        Dtype::F32 => 1,
        Dtype::Bf16 => 2,
        Dtype::Int8 => 4,
    };
    (STEPS * chains * 16 * 2 * products) as f64 / time
}

/// The least time of a call in this many milliseconds, and of five calls at least.
fn seconds<T>(milliseconds: u64, mut call: impl FnMut() -> T) -> f64 {
    let (start, mut least, mut calls) = (Instant::now(), f64::MAX, 0);
    while calls < 5 || start.elapsed() < Duration::from_millis(milliseconds) {
        let begin = Instant::now();
        black_box(call());
        least = least.min(begin.elapsed().as_secs_f64());
        calls += 1;
    }
    least
}

/// The milliseconds of a call of so many operations, and at which share of the peak that is.
fn share((cpu, dtype): (Cpu, Dtype), operations: usize, mut call: impl FnMut()) -> (f64, f64) {
    // Cargo says so when it is to measure; as a test, once is enough.
    let rounds = if std::env::args().any(|argument| argument == "--bench") {
        10
    } else {
        1
    };
    let mut shares = Vec::new();
    let mut least = f64::MAX;
    for _ in 0..rounds {
        let peak = peak(cpu, dtype);
        let time = seconds(100, &mut call);
        shares.push(operations as f64 / time / peak);
        least = least.min(time);
    }
    shares.sort_by(f64::total_cmp);
    (least * 1e3, shares[rounds / 2])
}

fn dense(cpu: Cpu, dtype: Dtype) {
    let engine = Engine::new(cpu, Threads::new(1).expect("no pool"));
    // In huge pages, as a model has its weights.
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
        // At cache lines, as a model has its rows.
        let mut x = AlignedFloats::zeros(rows * 1536);
        let mut out = AlignedFloats::zeros(rows * 1536);
        x.fill(0.1);
        let operations: usize = DENSE.iter().map(|(n, k)| 2 * LAYERS * rows * n * k).sum();
        let (ms, share) = share((cpu, dtype), operations, || {
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
        // The last product is of 1536 times 0.1 by 0.01, both of which bf16 has to a thousandth.
        assert!((out[0] - 1.536).abs() < 5e-3, "{}", out[0]);
        println!(
            "  dense products, {rows:3} rows      {ms:8.3} ms  {:5.1} % of the peak",
            share * 100.0
        );
    }
}

fn whole(cpu: Cpu, dtype: Dtype, dir: &Path) {
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
        let (ms, share) = share((cpu, dtype), operations, || {
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
        // What others compute in the same way is measured there.
        let types: &[Dtype] = match name.as_str() {
            "avx512-bf16" => &[Dtype::Bf16],
            "avx512-vnni" | "avx2-vnni" => &[Dtype::F32, Dtype::Int8],
            _ => &[Dtype::F32, Dtype::Bf16, Dtype::Int8],
        };
        for &dtype in types {
            let peak = peak(cpu, dtype) / 1e9;
            println!("{name}, {dtype}: {peak:.1} billion operations a second");
            dense(cpu, dtype);
            if dir.is_dir() {
                whole(cpu, dtype, &dir)
            } else {
                println!(
                    "  not measured: {} (python3 fixtures/fetch_models.py)",
                    dir.display()
                )
            }
        }
        return;
    }
    // The level of a model is chosen by the environment, once a process.
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
