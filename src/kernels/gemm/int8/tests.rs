//! Products of int8 on every instruction set, against the formula in scalars and 64-bit integers: equal bytes, equal
//! sums, equal bits.

use super::activations::{MIN_RANGE, QuantizedRows};
use super::layout::{Int8Panels, MAX_K, steps};
use crate::kernels::gemm::tests::numbers;
use crate::kernels::gemm::{Dtype, Epilogue, PackedWeights, Panels, gemm};
use crate::kernels::memory::Arena;
use crate::kernels::simd::{Kernel, LANES, Simd};
use crate::kernels::{Activation, Cpu, ExecContext, Threads};

/// Quantised weights of one output channel, and their scale.
fn quantized_weights(row: &[f32]) -> (Vec<i64>, f32) {
    let max = row.iter().fold(0.0, |max: f32, w| max.max(w.abs()));
    if max < MIN_RANGE {
        return (vec![0; row.len()], 0.0);
    }
    let factor = 127.0 / max;
    let quantized = |w: &f32| (w * factor).round_ties_even() as i64;
    (row.iter().map(quantized).collect(), max / 127.0)
}

/// Quantised activations of one row, their scale and their zero point.
fn quantized_row(row: &[f32]) -> (Vec<i64>, f32, i64) {
    let min = row.iter().fold(0.0, |a: f32, &b| a.min(b));
    let span = row.iter().fold(0.0, |a: f32, &b| a.max(b)) - min;
    let factor = if span < MIN_RANGE { 0.0 } else { 253.0 / span };
    let zero = (-126.5 - min * factor).round_ties_even();
    // Rounds the sum with the zero point, as the kernel does. If the zero point is odd, ties go the other way than if
    // the product alone were rounded.
    let quantized = |x: &f32| {
        let t = f64::from(x * factor) + f64::from(zero);
        t.round_ties_even() as i64
    };
    let row = row.iter().map(quantized).collect();
    (row, span / 253.0, zero as i64)
}

fn oracle(x: &[f32], weights: &[f32], k: usize) -> Vec<f32> {
    let weights: Vec<_> = weights.chunks(k).map(quantized_weights).collect();
    let mut out = Vec::new();
    for (q, row_scale, zero) in x.chunks(k).map(quantized_row) {
        assert!(q.iter().all(|q| (-127..=127).contains(q)), "{q:?}");
        for (w, scale) in &weights {
            let sum: i64 = q.iter().zip(w).map(|(q, w)| (q - zero) * w).sum();
            out.push(sum as f32 * (scale * row_scale));
        }
    }
    out
}

fn agrees(x: &[f32], w: &[f32], n: usize, k: usize, what: &str) {
    let packed = PackedWeights::pack(Dtype::Int8, w, n, k);
    let expected = oracle(x, w, k);
    for cpu in Cpu::supported() {
        for threads in [1, 3] {
            let exec = ExecContext::new(cpu, &Threads::new(threads).unwrap());
            let mut out = vec![f32::NAN; expected.len()];
            gemm(&exec, x, &packed, Epilogue::NONE, &mut out);
            assert_eq!(out, expected, "{cpu:?}, {threads} threads, {what}");
        }
    }
}

#[test]
fn agrees_with_the_formula_bit_for_bit_at_interesting_sizes() {
    for k in [1, 3, 4, 26, 312] {
        for n in [1, 15, 16, 17, 312] {
            for rows in [1, 2, 3, 5, 7, 13, 14, 30] {
                if n * k * rows > 312 * 312 * 7 {
                    continue;
                }
                let (x, w) = (numbers(rows * k, 1), numbers(n * k, 2));
                agrees(&x, &w, n, k, &format!("{rows} x {n} x {k}"));
            }
        }
    }
}

