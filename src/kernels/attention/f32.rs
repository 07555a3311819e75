//! Attention of a head in single precision.

use super::kernel::{Buffers, HeadInput, HeadKernel, MAX_QUERIES};
use crate::kernels::gemm::{self, F32, GemmTask, Operands, OutputColumns, PANEL, RhsIn, RowsView};
use crate::kernels::simd::Simd;
use crate::kernels::softmax;

/// Head in f32: queries are read from the input, keys and values are packed in panels.
pub(super) struct F32Head<'a> {
    input: HeadInput<'a>,
    /// Keys, `[len / 16][head_dim][16]`.
    keys: &'a [f32],
    /// Values, `[head_dim / 16][len][16]`.
    values: &'a [f32],
}

impl<'a> HeadKernel<'a> for F32Head<'a> {
    type Scores = F32;

    #[inline(always)]
    fn pack<S: Simd>(s: S, input: HeadInput<'a>, buffers: &'a mut Buffers) -> Self {
        let HeadInput { len, head_dim, .. } = input;
        let padded = len.next_multiple_of(PANEL);
        let keys = buffers.keys.at_least(padded * head_dim);
        if padded > len {
            keys[(padded - PANEL) * head_dim..].fill(0.0);
        }
        let RowsView { data, stride } = input.keys;
        gemm::pack(
            &data[..(len - 1) * stride + head_dim],
            head_dim,
            stride,
            keys,
        );
        let values = buffers
            .values
            .at_least(head_dim.next_multiple_of(PANEL) * len);
        gemm::pack_columns(s, input.values, head_dim, len, values);
        Self {
            input,
            keys,
            values,
        }
    }

    #[inline(always)]
    fn scores(&self, first: usize) -> (Operands<'_, F32>, f32) {
        let RowsView { data, stride } = self.input.queries;
        let queries = RowsView {
            data: &data[first * stride..],
            stride,
        };
        let operands = Operands::f32(queries, self.input.head_dim, self.keys, RhsIn::L1);
        (operands, 1.0)
    }

    #[allow(unsafe_code, reason = "heads write columns of rows they share")]
    #[inline(always)]
    unsafe fn weighted_sum<S: Simd>(
        &mut self,
        s: S,
        scores: &mut [f32],
        stride: usize,
        factor: f32,
        context: OutputColumns<'_>,
    ) {
        let count = scores.len() / stride;
        let mut inv_sums = [0.0; MAX_QUERIES];
        let inv_sums = &mut inv_sums[..count];
        for (row, inv_sum) in scores.chunks_exact_mut(stride).zip(&mut *inv_sums) {
            *inv_sum = 1.0 / softmax::exp_and_sum(s, &mut row[..self.input.len], factor);
        }
        let rows = RowsView {
            data: scores,
            stride,
        };
        let operands = Operands::f32(rows, self.input.len, self.values, RhsIn::L1);
        let task = GemmTask::without_epilogue(operands, context);
        // SAFETY: the caller's promise is the contract of `GemmTask::run`.
        unsafe {
            task.run(s, 0..count, 0..context.width.div_ceil(PANEL));
        }
        // The context is divided and not the exponentials: it has fewer floats.
        for (row, &inv_sum) in inv_sums.iter().enumerate() {
            // SAFETY: the row is among those that the caller promised, the product no longer borrows it, and the slice
            // is dropped before the next is made.
            let context = unsafe {
                context
                    .out
                    .slice_mut(context.first + row * context.stride, context.width)
            };
            softmax::scale(s, context, inv_sum);
        }
    }
}
