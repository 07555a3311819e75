//! A head in single precision.

use super::{Buffers, Form, Part};
use crate::kernels::gemm::{self, Distance, FloatOperands, PANEL, Rows};
use crate::kernels::simd::Simd;
use crate::kernels::softmax;

/// Queries where they lie; keys and values in panels.
pub(super) struct Floats<'a> {
    part: Part<'a>,
    /// `[len / 16][head_dim][16]`.
    keys: &'a [f32],
    /// `[head_dim / 16][len][16]`.
    values: &'a [f32],
}

impl<'a> Form<'a> for Floats<'a> {
    type Queries<'b>
        = FloatOperands<'b>
    where
        Self: 'b;
    type Shares<'b>
        = FloatOperands<'b>
    where
        Self: 'b;

    #[inline(always)]
    fn pack<S: Simd>(s: S, part: Part<'a>, buffers: Buffers<'a>) -> Self {
        let Part { len, head_dim, .. } = part;
        let padded = len.next_multiple_of(PANEL);
        let keys = buffers.keys.at_least(padded * head_dim);
        if padded > len {
            keys[(padded - PANEL) * head_dim..].fill(0.0);
        }
        let numbers = (len - 1) * part.keys.stride + head_dim;
        gemm::pack(&part.keys.data[..numbers], head_dim, part.keys.stride, keys);
        let values = buffers
            .values
            .at_least(head_dim.next_multiple_of(PANEL) * len);
        gemm::pack_columns(s, part.values, head_dim, len, values);
        Self { part, keys, values }
    }

    #[inline(always)]
    fn scores_scale(&self) -> f32 {
        1.0
    }

    #[inline(always)]
    fn scores(&self, first: usize) -> FloatOperands<'_> {
        let Rows { data, stride } = self.part.queries;
        FloatOperands {
            x: Rows {
                data: &data[first * stride..],
                stride,
            },
            k: self.part.head_dim,
            panels: self.keys,
            distance: Distance::Near,
        }
    }

    #[inline(always)]
    fn exponentials<S: Simd>(
        &mut self,
        s: S,
        scores: &mut [f32],
        stride: usize,
        factor: f32,
        factors: &mut [f32],
    ) {
        for (scores, of_sum) in scores.chunks_exact_mut(stride).zip(factors) {
            *of_sum = 1.0 / softmax::exponentials(s, &mut scores[..self.part.len], factor);
        }
    }

    #[inline(always)]
    fn context<'b>(&'b self, scores: &'b [f32], stride: usize, _: &'b [f32]) -> FloatOperands<'b> {
        FloatOperands {
            x: Rows {
                data: scores,
                stride,
            },
            k: self.part.len,
            panels: self.values,
            distance: Distance::Near,
        }
    }

    // Here, where there are fewer numbers to divide than there are exponentials.
    #[inline(always)]
    fn divide<S: Simd>(s: S, context: &mut [f32], factor: f32) {
        softmax::scale(s, context, factor);
    }
}
