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

use super::quantize::relative_error;
use crate::kernels::gemm::{Epilogue, Int8Panels, PANEL, PackedWeights, Panels, gemm};
use crate::kernels::memory::AlignedFloats;
use crate::kernels::memory::WeightBuf;
use crate::kernels::{Compute, Cpu, Engine, Threads};

/// How much of the unevenness is taken from activations and put into weights. All-MiniLM-L6-v2 is nearest at 0.6 to 0.7.
const SMOOTHNESS: f32 = 0.65;
/// The least that the greatest number of a channel is taken for.
const LEAST: f32 = 1e-5;
/// What is added to the diagonal of H, as a share of its mean: channels that hardly vary are not to be trusted.
const DAMPING: f64 = 0.01;
/// The largest byte of a weight.
const MOST: f64 = 127.0;
/// One row of so many is not calibrated by, but measured on.
const HELD_OUT: usize = 8;

/// A matrix in int8, with the factors of its input, and how exact it is.
#[derive(Debug)]
pub(super) struct Calibrated {
    pub(super) matrix: PackedWeights,
    /// The root mean square of what changes in its outputs, as a share of that of the outputs.
    pub(super) error: f64,
}

/// Quantises a matrix of (n, k), row-major, by the rows that go into it; `None` if they are no use.
pub(super) fn calibrate(
    rows: &[f32],
    weights: &[f32],
    (n, k): (usize, usize),
    smooth: bool,
) -> Option<Calibrated> {
    let engine = Engine::new(Cpu::detect(), Threads::default());
    let compute = &engine.compute();
    let (mut seen, mut held) = (Vec::new(), Vec::new());
    for (index, row) in rows.chunks_exact(k).enumerate() {
        let part = match index % HELD_OUT {
            0 => &mut held,
            _ => &mut seen,
        };
        part.extend_from_slice(row);
    }
    if seen.is_empty() {
        return None;
    }
    let exact = product(compute, &held, &PackedWeights::new(weights, n, k));
    let smoothing = smooth.then(|| smoothing(&seen, weights, k));
    let mut smoothed = weights.to_vec();
    if let Some(factors) = &smoothing {
        multiply(&mut seen, factors);
        let divide = |row: &mut [f32]| row.iter_mut().zip(factors).for_each(|(x, f)| *x /= f);
        smoothed.chunks_exact_mut(k).for_each(divide);
    }
    let lattice = Lattice::new(&gram(compute, &seen, k), k)?;
    let mut matrix = lattice.round(&smoothed, (n, k))?;
    if let Some(factors) = smoothing {
        matrix = matrix.with_input_factors(factors)?;
    }
    let error = relative_error(&product(compute, &held, &matrix), &exact);
    Some(Calibrated { matrix, error })
}

/// Multiplies each row by the factors.
fn multiply(rows: &mut [f32], factors: &[f32]) {
    for row in rows.chunks_exact_mut(factors.len()) {
        row.iter_mut().zip(factors).for_each(|(x, f)| *x *= f);
    }
}

/// `X W^T`.
fn product(compute: &Compute, x: &[f32], weights: &PackedWeights) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / weights.k() * weights.n()];
    gemm(compute, x, weights, Epilogue::NONE, &mut out);
    out
}

/// `X^T X`, (k, k), of rows of k.
fn gram(compute: &Compute, rows: &[f32], k: usize) -> Vec<f32> {
    let count = rows.len() / k;
    let mut columns = vec![0.0; rows.len()];
    for (at, row) in rows.chunks_exact(k).enumerate() {
        for (channel, &x) in row.iter().enumerate() {
            columns[channel * count + at] = x;
        }
    }
    product(compute, &columns, &PackedWeights::new(&columns, k, count))
}

/// For each input channel `c^(1-a) / x^a`, of the greatest weight and the greatest number that goes in.
fn smoothing(rows: &[f32], weights: &[f32], k: usize) -> Vec<f32> {
    let (inputs, weights) = (greatest(rows, k), greatest(weights, k));
    let factor = |(x, w): (f32, f32)| w.powf(1.0 - SMOOTHNESS) / x.powf(SMOOTHNESS);
    inputs.into_iter().zip(weights).map(factor).collect()
}

/// The greatest absolute number of each column.
fn greatest(rows: &[f32], k: usize) -> Vec<f32> {
    let mut greatest = vec![LEAST; k];
    for row in rows.chunks_exact(k) {
        let both = greatest.iter_mut().zip(row);
        both.for_each(|(greatest, x)| *greatest = greatest.max(x.abs()));
    }
    greatest
}

/// How the errors of input channels hang together.
struct Lattice {
    /// The channel that each place stands for: those that matter most are last, and rounded first.
    order: Vec<usize>,
    /// `L`, lower triangular, row by row, of the channels in this order.
    factor: Vec<Vec<f64>>,
}

