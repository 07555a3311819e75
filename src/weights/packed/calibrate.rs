//! Quantisation of a matrix to int8 that minimises the error of its outputs instead of that of its weights.
//!
//! Sampled inputs `X` of the matrix, rows that real texts lead to, decide two things:
//!
//! - *Smoothing* (Xiao et al. 2023, SmoothQuant). A row has one scale, so a channel with values twenty times those of the
//!   others, such as BERT's layer norms produce, leaves few quantisation steps to the others. Input channels are multiplied
//!   by factors before the product, which makes their ranges similar, and the weights are divided by the same factors.
//! - *Rounding* (Frantar et al. 2023, GPTQ). Weights are rounded one input channel after another. The channels that are not
//!   yet rounded compensate for the error that each rounding causes in the outputs. With `H = X^T X = L L^T` this is
//!   Babai's nearest-plane algorithm, from the last channel to the first, which needs no inverse of `H`.

use std::sync::Arc;

use super::calibration_samples::CalibrationSamples;
use crate::kernels::gemm::{Epilogue, Int8Panels, PANEL, PackedWeights, Panels, gemm};
use crate::kernels::memory::{AlignedFloats, WeightBuf};
use crate::kernels::output::{OutputChunks, for_each_chunk};
use crate::kernels::{Engine, ExecContext};

/// Exponent alpha of SmoothQuant: the share of the difference in range that moves from inputs to weights. The outputs of
/// all-MiniLM-L6-v2 have the smallest error at 0.6 to 0.7.
const MIGRATION_STRENGTH: f32 = 0.65;
/// Lower bound for the largest magnitude of a channel, which is divided by.
const MIN_ABS_MAX: f32 = 1e-5;
/// Term that is added to the diagonal of H, relative to its mean, so that channels with small inputs compensate less.
const DAMPING: f64 = 0.01;
/// Largest magnitude of an int8 weight.
const I8_MAX: f64 = 127.0;
/// One row in this many is held out: the error is measured on it, and calibration does not use it.
const HELD_OUT_EVERY: usize = 8;

/// Inputs and resources of calibration.
#[derive(Debug)]
pub(crate) struct Calibration {
    pub(crate) samples: Arc<CalibrationSamples>,
    /// Instruction set and threads to compute with.
    pub(crate) engine: Engine,
}

/// A calibrated matrix in int8 and its error.
#[derive(Debug)]
pub(super) struct Calibrated {
    pub(super) matrix: PackedWeights,
    /// Relative error of its outputs on the held-out rows.
    pub(super) error: f64,
}

/// Quantises a matrix, (n, k), row-major, by sampled inputs, (rows, k). Returns `None` if there is no row to calibrate by or
/// `X^T X` cannot be factorised.
pub(super) fn calibrate(
    exec: &ExecContext,
    rows: &[f32],
    weights: &[f32],
    k: usize,
    smooth: bool,
) -> Option<Calibrated> {
    let (mut inputs, mut held_out) = (Vec::new(), Vec::new());
    for (index, row) in rows.chunks_exact(k).enumerate() {
        let part = match index % HELD_OUT_EVERY {
            0 => &mut held_out,
            _ => &mut inputs,
        };
        part.extend_from_slice(row);
    }
    if inputs.is_empty() {
        return None;
    }
    let floats = PackedWeights::new(weights, weights.len() / k, k);
    let exact = product(exec, &held_out, &floats);
    let smoothing = smooth.then(|| smoothing(&inputs, weights, k));
    let mut scaled = weights.to_vec();
    if let Some(factors) = &smoothing {
        multiply(&mut inputs, factors);
        let divide = |row: &mut [f32]| row.iter_mut().zip(factors).for_each(|(x, f)| *x /= f);
        scaled.chunks_exact_mut(k).for_each(divide);
    }
    let mut matrix = Gptq::new(&gram(exec, &inputs, k), k)?.round(exec, &scaled)?;
    if let Some(factors) = smoothing {
        matrix = matrix.with_input_factors(factors)?;
    }
    let error = relative_error(&product(exec, &held_out, &matrix), &exact);
    Some(Calibrated { matrix, error })
}

