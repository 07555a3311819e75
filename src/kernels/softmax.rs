//! Softmax along one row.

use super::Cpu;
use super::math;
use super::simd::{Kernel, LANES, Simd};

/// Replaces scores by their softmax, probabilities that sum to one: exp(x - max) / sum, in place (Bridle 1990).
///
/// Probabilities are exact to 3e-7 (against f64), and those above e^-10 to 2e-6 of their value, for rows up to 4,096.
/// An empty row stays empty. NaN anywhere makes the whole row NaN.
pub(crate) fn softmax(cpu: Cpu, row: &mut [f32]) {
    cpu.run(Softmax(row));
}

/// Softmax as a kernel.
struct Softmax<'a>(&'a mut [f32]);

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let sum = exp_and_sum(s, self.0, 1.0);
        scale(s, self.0, 1.0 / sum);
    }
}

/// Returns the maximum of a row; minus infinity for an empty row.
#[inline(always)]
pub(super) fn row_max<S: Simd>(s: S, row: &[f32]) -> f32 {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let mut max = s.load_partial(rest, f32::NEG_INFINITY);
    // Four accumulators: with one, each comparison would wait for the one before.
    let (fours, blocks) = blocks.as_chunks::<4>();
    let mut chains = [max; 4];
    for four in fours {
        for (max, block) in chains.iter_mut().zip(four) {
            *max = s.max(*max, s.load(block));
        }
    }
    for block in blocks {
        max = s.max(max, s.load(block));
    }
    for chain in chains {
        max = s.max(max, chain);
    }
    s.reduce_max(max)
}

/// Computes the first half of [`softmax`], for use inside other kernels: replaces each score x by exp(factor (x -
/// max)). Returns the sum of these, which they must still be divided by. `factor` must not be negative.
#[inline(always)]
pub(crate) fn exp_and_sum<S: Simd>(s: S, row: &mut [f32], factor: f32) -> f32 {
    let max = s.splat(row_max(s, row));

    // e^x is 2^(x log2(e)).
    let factor = s.splat(factor * std::f32::consts::LOG2_E);
    let mut sum = s.splat(0.0);
    let (blocks, rest) = row.as_chunks_mut::<LANES>();
    for block in blocks {
        let e = math::exp2_clamped(s, s.mul(s.sub(s.load(block), max), factor));
        s.store(e, block);
        sum = s.add(sum, e);
    }
    if !rest.is_empty() {
        let e = math::exp2_clamped(
            s,
            s.mul(s.sub(s.load_partial(rest, f32::NEG_INFINITY), max), factor),
        );
        s.store_partial(e, rest);
        // Lanes past the end add 0, not the small value that the clamped exponential gives for minus infinity.
        sum = s.add(sum, s.load_partial(rest, 0.0));
    }
    s.reduce_add(sum)
}

/// Multiplies each float of a row by `factor`.
#[inline(always)]
pub(crate) fn scale<S: Simd>(s: S, row: &mut [f32], factor: f32) {
    let factor = s.splat(factor);
    let (blocks, rest) = row.as_chunks_mut::<LANES>();
    for block in blocks {
        s.store(s.mul(s.load(block), factor), block);
    }
    let x = s.load_partial(rest, 0.0);
    s.store_partial(s.mul(x, factor), rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle(row: &[f32]) -> Vec<f64> {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exps: Vec<f64> = row.iter().map(|&x| f64::from(x - max).exp()).collect();
        let sum: f64 = exps.iter().sum();
        exps.iter().map(|e| e / sum).collect()
    }

    #[test]
    fn agrees_with_f64_at_every_length() {
        for cpu in Cpu::supported() {
            for len in (0..70).chain([512, 4096]) {
                let row: Vec<f32> = (0..len)
                    .map(|i| ((i * 37) % 101) as f32 * 0.11 - 5.0)
                    .collect();
                let mut probs = row.clone();
                softmax(cpu, &mut probs);
                for (prob, expected) in probs.iter().zip(oracle(&row)) {
                    let absolute = (f64::from(*prob) - expected).abs();
                    let relative = absolute / expected;
                    assert!(
                        absolute < 3e-7 && relative < 2e-6,
                        "{cpu:?}, length {len}: {absolute:e}, {relative:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn laws() {
        for cpu in Cpu::supported() {
            // Large scores do not overflow, and a shift changes nothing.
            let mut high = [1000.0, 1001.0, 999.0];
            let mut low = [-1000.0, -999.0, -1001.0];
            softmax(cpu, &mut high);
            softmax(cpu, &mut low);
            assert_eq!(high, low);
            assert!((high.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            let mut poisoned = [1.0, f32::NAN, 2.0];
            softmax(cpu, &mut poisoned);
            assert!(poisoned.iter().all(|x| x.is_nan()));
        }
    }
}
