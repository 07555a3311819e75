//! Multi-head self-attention with its residual and norm.

use super::{Linear, Norm, Texts, by_rows};
use crate::error::Result;
use crate::kernels::Compute;
use crate::kernels::attention::{Attention, Projection, RelativeBias, attention};
use crate::kernels::memory::AlignedFloats;
use crate::weights::Weights;

/// `norm(x + W concat(heads(x)))` (Vaswani et al. 2017, section 3.2.2).
#[derive(Debug)]
pub(crate) struct SelfAttention {
    /// Queries, keys and values in one product.
    projections: Linear,
    output: Linear,
    norm: Norm,
    heads: usize,
}

/// What attention computes in.
#[derive(Debug)]
pub(crate) struct Buffers<'a> {
    pub(crate) projections: &'a mut AlignedFloats,
    pub(crate) context: &'a mut AlignedFloats,
}

impl SelfAttention {
    /// From inside a layer's `attention` module.
    pub(crate) fn load(
        weights: &Weights<'_>,
        hidden: usize,
        heads: usize,
        eps: f32,
    ) -> Result<Self> {
        let names = ["self.query", "self.key", "self.value"];
        Ok(Self {
            projections: Linear::load_joined(weights, &names, hidden, hidden)?,
            output: Linear::load(weights, "output.dense", hidden, hidden)?,
            norm: Norm::load(weights, "output.LayerNorm", hidden, Some(eps))?,
            heads,
        })
    }

    /// From `x` to `out`, both (rows, hidden): gives the rows of `out` that are asked for. Of `x`, too, these alone are
    /// left, at the front.
    pub(crate) fn forward<'o>(
        &self,
        compute: &Compute,
        x: &mut [f32],
        texts: Texts<'_>,
        bias: Option<RelativeBias<'_>>,
        buffers: Buffers<'_>,
        out: &'o mut [f32],
    ) -> &'o [f32] {
        let hidden = self.output.inputs();
        let stride = self.projections.outputs();
        let rows = x.len() / hidden;
        let projected = buffers.projections.at_least(rows * stride);
        by_rows(
            compute,
            rows,
            [&self.projections],
            [&mut *projected],
            |compute, _, rows, [projected]| {
                let x = &x[rows.start * hidden..rows.end * hidden];
                self.projections.forward(compute, x, projected);
            },
        );
        let part = |index: usize| Projection {
            data: projected,
            stride,
            offset: index * hidden,
        };
        let input = Attention {
            query: part(0),
            key: part(1),
            value: part(2),
            starts: texts.starts,
            out_starts: texts.out_starts,
            heads: self.heads,
            head_dim: hidden / self.heads,
            bias,
            dtype: self.projections.dtype(),
        };
        let asking = texts.asked(x, hidden);
        let context = buffers.context.at_least(asking.len());
        attention(compute, &input, context);
        let out = &mut out[..asking.len()];
        let rows = asking.len() / hidden;
        by_rows(
            compute,
            rows,
            [&self.output],
            [&mut *out],
            |compute, _, rows, [out]| {
                let rows = rows.start * hidden..rows.end * hidden;
                self.output
                    .forward_onto(compute, &context[rows.clone()], &asking[rows], out);
                self.norm.forward(compute, out);
            },
        );
        out
    }
}