/// Computes `|found - exact| / |exact|` in the Euclidean norm; 0 if they are equal.
pub(super) fn relative_error(found: &[f32], exact: &[f32]) -> f64 {
    let pairs = found.iter().zip(exact);
    let (error, norm) = pairs.fold((0.0, 0.0), |(error, norm), (&found, &exact)| {
        let (found, exact) = (f64::from(found), f64::from(exact));
        (error + (found - exact).powi(2), norm + exact.powi(2))
    });
    match error {
        0.0 => 0.0,
        error => (error / norm).sqrt(),
    }
}

/// Multiplies each row by the factors, channel by channel.
fn multiply(rows: &mut [f32], factors: &[f32]) {
    for row in rows.chunks_exact_mut(factors.len()) {
        row.iter_mut().zip(factors).for_each(|(x, f)| *x *= f);
    }
}

/// Computes `X W^T`.
fn product(exec: &ExecContext, x: &[f32], weights: &PackedWeights) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / weights.k() * weights.n()];
    gemm(exec, x, weights, Epilogue::NONE, &mut out);
    out
}

/// Computes `X^T X`, (k, k), of rows of `k` values.
fn gram(exec: &ExecContext, rows: &[f32], k: usize) -> Vec<f32> {
    let count = rows.len() / k;
    let mut columns = vec![0.0; rows.len()];
    for (at, row) in rows.chunks_exact(k).enumerate() {
        for (channel, &x) in row.iter().enumerate() {
            columns[channel * count + at] = x;
        }
    }
    product(exec, &columns, &PackedWeights::new(&columns, k, count))
}

/// Computes the factor of each input channel: `w^(1 - alpha) / x^alpha`, where `w` is the largest magnitude of its weights and
/// `x` that of its inputs.
fn smoothing(rows: &[f32], weights: &[f32], k: usize) -> Vec<f32> {
    let (inputs, weights) = (channel_abs_max(rows, k), channel_abs_max(weights, k));
    let factor = |(x, w): (f32, f32)| w.powf(1.0 - MIGRATION_STRENGTH) / x.powf(MIGRATION_STRENGTH);
    inputs.into_iter().zip(weights).map(factor).collect()
}

/// Largest magnitude of each channel.
fn channel_abs_max(rows: &[f32], k: usize) -> Vec<f32> {
    let mut abs_max = vec![MIN_ABS_MAX; k];
    for row in rows.chunks_exact(k) {
        let channels = abs_max.iter_mut().zip(row);
        channels.for_each(|(abs_max, x)| *abs_max = abs_max.max(x.abs()));
    }
    abs_max
}

/// Rounding that compensates for errors through correlated input channels (Frantar et al. 2023, GPTQ).
struct Gptq {
    /// Input channels by ascending sum of squares. They are rounded from the last to the first.
    order: Vec<usize>,
    /// Lower triangular Cholesky factor `L` of H, row by row, with the channels in this order.
    factor: Vec<Vec<f64>>,
}

