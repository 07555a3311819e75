//! Quantising a matrix by what goes into it, so that its outputs stay near, rather than its weights.
//!
//! Two things are decided by the rows of real texts:
//!
//! - *Smoothing* (Xiao et al. 2023, SmoothQuant). A row has one scale, so a channel whose numbers are twenty times the
//!   others', as BERT's norms put out, leaves the others few steps. Input channels are multiplied by factors ahead of the
//!   product, which evens them out, and the weights are divided by the same.
//! - *Rounding* (Frantar et al. 2023, GPTQ). Weights are rounded one input channel after the other; what each rounding
//!   does to the outputs is made up for by the channels that are still to be rounded. With `H = X^T X = L L^T` this is
//!   Babai's walk to a near point of a lattice, from the last channel to the first, which needs no inverse.

use std::sync::Arc;

use super::calibration_samples::CalibrationSamples;
use crate::kernels::gemm::{Epilogue, Int8Panels, PANEL, PackedWeights, Panels, gemm};
use crate::kernels::memory::AlignedFloats;
use crate::kernels::memory::WeightBuf;
use crate::kernels::output::{OutputChunks, for_each_chunk};
use crate::kernels::{Engine, ExecContext};

/// How much of the unevenness is taken from activations and put into weights. All-MiniLM-L6-v2 is nearest at 0.6 to 0.7.
const MIGRATION_STRENGTH: f32 = 0.65;
/// The least that the greatest number of a channel is taken for.
const MIN_ABS_MAX: f32 = 1e-5;
/// What is added to the diagonal of H, as a share of its mean: channels that hardly vary are not to be trusted.
const DAMPING: f64 = 0.01;
/// Largest magnitude of an int8 weight.
const I8_MAX: f64 = 127.0;
/// One row of so many is not calibrated by, but measured on.
const HELD_OUT_EVERY: usize = 8;

/// What int8 matrices are calibrated by, and with.
#[derive(Debug)]
pub(crate) struct Calibration {
    pub(crate) samples: Arc<CalibrationSamples>,
    /// Instruction set and threads to compute on.
    pub(crate) engine: Engine,
}

/// A matrix in int8, and what goes with it.
#[derive(Debug)]
pub(super) struct Calibrated {
    pub(super) matrix: PackedWeights,
    /// The root mean square of what changes in its outputs, as a share of that of the outputs.
    pub(super) error: f64,
}

/// Quantises a matrix of (n, k), row-major, by the rows that go into it; `None` if they are no use.
pub(super) fn calibrate(
    exec: &ExecContext,
    rows: &[f32],
    weights: &[f32],
    k: usize,
    smooth: bool,
) -> Option<Calibrated> {
    let (mut inputs, mut held_out) = (Vec::new(), Vec::new());
    for (index, row) in rows.chunks_exact(k).enumerate() {
        let kept = match index % HELD_OUT_EVERY {
            0 => &mut held_out,
            _ => &mut inputs,
        };
        kept.extend_from_slice(row);
    }
    if inputs.is_empty() {
        return None;
    }
    let exact = product(
        exec,
        &held_out,
        &PackedWeights::new(weights, weights.len() / k, k),
    );
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

/// `|found - exact| / |exact|`, in the Euclidean norm; 0 if both are zeros.
pub(super) fn relative_error(found: &[f32], exact: &[f32]) -> f64 {
    let pairs = found.iter().zip(exact);
    let (off, all) = pairs.fold((0.0, 0.0), |(off, all), (&found, &exact)| {
        let (found, exact) = (f64::from(found), f64::from(exact));
        (off + (found - exact).powi(2), all + exact.powi(2))
    });
    match off {
        0.0 => 0.0,
        off => (off / all).sqrt(),
    }
}

/// Multiplies each row by the factors.
fn multiply(rows: &mut [f32], factors: &[f32]) {
    for row in rows.chunks_exact_mut(factors.len()) {
        row.iter_mut().zip(factors).for_each(|(x, f)| *x *= f);
    }
}

/// `X W^T`.
fn product(exec: &ExecContext, x: &[f32], weights: &PackedWeights) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / weights.k() * weights.n()];
    gemm(exec, x, weights, Epilogue::NONE, &mut out);
    out
}

/// `X^T X`, (k, k), of rows of k.
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

/// For each input channel `c^(1-a) / x^a`, of the greatest weight and the greatest number that goes in.
fn smoothing(rows: &[f32], weights: &[f32], k: usize) -> Vec<f32> {
    let (inputs, weights) = (channel_abs_max(rows, k), channel_abs_max(weights, k));
    let factor = |(x, w): (f32, f32)| w.powf(1.0 - MIGRATION_STRENGTH) / x.powf(MIGRATION_STRENGTH);
    inputs.into_iter().zip(weights).map(factor).collect()
}

/// The greatest absolute number of each column.
fn channel_abs_max(rows: &[f32], k: usize) -> Vec<f32> {
    let mut greatest = vec![MIN_ABS_MAX; k];
    for row in rows.chunks_exact(k) {
        let both = greatest.iter_mut().zip(row);
        both.for_each(|(greatest, x)| *greatest = greatest.max(x.abs()));
    }
    greatest
}

/// Rounding by the correlations of input channels (Frantar et al. 2023, GPTQ).
struct Gptq {
    /// Input channels in the reverse of the order of rounding: those that matter most are last, and rounded first.
    order: Vec<usize>,
    /// `L`, lower triangular, row by row, with the channels in this order.
    factor: Vec<Vec<f64>>,
}

impl Gptq {
    /// Of `X^T X`, (k, k); `None` if it has no Cholesky factor, as where a number is not finite.
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

    /// Rounds a matrix of (n, k), row-major. Threads share its output channels, each of which is rounded alone.
    fn round(&self, exec: &ExecContext, weights: &[f32]) -> Option<PackedWeights> {
        let k = self.order.len();
        let (n, panel_len) = (
            weights.len() / k,
            Int8Panels::panel_bytes(k) / size_of::<f32>(),
        );
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
                let scale = row.iter().fold(0f32, |most, x| most.max(x.abs())) / I8_MAX as f32;
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
        // What the input channels that are rounded do to the outputs, inputs from each that is not.
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

/// Dot product in eight partial sums, which the processor can add at a time.
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

    /// Numbers around 0, the same each time.
    fn random(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..count).map(|_| next() + next() + next()).collect()
    }

    /// Rows whose channels hang together: each is near the one ahead of it.
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

    /// Where channels have nothing to do with one another there is nothing to make up for.
    #[test]
    fn without_company_a_weight_becomes_its_nearest_byte() {
        let (n, k) = (17, 9);
        let weights = random(n * k, 5);
        let mut gram = vec![0.0; k * k];
        (0..k).for_each(|at| gram[at * k + at] = (at + 1) as f32);
        let (gptq, exec) = (Gptq::new(&gram, k).unwrap(), ExecContext::serial());
        let matrix = gptq.round(&exec, &weights).unwrap();
        let plain = PackedWeights::pack(Dtype::Int8, &weights, n, k);
        let largest = weights.iter().fold(0f32, |most, x| most.max(x.abs()));
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
    fn smoothing_makes_room_beside_a_large_channel() {
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
    fn rows_that_say_nothing_are_no_use() {
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