impl Lattice {
    /// Of `X^T X`, (k, k); `None` if it has no Cholesky factor, as where a number is not finite.
    fn new(gram: &[f32], k: usize) -> Option<Self> {
        let diagonal = |channel: usize| f64::from(gram[channel * k + channel]);
        let damping = DAMPING * (0..k).map(diagonal).sum::<f64>() / k as f64;
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|&a, &b| diagonal(a).total_cmp(&diagonal(b)));
        let mut factor: Vec<Vec<f64>> = Vec::with_capacity(k);
        for (place, &channel) in order.iter().enumerate() {
            let mut row = Vec::with_capacity(place + 1);
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

    /// Rounds a matrix of (n, k), row-major, channel by channel of its output.
    fn round(&self, weights: &[f32], (n, k): (usize, usize)) -> Option<PackedWeights> {
        let panels = n.div_ceil(PANEL);
        let mut memory =
            AlignedFloats::zeros(panels * Int8Panels::panel_bytes(k) / size_of::<f32>());
        let bytes: &mut [i8] = bytemuck::cast_slice_mut(&mut memory);
        let mut scales = vec![0.0; panels * PANEL];
        let mut sums = vec![0; panels * PANEL];
        for (channel, row) in weights.chunks_exact(k).enumerate() {
            let scale = row.iter().fold(0f32, |most, x| most.max(x.abs())) / MOST as f32;
            if !scale.is_normal() {
                continue; // zeros
            }
            let panel = &mut bytes[channel / PANEL * Int8Panels::panel_bytes(k)..];
            let numbers = self.nearest(row, scale.into());
            for (at, &number) in numbers.iter().enumerate() {
                panel[(at / 4 * PANEL + channel % PANEL) * 4 + at % 4] = number;
            }
            scales[channel] = scale;
            sums[channel] = numbers.iter().map(|&number| i32::from(number)).sum();
        }
        let int8 = Int8Panels::new(WeightBuf::Owned(memory), &scales, &sums)?;
        PackedWeights::from_panels(n, k, Panels::Int8(Box::new(int8)))
    }

    /// The bytes of one channel's weights.
    fn nearest(&self, row: &[f32], scale: f64) -> Vec<i8> {
        let mut numbers = vec![0; row.len()];
        // What the channels that are rounded do to the outputs, seen from each that is not.
        let mut pull = vec![0.0; row.len()];
        for (place, (&channel, factor)) in self.order.iter().zip(&self.factor).enumerate().rev() {
            let weight = f64::from(row[channel]);
            let wanted = weight + pull[place] / factor[place];
            let number = (wanted / scale).round_ties_even().clamp(-MOST, MOST);
            let off = weight - number * scale;
            let rest = pull[..place].iter_mut().zip(factor);
            rest.for_each(|(pull, along)| *pull += along * off);
            numbers[channel] = number as i8;
        }
        numbers
    }
}

/// In eight sums, which the processor can add at a time.
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
        let compute = Compute::serial();
        relative_error(
            &product(&compute, rows, &rounded),
            &product(&compute, rows, &exact),
        )
    }

    #[test]
    fn rounding_for_outputs_is_nearer_than_rounding_weights() {
        let (n, k) = (20, 37);
        let (rows, weights) = (rows(400, k), random(n * k, 3));
        let gram = gram(&Compute::serial(), &rows, k);
        let matrix = Lattice::new(&gram, k)
            .and_then(|lattice| lattice.round(&weights, (n, k)))
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
        let lattice = Lattice::new(&gram, k).unwrap();
        let matrix = lattice.round(&weights, (n, k)).unwrap();
        let plain = PackedWeights::pack(Dtype::Int8, &weights, n, k);
        let largest = weights.iter().fold(0f32, |most, x| most.max(x.abs()));
        let pairs = matrix.unpack().into_iter().zip(plain.unpack());
        let most = pairs.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(most <= 1e-6 * largest, "{most}");
        let zeros = lattice.round(&vec![0.0; n * k], (n, k)).unwrap();
        assert!(zeros.unpack().iter().all(|&x| x == 0.0));
    }

    #[test]
    fn smoothing_makes_room_beside_a_large_channel() {
        let (n, k) = (24, 48);
        let (mut rows, weights) = (random(320 * k, 11), random(n * k, 13));
        rows.chunks_exact_mut(k).for_each(|row| row[5] *= 40.0);
        let error = |smooth| {
            let found = calibrate(&rows, &weights, (n, k), smooth).unwrap();
            let Panels::Int8(panels) = found.matrix.panels() else {
                panic!("not quantised");
            };
            assert_eq!(panels.input_factors().is_some(), smooth);
            found.error
        };
        let (even, uneven) = (error(true), error(false));
        assert!(even < 0.6 * uneven, "{even} {uneven}");
    }

    #[test]
    fn rows_that_say_nothing_are_no_use() {
        let weights = random(16 * 4, 1);
        assert!(calibrate(&[], &weights, (16, 4), true).is_none());
        assert!(calibrate(&[0.0; 64], &weights, (16, 4), false).is_none());
        assert!(calibrate(&[f32::NAN; 64], &weights, (16, 4), false).is_none());
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
