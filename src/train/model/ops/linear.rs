//! Dense layers: `y = x W^T + b` with W of (outputs, inputs).

use crate::kernels::ExecContext;
use crate::kernels::gemm::{
    Rounding, StoreMode, Transposed, Unpacked, gemm_transposed, gemm_unpacked,
};
use crate::kernels::memory::AlignedFloats;

/// Number of rows whose gradients are summed at once: panels of this many rows stay in a core's second-level cache.
const ROWS_AT_ONCE: usize = 1024;

/// Computes `out = x weight^T + bias`; `x` is (rows, inputs), `out` (rows, outputs).
pub(crate) fn forward(
    exec: &ExecContext,
    rounding: Rounding,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    out: &mut [f32],
) {
    let weights = Unpacked::Rows {
        data: weight,
        k: weight.len() / bias.len().max(1),
    };
    gemm_unpacked(exec, rounding, x, weights, StoreMode::WithBias(bias), out);
}

/// Computes `d_x = d_out weight`; `sum` says whether it is stored or added. A bias is not allowed.
pub(crate) fn backward_input(
    exec: &ExecContext,
    rounding: Rounding,
    d_out: &[f32],
    weight: &[f32],
    inputs: usize,
    sum: StoreMode<'_>,
    d_x: &mut [f32],
) {
    let weights = Unpacked::Columns {
        data: weight,
        n: inputs,
    };
    gemm_unpacked(exec, rounding, d_out, weights, sum, d_x);
}

/// Gradients of a dense layer's parameters.
pub(crate) struct Gradient<'a> {
    /// Gradient of the weight, (outputs, inputs).
    pub(crate) weight: &'a mut [f32],
    /// Whether the weight's gradient is added to what `weight` holds; otherwise it is stored.
    pub(crate) accumulate: bool,
    /// Gradient of the bias, (outputs), which is always added to.
    pub(crate) bias: &'a mut [f32],
}

/// Computes `d_weight += d_out^T x` and `d_bias += sum of d_out's rows`.
pub(crate) fn backward_parameters(
    exec: &ExecContext,
    rounding: Rounding,
    x: &[f32],
    d_out: &[f32],
    gradient: Gradient<'_>,
    transposed: &mut AlignedFloats,
) {
    let Gradient {
        weight,
        mut accumulate,
        bias,
    } = gradient;
    let outputs = bias.len();
    let inputs = weight.len() / outputs.max(1);
    if d_out.is_empty() && !accumulate {
        weight.fill(0.0);
    }
    let blocks = x.chunks(ROWS_AT_ONCE * inputs.max(1));
    for (x, d_out) in blocks.zip(d_out.chunks(ROWS_AT_ONCE * outputs.max(1))) {
        let sum = if accumulate {
            StoreMode::Accumulate
        } else {
            StoreMode::Overwrite
        };
        let x = Unpacked::Columns { data: x, n: inputs };
        let d_out = Transposed {
            x: d_out,
            sums: &mut *bias,
            scratch: &mut *transposed,
        };
        gemm_transposed(exec, rounding, d_out, x, sum, weight);
        accumulate = true;
    }
}

#[cfg(test)]
mod tests {
    use super::super::oracle::{self, GradientCheck, random};
    use super::*;

    #[test]
    fn both_passes_agree_with_differences() {
        for (rows, inputs, outputs) in [(1, 3, 2), (7, 20, 17), (1100, 5, 3)] {
            let exec = ExecContext::serial();
            for rounding in [Rounding::None, Rounding::Bf16] {
                // Values that rounding leaves unchanged.
                let rounded = |seed, len| -> Vec<f32> {
                    let elements = random(seed, len).into_iter();
                    elements.map(|x| half::bf16::from_f32(x).to_f32()).collect()
                };
                let x = rounded(1, rows * inputs);
                let weight = rounded(2, outputs * inputs);
                let (bias, d_out) = (random(3, outputs), rounded(4, rows * outputs));
                let mut out = vec![0.0; rows * outputs];
                forward(&exec, rounding, &x, &weight, &bias, &mut out);
                let check =
                    GradientCheck::of(&d_out, |[x, weight, bias]| oracle::linear(x, weight, bias));
                let parts = [&x[..], &weight, &bias];
                check.forward(parts, &out);

                let mut d_x = vec![0.0; x.len()];
                backward_input(
                    &exec,
                    rounding,
                    &d_out,
                    &weight,
                    inputs,
                    StoreMode::Overwrite,
                    &mut d_x,
                );
                let (mut d_weight, mut d_bias) = (vec![9.0; weight.len()], vec![0.0; outputs]);
                for accumulate in [false, true] {
                    let gradient = Gradient {
                        weight: &mut d_weight,
                        accumulate,
                        bias: &mut d_bias,
                    };
                    let mut transposed = AlignedFloats::default();
                    backward_parameters(&exec, rounding, &x, &d_out, gradient, &mut transposed);
                }
                // Twice: once stored, once added.
                d_weight
                    .iter_mut()
                    .chain(&mut d_bias)
                    .for_each(|d| *d /= 2.0);
                check.backward(parts, [&d_x, &d_weight, &d_bias]);
            }
        }
    }
}