impl Gptq {
    /// Factorises `X^T X`, (k, k). Returns `None` if it has no Cholesky factor, for example because a value is not finite.
    fn new(gram: &[f32], k: usize) -> Option<Self> {
        let diagonal = |channel: usize| f64::from(gram[channel * k + channel]);
        let damping = DAMPING * (0..k).map(diagonal).sum::<f64>() / k as f64;
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|&a, &b| diagonal(a).total_cmp(&diagonal(b)));
        let mut factor: Vec<Vec<f64>> = Vec::with_capacity(k);
        for (index, &channel) in order.iter().enumerate() {
            let mut row = Vec::with_capacity(index + 1);
            for (other, above) in factor.iter().enumerate() {
                let rest = f64::from(gram[channel * k + order[other]]) - dot(&row, &above[..other]);
                row.push(rest / above[other]);
            }
            let rest = diagonal(channel) + damping - dot(&row, &row);
            if !(rest.is_finite() && rest > 0.0) {
                return None;
            }
            row.push(rest.sqrt());
            factor.push(row);
        }
        Some(Self { order, factor })
    }

    /// Rounds a matrix, (n, k), row-major. Output channels are independent, and threads divide them among themselves.
    fn round(&self, exec: &ExecContext, weights: &[f32]) -> Option<PackedWeights> {
        let k = self.order.len();
        let n = weights.len() / k;
        let panel_len = Int8Panels::panel_bytes(k) / size_of::<f32>();
        let panels = n.div_ceil(PANEL);
        let mut memory = AlignedFloats::zeros(panels * panel_len);
        let mut scales = vec![0.0; panels * PANEL];
        let mut sums = vec![0; panels * PANEL];
        let outs = [
            OutputChunks::uniform(panel_len, &mut memory),
            OutputChunks::uniform(PANEL, &mut scales),
            OutputChunks::uniform(PANEL, bytemuck::cast_slice_mut(&mut sums)),
        ];
        for_each_chunk(exec, panels, outs, |_, panel, [bytes, scales, sums]| {
            let bytes: &mut [i8] = bytemuck::cast_slice_mut(bytes);
            let sums: &mut [i32] = bytemuck::cast_slice_mut(sums);
            let rows = weights.chunks_exact(k).skip(panel * PANEL).take(PANEL);
            for (channel, row) in rows.enumerate() {
                let scale = row.iter().fold(0f32, |max, x| max.max(x.abs())) / I8_MAX as f32;
                if !scale.is_normal() {
                    continue; // zeros
                }
                let rounded = self.round_row(row, scale.into());
                for (at, &weight) in rounded.iter().enumerate() {
                    bytes[(at / 4 * PANEL + channel) * 4 + at % 4] = weight;
                }
                scales[channel] = scale;
                sums[channel] = rounded.iter().map(|&weight| i32::from(weight)).sum();
            }
        });
        let int8 = Int8Panels::new(WeightBuf::Owned(memory), &scales, &sums)?;
        PackedWeights::from_panels(n, k, Panels::Int8(Box::new(int8)))
    }

    /// Rounds the weights of one output channel.
    fn round_row(&self, row: &[f32], scale: f64) -> Vec<i8> {
        let mut rounded = vec![0; row.len()];
        // Effect of the errors so far on the outputs, projected on each input channel that is not yet rounded.
        let mut corrections = vec![0.0; row.len()];
        for (index, (&channel, factor)) in self.order.iter().zip(&self.factor).enumerate().rev() {
            let weight = f64::from(row[channel]);
            let target = weight + corrections[index] / factor[index];
            let nearest = (target / scale).round_ties_even().clamp(-I8_MAX, I8_MAX);
            let error = weight - nearest * scale;
            let rest = corrections[..index].iter_mut().zip(factor);
            rest.for_each(|(correction, coefficient)| *correction += coefficient * error);
            rounded[channel] = nearest as i8;
        }
        rounded
    }
}

