//! Layer normalisation of rows, and MobileBERT's replacement for it.

use super::ExecContext;
use super::output::{OutputChunks, for_each_chunk};
use super::simd::{Kernel, LANES, Simd};

/// Rows that one task normalises: enough work to be worth a thread's overhead.
const ROWS_PER_TASK: usize = 16;

/// Normalises each row in place to mean 0 and variance 1, then multiplies it by `weight` and adds `bias` (layer
/// normalisation, Ba et al. 2016). `rows` is (rows, width); `weight` and `bias` are (width).
///
/// Mean and variance are computed in two passes, in f32, with 64 partial sums: exact to 1e-6 (absolute, against f64,
/// for values from 2 to 8, weights up to 1.4 and widths up to 1,024).
pub(crate) fn layer_norm(
    exec: &ExecContext,
    rows: &mut [f32],
    weight: &[f32],
    bias: &[f32],
    eps: f32,
) {
    let cpu = exec.cpu;
    assert_eq!(weight.len(), bias.len());
    for_each_block(exec, rows, weight.len(), |block| {
        cpu.run(LayerNorm {
            rows: block,
            weight,
            bias,
            eps,
        });
    });
}

/// Replaces each row x by `x * weight + bias`, element by element: MobileBERT's `no_norm` (Sun et al. 2020, section
/// 3.3).
pub(crate) fn no_norm(exec: &ExecContext, rows: &mut [f32], weight: &[f32], bias: &[f32]) {
    let cpu = exec.cpu;
    assert_eq!(weight.len(), bias.len());
    for_each_block(exec, rows, weight.len(), |block| {
        cpu.run(NoNorm {
            rows: block,
            weight,
            bias,
        });
    });
}

/// Calls `work` for blocks of rows of `width` floats, on all threads.
fn for_each_block(
    exec: &ExecContext,
    rows: &mut [f32],
    width: usize,
    work: impl Fn(&mut [f32]) + Sync + Send,
) {
    let count = rows.len() / width;
    assert_eq!(rows.len(), count * width, "rows of width {width}");
    let blocks = OutputChunks::uniform(ROWS_PER_TASK * width, rows);
    let tasks = count.div_ceil(ROWS_PER_TASK);
    for_each_chunk(exec, tasks, [blocks], |_, _, [block]| work(block));
}

/// Layer normalisation of some rows as a kernel.
struct LayerNorm<'a> {
    rows: &'a mut [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.weight.len();
        for row in self.rows.chunks_exact_mut(width) {
            let mean = sum::<S, false>(s, row, 0.0) / width as f32;
            let variance = sum::<S, true>(s, row, mean) / width as f32;
            let scale = 1.0 / (variance + self.eps).sqrt();
            shift_and_scale(s, row, mean, scale, self.weight, self.bias);
        }
    }
}

/// Multiplication and addition of some rows as a kernel.
struct NoNorm<'a> {
    rows: &'a mut [f32],
    weight: &'a [f32],
    bias: &'a [f32],
}

impl Kernel for NoNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for row in self.rows.chunks_exact_mut(self.weight.len()) {
            shift_and_scale(s, row, 0.0, 1.0, self.weight, self.bias);
        }
    }
}