#[test]
fn rows_of_any_range_agree() {
    let k = 37;
    let w = numbers(20 * k, 3);
    // Only positive, only negative, far from zero, zeros, nearly zero, huge, ties that have to be rounded, and clipped
    // from below as by GELU.
    let rows: [fn(f32) -> f32; 8] = [
        f32::abs,
        |x| -x.abs(),
        |x| x + 100.0,
        |_| 0.0,
        |x| x * 1e-38,
        |x| x * 1e30,
        |x| (x * 253.0).round() / 2.0,
        |x| x.max(-0.05) * 8.0,
    ];
    let numbers = numbers(k, 4);
    let x: Vec<f32> = rows
        .iter()
        .flat_map(|f| numbers.iter().copied().map(f))
        .collect();
    agrees(&x, &w, 20, k, "rows of any range");
}

#[test]
fn weights_of_any_range_agree() {
    let k = 19;
    let mut w = numbers(5 * k, 5);
    w[..k].fill(0.0);
    w[k..2 * k].fill(1e-38);
    w[2 * k] = 1e30;
    w[3 * k..4 * k].fill(-2.0);
    agrees(&numbers(3 * k, 6), &w, 5, k, "weights of any range");
}

/// Tests the largest products in every position and with every sign. Where a level adds two of them in 16 bits, they
/// must not saturate.
#[test]
fn extremes_do_not_saturate() {
    for k in [2, 4, 64, 1536] {
        let both = |bit: usize, at: usize| if at >> bit & 1 == 0 { 1.0 } else { -1.0 };
        // Signs of neighbours in all combinations; the last row is 127 throughout but for one -127.
        let mut x: Vec<f32> = (0..4)
            .flat_map(|bit| (0..k).map(move |at| both(bit, at)))
            .collect();
        let mut ones = vec![1.0; k];
        ones[0] = -1.0;
        x.extend(&ones);
        let mut w = x.clone();
        w.extend(vec![1.0; k]);
        agrees(&x, &w, 6, k, &format!("extremes, k = {k}"));
    }
}

/// Decodes the stored values of a row, by products with weights that are one in a single position.
struct DecodeRow<'a> {
    memory: &'a [f32],
    first: usize,
    steps: usize,
}

impl Kernel for DecodeRow<'_> {
    /// The decoded values, and the offset that the level adds to activations.
    type Output = (Vec<i64>, i64);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let quads: &[S::QuadI8] = bytemuck::cast_slice(self.memory);
        let row = &quads[self.first..][..self.steps];
        let mut numbers = Vec::new();
        let mut ones = [0; 4 * LANES];
        for at in 0..4 {
            ones[4 * at + at] = 1;
        }
        for &quad in row {
            let mut sum = s.splat_i32(0);
            for substep in 0..S::INT8_SUBSTEPS {
                let (w, x) = (s.load_quads(&ones, substep), s.splat_quad(quad, substep));
                sum = s.dot_i8x4(sum, w, x);
            }
            let mut lanes = [0.0; LANES];
            s.store(s.to_f32(sum), &mut lanes);
            let offset = S::INT8_OFFSET as f32;
            numbers.extend(lanes[..4].iter().map(|lane| (lane - offset) as i64));
        }
        (numbers, i64::from(S::INT8_OFFSET))
    }
}

#[test]
fn bytes_are_the_same_on_every_level() {
    let (rows, k) = (9, 101);
    let x = numbers(rows * k, 7);
    for cpu in Cpu::supported() {
        let mut quantized = QuantizedRows::default();
        quantized.fill(
            &ExecContext::new(cpu, &Threads::new(1).unwrap()),
            &x,
            k,
            None,
        );
        let (memory, stride) = quantized.quads();
        for (index, row) in x.chunks(k).enumerate() {
            let (found, offset) = cpu.run_int8(DecodeRow {
                memory,
                first: index * stride,
                steps: steps(k),
            });
            let (expected, scale, zero) = quantized_row(row);
            assert_eq!(found[..k], expected, "{cpu:?}");
            assert!(found[k..].iter().all(|&number| number == zero), "{cpu:?}");
            let ([of_row], [zero_point]) =
                (quantized.scales(index), quantized.neg_zero_points(index));
            assert_eq!((*of_row, -i64::from(*zero_point) - offset), (scale, zero));
        }
    }
}

