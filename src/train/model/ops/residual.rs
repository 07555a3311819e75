//! Residual connection and layer norm after each half of a layer: `out = norm(x + dropout(y))`.

use super::ROWS_PER_TASK;
use super::dropout::{self, Mask};
use super::layer_norm::{self, Norm, NormGradient};
use crate::kernels::ExecContext;
use crate::kernels::output::{OutputChunks, for_each_chunk};
use crate::kernels::simd::{Kernel, Simd};

/// Computes `sum = x + dropout(y)` and `out = norm(sum)`. On entry `sum` holds `y`. All are (rows, width).
pub(crate) fn forward(
    exec: &ExecContext,
    x: &[f32],
    mask: Mask,
    norm: Norm<'_>,
    sum: &mut [f32],
    out: &mut [f32],
) {
    let width = norm.weight.len();
    let block = ROWS_PER_TASK * width;
    let tasks = sum.len().div_ceil(block);
    let cpu = exec.cpu;
    let outs = [
        OutputChunks::uniform(block, &mut *sum),
        OutputChunks::uniform(block, &mut *out),
    ];
    for_each_chunk(exec, tasks, outs, |_, task, [sum, out]| {
        cpu.run(AddDropped {
            x: &x[task * block..][..sum.len()],
            mask,
            first: task * ROWS_PER_TASK,
            width,
            sum,
        });
        out.copy_from_slice(sum);
    });
    crate::kernels::layer_norm::layer_norm(exec, out, norm.weight, norm.bias, norm.eps);
}

struct AddDropped<'a> {
    x: &'a [f32],
    mask: Mask,
    first: usize,
    width: usize,
    sum: &'a mut [f32],
}

impl Kernel for AddDropped<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let rows = self
            .x
            .chunks_exact(self.width)
            .zip(self.sum.chunks_exact_mut(self.width));
        for (row, (x, sum)) in (self.first..).zip(rows) {
            let mask = self.mask.row(row);
            for (column, (sum, x)) in sum.iter_mut().zip(x).enumerate() {
                *sum = x + *sum * mask.factor(column);
            }
        }
    }
}

/// Backward pass: replaces the gradient of `out` in `d` by that of `x`, and writes that of `y` to `d_y`.
pub(crate) fn backward(
    exec: &ExecContext,
    sum: &[f32],
    norm: Norm<'_>,
    mask: Mask,
    d: &mut [f32],
    d_y: &mut [f32],
    gradient: NormGradient<'_>,
) {
    layer_norm::backward(exec, sum, norm, d, gradient);
    dropout::copy(exec, mask, norm.weight.len(), d, d_y);
}

#[cfg(test)]
mod tests {
    use super::super::dropout::Dropout;
    use super::super::oracle::{self, GradientCheck, random};
    use super::*;
    use crate::kernels::memory::AlignedFloats;

    #[test]
    fn both_passes_agree_with_differences() {
        let (rows, width) = (19, 24);
        let exec = ExecContext::serial();
        let (x, y) = (random(1, rows * width), random(2, rows * width));
        let (weight, bias) = (random(3, width), random(4, width));
        let d_out = random(5, rows * width);
        let norm = Norm {
            weight: &weight,
            bias: &bias,
            eps: 1e-3,
        };
        let mask = Dropout {
            seed: 3,
            ..Dropout::NONE
        }
        .mask(1, 0.4);
        let (mut sum, mut out) = (y.clone(), vec![0.0; x.len()]);
        forward(&exec, &x, mask, norm, &mut sum, &mut out);
        let check = GradientCheck::of(&d_out, |[x, y, weight, bias]| {
            let factor = |at: usize| f64::from(mask.row(at / width).factor(at % width));
            let sums = x.iter().zip(y).enumerate();
            let sums: Vec<f64> = sums.map(|(at, (x, y))| x + y * factor(at)).collect();
            oracle::layer_norm(&sums, weight, bias, f64::from(1e-3f32))
        });
        let parts = [&x[..], &y, &weight, &bias];
        check.forward(parts, &out);

        let (mut d, mut d_y) = (d_out.clone(), vec![0.0; y.len()]);
        let (mut d_weight, mut d_bias) = (vec![0.0; width], vec![0.0; width]);
        let gradient = NormGradient {
            weight: &mut d_weight,
            bias: &mut d_bias,
            sums: &mut AlignedFloats::default(),
        };
        backward(&exec, &sum, norm, mask, &mut d, &mut d_y, gradient);
        check.backward(parts, [&d, &d_y, &d_weight, &d_bias]);
    }
}