/// Returns the sum of a row's floats, or, if `SQUARES`, of the squares of their differences from `mean`.
///
/// There are four accumulators, since with one each addition would wait for the one before. Which float is added to
/// which depends on the width alone.
#[inline(always)]
fn sum<S: Simd, const SQUARES: bool>(s: S, row: &[f32], mean: f32) -> f32 {
    let mean_lanes = s.splat(mean);
    let mut sums = [s.splat(0.0); 4];
    let (fours, rest) = row.as_chunks::<{ 4 * LANES }>();
    for four in fours {
        for (sum, block) in sums.iter_mut().zip(four.as_chunks::<LANES>().0) {
            *sum = s.add(*sum, term::<S, SQUARES>(s, s.load(block), mean_lanes));
        }
    }
    for (sum, some) in sums.iter_mut().zip(rest.chunks(LANES)) {
        // Lanes past the end hold the mean, whose square difference is 0. For a plain sum the caller passes a mean of
        // 0.
        let x = s.load_partial(some, mean);
        *sum = s.add(*sum, term::<S, SQUARES>(s, x, mean_lanes));
    }
    s.reduce_add(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}

/// Returns the term that one vector adds to the sum.
#[inline(always)]
fn term<S: Simd, const SQUARES: bool>(s: S, x: S::F32, mean: S::F32) -> S::F32 {
    if SQUARES {
        let distance = s.sub(x, mean);
        s.mul(distance, distance)
    } else {
        x
    }
}

/// Replaces each float x of a row by `(x - mean) * scale * weight + bias`.
#[inline(always)]
fn shift_and_scale<S: Simd>(
    s: S,
    row: &mut [f32],
    mean: f32,
    scale: f32,
    weight: &[f32],
    bias: &[f32],
) {
    let (mean, scale) = (s.splat(mean), s.splat(scale));
    let (blocks, rest) = row.as_chunks_mut::<LANES>();
    let (weights, rest_weight) = weight.as_chunks::<LANES>();
    let (biases, rest_bias) = bias.as_chunks::<LANES>();
    for ((block, weight), bias) in blocks.iter_mut().zip(weights).zip(biases) {
        let x = s.mul(s.sub(s.load(block), mean), scale);
        s.store(s.mul_add(x, s.load(weight), s.load(bias)), block);
    }
    if !rest.is_empty() {
        let x = s.mul(s.sub(s.load_partial(rest, 0.0), mean), scale);
        let (weight, bias) = (
            s.load_partial(rest_weight, 0.0),
            s.load_partial(rest_bias, 0.0),
        );
        s.store_partial(s.mul_add(x, weight, bias), rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Cpu, Threads};

    fn oracle(row: &[f32], weight: &[f32], bias: &[f32], eps: f64) -> Vec<f64> {
        let n = row.len() as f64;
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = row
            .iter()
            .map(|&x| (f64::from(x) - mean).powi(2))
            .sum::<f64>()
            / n;
        row.iter()
            .zip(weight.iter().zip(bias))
            .map(|(&x, (&w, &b))| {
                (f64::from(x) - mean) / (variance + eps).sqrt() * f64::from(w) + f64::from(b)
            })
            .collect()
    }

    #[test]
    fn agrees_with_f64_at_every_width_and_thread_count() {
        for cpu in Cpu::supported() {
            for threads in [1, 3] {
                let exec = ExecContext::new(cpu, &Threads::new(threads).unwrap());
                for width in [1, 2, 15, 16, 17, 36, 312, 384, 1024] {
                    let weight: Vec<f32> = (0..width).map(|i| 1.0 + (i % 5) as f32 * 0.1).collect();
                    let bias: Vec<f32> = (0..width).map(|i| (i % 7) as f32 * 0.2 - 0.5).collect();
                    let rows: Vec<f32> = (0..width * 70)
                        .map(|i| ((i * 31) % 113) as f32 * 0.05 + 2.0)
                        .collect();
                    let mut out = rows.clone();
                    layer_norm(&exec, &mut out, &weight, &bias, 1e-12);
                    for (row, normed) in rows.chunks(width).zip(out.chunks(width)) {
                        for (y, expected) in normed.iter().zip(oracle(row, &weight, &bias, 1e-12)) {
                            let error = (f64::from(*y) - expected).abs();
                            assert!(error < 1e-6, "{cpu:?}, width {width}: {error:e}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_constant_row_becomes_the_bias() {
        let mut row = vec![3.0; 24];
        layer_norm(
            &ExecContext::serial(),
            &mut row,
            &[1.5; 24],
            &[0.25; 24],
            1e-12,
        );
        assert_eq!(row, vec![0.25; 24]);
    }

    #[test]
    #[should_panic(expected = "left: 24")]
    fn weight_and_bias_must_have_one_width() {
        layer_norm(
            &ExecContext::serial(),
            &mut [3.0; 24],
            &[1.5; 24],
            &[0.25; 23],
            1e-12,
        );
    }

    #[test]
    fn no_norm_multiplies_and_adds() {
        let mut rows = vec![1.0, 2.0, 3.0, 4.0];
        no_norm(&ExecContext::serial(), &mut rows, &[2.0, 3.0], &[0.5, -1.0]);
        assert_eq!(rows, [2.5, 5.0, 6.5, 11.0]);
    }
}