#[test]
fn epilogue_adds_bias_applies_activation_then_adds_residual() {
    let (rows, n, k) = (7, 20, 9);
    let (x, w) = (numbers(rows * k, 8), numbers(n * k, 9));
    let (bias, residual) = (numbers(n, 10), numbers(rows * n, 11));
    let product = oracle(&x, &w, k);
    for cpu in Cpu::supported() {
        let exec = ExecContext::new(cpu, &Threads::new(1).unwrap());
        let mut out = vec![f32::NAN; rows * n];
        let epilogue = Epilogue {
            bias: Some(&bias),
            activation: Activation::Relu,
            residual: Some(&residual),
        };
        let packed = PackedWeights::pack(Dtype::Int8, &w, n, k);
        gemm(&exec, &x, &packed, epilogue, &mut out);
        for (index, value) in out.iter().enumerate() {
            let expected = (product[index] + bias[index % n]).max(0.0) + residual[index];
            assert_eq!(*value, expected, "{cpu:?} at {index}");
        }
    }
}

#[test]
fn rows_too_long_for_exact_sums_stay_f32() {
    // If k is 0 there is nothing to multiply, and the panels are f32 as well.
    for k in [0, MAX_K + 1] {
        let packed = PackedWeights::pack(Dtype::Int8, &vec![1.0; k], 1, k);
        assert!(matches!(packed.panels(), Panels::F32(_)));
    }
    // At the bound the largest sum is still exact.
    let k = MAX_K;
    let mut x = vec![1.0; k];
    x[0] = -1e-9;
    agrees(&x, &vec![-1.0; k], 1, k, "the longest rows");
}

#[test]
fn wrong_channel_sums_are_detected() {
    for (n, k) in [(1, 1), (20, 37), (48, 64)] {
        let packed = PackedWeights::pack(Dtype::Int8, &numbers(n * k, 21), n, k);
        let Panels::Int8(panels) = packed.panels() else {
            panic!("{n} {k}");
        };
        assert!(panels.channel_sums_hold(), "{n} {k}");
        for at in [0, n - 1] {
            let mut sums = panels.channel_sums().to_vec();
            sums[at] += 1;
            let mut memory = Arena::default().zeros(panels.bytes().len() / 4);
            bytemuck::cast_slice_mut(&mut memory).copy_from_slice(panels.bytes());
            let wrong = Int8Panels::new(memory, panels.scales(), &sums).unwrap();
            assert!(!wrong.channel_sums_hold(), "{n} {k} {at}");
        }
    }
}

#[test]
fn input_factors_are_applied_as_rows_are_quantised() {
    let n = 20;
    for (rows, k) in [(1, 1), (2, 15), (7, 16), (3, 64), (30, 101)] {
        let (x, w) = (numbers(rows * k, 22), numbers(n * k, 23));
        let factors: Vec<f32> = numbers(k, 24).iter().map(|f| f.abs() + 0.1).collect();
        let channels = factors.iter().cycle();
        let smoothed: Vec<f32> = x.iter().zip(channels).map(|(x, f)| x * f).collect();
        let expected = oracle(&smoothed, &w, k);
        let packed = PackedWeights::pack(Dtype::Int8, &w, n, k);
        let packed = packed.with_input_factors(factors).unwrap();
        for cpu in Cpu::supported() {
            for threads in [1, 3] {
                let exec = ExecContext::new(cpu, &Threads::new(threads).unwrap());
                let mut out = vec![f32::NAN; expected.len()];
                gemm(&exec, &x, &packed, Epilogue::NONE, &mut out);
                assert_eq!(out, expected, "{cpu:?}, {threads} threads, {rows} x {k}");
            }
        }
        let packed = PackedWeights::pack(Dtype::Int8, &w, n, k);
        assert!(packed.with_input_factors(vec![1.0; k + 1]).is_none());
        let floats = PackedWeights::new(&w, n, k);
        assert!(floats.with_input_factors(vec![1.0; k]).is_none());
    }
}
