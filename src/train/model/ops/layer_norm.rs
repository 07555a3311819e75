//! Layer normalisation (Ba et al. 2016): `y = (x - mean) / sqrt(variance + eps) * weight + bias`, each row by itself.

use super::ROWS_PER_TASK;
use crate::kernels::ExecContext;
use crate::kernels::layer_norm::layer_norm;
use crate::kernels::memory::AlignedFloats;
use crate::kernels::output::{OutputChunks, for_each_chunk};
use crate::kernels::simd::{Kernel, LANES, Simd};

/// Parameters of a layer norm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm<'a> {
    /// Factor of each column, (width).
    pub(crate) weight: &'a [f32],
    /// Summand of each column, (width).
    pub(crate) bias: &'a [f32],
    pub(crate) eps: f32,
}

/// Gradients of weight and bias, which the backward pass adds to.
#[derive(Debug)]
pub(crate) struct NormGradient<'a> {
    pub(crate) weight: &'a mut [f32],
    pub(crate) bias: &'a mut [f32],
    /// Working memory for partial sums.
    pub(crate) sums: &'a mut AlignedFloats,
}

/// Computes `out = norm(x)`, both (rows, width).
pub(crate) fn forward(exec: &ExecContext, x: &[f32], norm: Norm<'_>, out: &mut [f32]) {
    out.copy_from_slice(x);
    layer_norm(exec, out, norm.weight, norm.bias, norm.eps);
}

/// Backward pass: replaces the gradient of the output in `d` by that of the input.
///
/// With h = (x - mean) * scale and g = d * weight: `d_x = scale * (g - mean(g) - h * mean(g * h))`, `d_weight += sum of d * h`,
/// `d_bias += sum of d`. Mean and scale are recomputed, which is cheaper than reading kept values.
pub(crate) fn backward(
    exec: &ExecContext,
    x: &[f32],
    norm: Norm<'_>,
    d: &mut [f32],
    gradient: NormGradient<'_>,
) {
    let width = norm.weight.len();
    let tasks = d.len().div_ceil(ROWS_PER_TASK * width);
    // Each task has its own sums, which are added up in order.
    let padded = width.next_multiple_of(LANES);
    let sums = gradient.sums.at_least(tasks * 2 * padded);
    let outs = [
        OutputChunks::uniform(ROWS_PER_TASK * width, d),
        OutputChunks::uniform(2 * padded, &mut *sums),
    ];
    let cpu = exec.cpu;
    for_each_chunk(exec, tasks, outs, |_, task, [d, sums]| {
        let (d_weight, d_bias) = sums.split_at_mut(padded);
        cpu.run(Backward {
            x: &x[task * ROWS_PER_TASK * width..][..d.len()],
            weight: norm.weight,
            eps: norm.eps,
            d,
            d_weight,
            d_bias,
        });
    });
    for sums in sums.chunks_exact(2 * padded) {
        let (d_weight, d_bias) = sums.split_at(padded);
        for (sums, d) in [
            (&mut *gradient.weight, d_weight),
            (&mut *gradient.bias, d_bias),
        ] {
            sums.iter_mut().zip(d).for_each(|(sum, d)| *sum += d);
        }
    }
}

struct Backward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    d: &'a mut [f32],
    /// Gradient of the weight, padded to whole vectors.
    d_weight: &'a mut [f32],
    /// Gradient of the bias, padded to whole vectors.
    d_bias: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.weight.len();
        self.d_weight.fill(0.0);
        self.d_bias.fill(0.0);
        let rows = self
            .x
            .chunks_exact(width)
            .zip(self.d.chunks_exact_mut(width));
        for (x, d) in rows {
            let mut sum = s.splat(0.0);
            for x in x.chunks(LANES) {
                sum = s.add(sum, s.load_partial(x, 0.0));
            }
            let mean = s.reduce_add(sum) / width as f32;
            let mut squares = s.splat(0.0);
            for x in x.chunks(LANES) {
                // Lanes past the end hold the mean, so their distance from it adds nothing.
                let distance = s.sub(s.load_partial(x, mean), s.splat(mean));
                squares = s.mul_add(distance, distance, squares);
            }
            let scale = 1.0 / (s.reduce_add(squares) / width as f32 + self.eps).sqrt();
            let (mean, scale) = (s.splat(mean), s.splat(scale));

            let (mut sum_g, mut sum_gh) = (s.splat(0.0), s.splat(0.0));
            let parameters = self.d_weight.as_chunks_mut::<LANES>().0.iter_mut();
            let parameters = parameters.zip(self.d_bias.as_chunks_mut::<LANES>().0);
            let elements = x
                .chunks(LANES)
                .zip(d.chunks(LANES))
                .zip(self.weight.chunks(LANES));
            for (((x, d), weight), (d_weight, d_bias)) in elements.zip(parameters) {
                let h = s.mul(s.sub(s.load_partial(x, 0.0), mean), scale);
                let d = s.load_partial(d, 0.0);
                let g = s.mul(d, s.load_partial(weight, 0.0));
                sum_g = s.add(sum_g, g);
                sum_gh = s.mul_add(g, h, sum_gh);
                s.store(s.mul_add(d, h, s.load(d_weight)), d_weight);
                s.store(s.add(d, s.load(d_bias)), d_bias);
            }
            let mean_g = s.splat(s.reduce_add(sum_g) / width as f32);
            let mean_gh = s.splat(s.reduce_add(sum_gh) / width as f32);
            let elements = x
                .chunks(LANES)
                .zip(d.chunks_mut(LANES))
                .zip(self.weight.chunks(LANES));
            for ((x, d), weight) in elements {
                let h = s.mul(s.sub(s.load_partial(x, 0.0), mean), scale);
                let g = s.mul(s.load_partial(d, 0.0), s.load_partial(weight, 0.0));
                let rest = s.sub(s.sub(g, mean_g), s.mul(h, mean_gh));
                s.store_partial(s.mul(scale, rest), d);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::oracle::{self, GradientCheck, random};
    use super::*;
    use crate::kernels::{Cpu, Threads};

    #[test]
    fn both_passes_agree_with_differences_on_every_level() {
        for cpu in Cpu::supported() {
            for (rows, width) in [(1, 5), (3, 16), (35, 24), (5, 70)] {
                let exec = ExecContext::new(cpu, &Threads::new(2).unwrap());
                let x = random(1, rows * width);
                let (weight, bias) = (random(2, width), random(3, width));
                let d_out = random(4, rows * width);
                let norm = Norm {
                    weight: &weight,
                    bias: &bias,
                    eps: 1e-3,
                };
                let mut out = vec![0.0; x.len()];
                forward(&exec, &x, norm, &mut out);
                let check = GradientCheck::of(&d_out, |[x, weight, bias]| {
                    oracle::layer_norm(x, weight, bias, f64::from(1e-3f32))
                });
                let parts = [&x[..], &weight, &bias];
                check.forward(parts, &out);

                let mut d = d_out.clone();
                let (mut d_weight, mut d_bias) = (vec![0.0; width], vec![0.0; width]);
                let gradient = NormGradient {
                    weight: &mut d_weight,
                    bias: &mut d_bias,
                    sums: &mut AlignedFloats::default(),
                };
                backward(&exec, &x, norm, &mut d, gradient);
                check.backward(parts, [&d, &d_weight, &d_bias]);
            }
        }
    }
}
