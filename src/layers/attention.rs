//! Multi-head self-attention with residual and norm.

use super::linear::Linear;
use super::norm::Norm;
use super::parallel_row_blocks::parallel_row_blocks;
use super::texts::Texts;
use crate::error::Result;
use crate::kernels::ExecContext;
use crate::kernels::attention::{Attention, Projection, RelativeBias, attention};
use crate::kernels::memory::AlignedFloats;
use crate::weights::Weights;

/// Multi-head self-attention: `norm(x + W concat(heads(x)))` (Vaswani et al. 2017, section 3.2.2).
#[derive(Debug)]
pub(crate) struct SelfAttention {
    /// Projects to queries, keys and values in one product.
    query_key_value: Linear,
    /// Projects the context of all heads.
    output: Linear,
    output_norm: Norm,
    num_attention_heads: usize,
}

/// Buffers for the intermediate results of attention.
#[derive(Debug)]
pub(crate) struct AttentionBuffers<'a> {
    /// Queries, keys and values: (rows, 3 * hidden_size).
    pub(crate) query_key_value: &'a mut AlignedFloats,
    /// Weighted sums of the values: (output rows, hidden_size).
    pub(crate) context: &'a mut AlignedFloats,
    /// Result of [`SelfAttention::forward`]: (output rows, hidden_size).
    pub(crate) output: &'a mut AlignedFloats,
}

impl SelfAttention {
    /// Loads attention from a layer's `attention` module, in whose scope `weights` is.
    pub(crate) fn load(
        weights: &Weights<'_>,
        hidden_size: usize,
        num_attention_heads: usize,
        eps: f32,
    ) -> Result<Self> {
        let names = ["self.query", "self.key", "self.value"];
        Ok(Self {
            query_key_value: Linear::load_joined(weights, &names, hidden_size, hidden_size)?,
            output: Linear::load(weights, "output.dense", hidden_size, hidden_size)?,
            output_norm: Norm::load(weights, "output.LayerNorm", hidden_size, Some(eps))?,
            num_attention_heads,
        })
    }

    /// Computes `norm(x + attention(x))` and returns the output rows of `texts`; `x` is (rows, hidden_size). Clobbers
    /// `x`: afterwards its first rows are the output rows. Leaves steps undone once the pass is interrupted.
    pub(crate) fn forward<'o>(
        &self,
        exec: &ExecContext,
        x: &mut [f32],
        texts: Texts<'_>,
        bias: Option<RelativeBias<'_>>,
        buffers: AttentionBuffers<'o>,
    ) -> &'o [f32] {
        let hidden_size = self.output.inputs();
        let stride = self.query_key_value.outputs();
        let rows = x.len() / hidden_size;
        let projected = buffers.query_key_value.at_least(rows * stride);
        parallel_row_blocks(
            exec,
            rows,
            [&self.query_key_value],
            [&mut *projected],
            |exec, _, rows, [projected]| {
                let x = &x[rows.start * hidden_size..rows.end * hidden_size];
                self.query_key_value.forward(exec, x, projected);
            },
        );
        let projection = |index: usize| Projection {
            data: projected,
            stride,
            offset: index * hidden_size,
        };
        let input = Attention {
            query: projection(0),
            key: projection(1),
            value: projection(2),
            starts: texts.starts,
            out_starts: texts.out_starts,
            heads: self.num_attention_heads,
            head_dim: hidden_size / self.num_attention_heads,
            bias,
            dtype: self.query_key_value.dtype(),
        };
        let residual = texts.compact_outputs(x, hidden_size);
        let context = buffers.context.at_least(residual.len());
        if !exec.interrupt.is_raised() {
            attention(exec, &input, context);
        }
        let out = &mut buffers.output.at_least(residual.len())[..residual.len()];
        let rows = residual.len() / hidden_size;
        parallel_row_blocks(
            exec,
            rows,
            [&self.output],
            [&mut *out],
            |exec, _, rows, [out]| {
                let rows = rows.start * hidden_size..rows.end * hidden_size;
                self.output
                    .forward_residual(exec, &context[rows.clone()], &residual[rows], out);
                self.output_norm.forward(exec, out);
            },
        );
        out
    }
}
