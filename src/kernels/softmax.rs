//! Softmax along one row.

use super::{Arithmetic, Cpu, Kernel, LANES, math};

/// Turns scores into shares that sum to one: exp(x - max) / sum, in place (Bridle 1990).
///
/// Shares are exact to 1e-6 of their value (against f64) for rows up to 4,096. An empty row stays empty; NaN anywhere
/// makes the row NaN.
pub(crate) fn softmax(cpu: Cpu, row: &mut [f32]) {
    cpu.run(Softmax(row));
}

struct Softmax<'a>(&'a mut [f32]);

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        softmax_in::<A>(self.0);
    }
}

/// [`softmax`] inside another kernel.
#[inline(always)]
pub(crate) fn softmax_in<A: Arithmetic>(row: &mut [f32]) {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = if x > *lane { x } else { *lane };
    }
    let max = lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max);

    let mut sums = [0.0f32; LANES];
    let (blocks, rest) = row.as_chunks_mut::<LANES>();
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block) {
            *x = math::exp::<A>(*x - max);
            *sum += *x;
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *x = math::exp::<A>(*x - max);
        *sum += *x;
    }
    let scale = 1.0 / sums.iter().sum::<f32>();
    for x in row {
        *x *= scale;
    }
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
                let mut shares = row.clone();
                softmax(cpu, &mut shares);
                for (share, expected) in shares.iter().zip(oracle(&row)) {
                    let error = (f64::from(*share) / expected - 1.0).abs();
                    assert!(error < 1e-6, "{cpu:?}, length {len}: {error:e}");
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