/// Dot product in eight partial sums, which the processor can compute in parallel.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const CHAINS: usize = 8;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<CHAINS>(), b.as_chunks::<CHAINS>());
    let mut sums = [0.0; CHAINS];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::gemm::Dtype;
    use crate::kernels::{Cpu, Threads};

    /// Pseudo-random values around 0.
    fn random(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..count).map(|_| next() + next() + next()).collect()
    }

    /// Rows whose neighbouring channels are correlated.
    fn rows(count: usize, k: usize) -> Vec<f32> {
        let mut rows = random(count * k, 7);
        for row in rows.chunks_exact_mut(k) {
            for channel in 1..k {
                row[channel] = 0.9 * row[channel - 1] + 0.3 * row[channel];
            }
        }
        rows
    }

    fn error_of(matrix: &PackedWeights, rows: &[f32], weights: &[f32], n: usize) -> f64 {
        let exact = PackedWeights::new(weights, n, weights.len() / n);
        let rounded = PackedWeights::new(&matrix.unpack(), n, weights.len() / n);
        let exec = ExecContext::serial();
        relative_error(
            &product(&exec, rows, &rounded),
            &product(&exec, rows, &exact),
        )
    }

    #[test]
    fn rounding_for_outputs_is_nearer_than_rounding_weights() {
        let (n, k) = (20, 37);
        let (rows, weights) = (rows(400, k), random(n * k, 3));
        let gram = gram(&ExecContext::serial(), &rows, k);
        let matrix = Gptq::new(&gram, k)
            .and_then(|gptq| gptq.round(&ExecContext::serial(), &weights))
            .unwrap();
        let plain = PackedWeights::pack(Dtype::Int8, &weights, n, k);
        let (found, nearest) = (
            error_of(&matrix, &rows, &weights, n),
            error_of(&plain, &rows, &weights, n),
        );
        assert!(found < 0.5 * nearest, "{found} {nearest}");
    }

    /// Tests that without correlations each weight is rounded to the nearest integer.
    #[test]
    fn uncorrelated_channels_are_rounded_to_nearest() {
        let (n, k) = (17, 9);
        let weights = random(n * k, 5);
        let mut gram = vec![0.0; k * k];
        (0..k).for_each(|at| gram[at * k + at] = (at + 1) as f32);
        let (gptq, exec) = (Gptq::new(&gram, k).unwrap(), ExecContext::serial());
        let matrix = gptq.round(&exec, &weights).unwrap();
        let plain = PackedWeights::pack(Dtype::Int8, &weights, n, k);
        let largest = weights.iter().fold(0f32, |max, x| max.max(x.abs()));
        let pairs = matrix.unpack().into_iter().zip(plain.unpack());
        let most = pairs.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(most <= 1e-6 * largest, "{most}");
        let zeros = gptq.round(&exec, &vec![0.0; n * k]).unwrap();
        assert!(zeros.unpack().iter().all(|&x| x == 0.0));
    }

    fn input_factors(matrix: &PackedWeights) -> Option<Vec<f32>> {
        let Panels::Int8(panels) = matrix.panels() else {
            panic!("not quantised");
        };
        panels.input_factors().map(<[f32]>::to_vec)
    }

    #[test]
    fn threads_change_no_bit() {
        let (n, k) = (70, 24);
        let (rows, weights) = (rows(64, k), random(n * k, 3));
        let matrix = |threads| {
            let exec = ExecContext::new(Cpu::detect(), &Threads::new(threads).unwrap());
            let found = calibrate(&exec, &rows, &weights, k, true).unwrap();
            (
                found.matrix.unpack(),
                input_factors(&found.matrix),
                found.error,
            )
        };
        let expected = matrix(1);
        (2..5).for_each(|threads| assert_eq!(matrix(threads), expected));
    }

    #[test]
    fn smoothing_reduces_the_error_beside_a_large_channel() {
        let (n, k) = (24, 48);
        let (mut rows, weights) = (random(320 * k, 11), random(n * k, 13));
        rows.chunks_exact_mut(k).for_each(|row| row[5] *= 40.0);
        let error = |smooth| {
            let found = calibrate(&ExecContext::serial(), &rows, &weights, k, smooth).unwrap();
            assert_eq!(input_factors(&found.matrix).is_some(), smooth);
            found.error
        };
        let (even, uneven) = (error(true), error(false));
        assert!(even < 0.6 * uneven, "{even} {uneven}");
    }

    #[test]
    fn rows_without_information_are_refused() {
        let weights = random(16 * 4, 1);
        let none =
            |rows, smooth| calibrate(&ExecContext::serial(), rows, &weights, 4, smooth).is_none();
        assert!(none(&[], true) && none(&[0.0; 64], false) && none(&[f32::NAN; 64], false));
    }

    #[test]
    fn a_dot_product_of_any_length() {
        for len in 0..20 {
            let a: Vec<f64> = (0..len).map(f64::from).collect();
            let squares = a.iter().map(|x| x * x).sum::<f64>();
            assert_eq!(dot(&a, &a), squares);
        }
    }
}
