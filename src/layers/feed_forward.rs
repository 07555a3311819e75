//! The feed-forward network with its residual and norm.

use super::linear::Linear;
use super::norm::Norm;
use super::parallel_row_blocks::parallel_row_blocks;
use crate::error::Result;
use crate::kernels::{Activation, ExecContext};
use crate::weights::Weights;

/// What the inner product leaves should still be in a core's second-level cache when the outer one reads it, and another
/// block costs another pass over the weights: so this is for weights of four bytes, and a quarter of it for bytes.
const BYTES_OF_INTERMEDIATE: usize = 768 * 1024;

/// Rows that are worth a pass over the weights, however wide the inner layer is.
const ROWS_PER_BLOCK: usize = 48;

/// `norm(x + W2 activation(W1 x))` (Vaswani et al. 2017, section 3.3).
#[derive(Debug)]
pub(crate) struct FeedForward {
    intermediate: Linear,
    output: Linear,
    output_norm: Norm,
    hidden_act: Activation,
}

impl FeedForward {
    /// `intermediate.dense`, `output.dense` and `output.LayerNorm` inside a module.
    pub(crate) fn load(
        weights: &Weights<'_>,
        hidden_size: usize,
        intermediate_size: usize,
        hidden_act: Activation,
        eps: Option<f32>,
    ) -> Result<Self> {
        Ok(Self {
            intermediate: Linear::load(
                weights,
                "intermediate.dense",
                intermediate_size,
                hidden_size,
            )?,
            output: Linear::load(weights, "output.dense", hidden_size, intermediate_size)?,
            output_norm: Norm::load(weights, "output.LayerNorm", hidden_size, eps)?,
            hidden_act,
        })
    }

    /// The dense layers, in their order.
    pub(crate) fn layers(&self) -> [&Linear; 2] {
        [&self.intermediate, &self.output]
    }

    /// `x` and `out` are (rows, hidden_size).
    pub(crate) fn forward(&self, exec: &ExecContext, x: &[f32], out: &mut [f32]) {
        let hidden_size = self.intermediate.inputs();
        let rows = x.len() / hidden_size;
        let layers = self.layers();
        parallel_row_blocks(exec, rows, layers, [out], |exec, buffer, rows, [out]| {
            let scratch = buffer.at_least(self.scratch_len(rows.len()));
            let x = &x[rows.start * hidden_size..rows.end * hidden_size];
            self.forward_block(exec, x, scratch, out);
        });
    }

    /// Computes on all threads at each step. `scratch` has room for [`scratch_len`](Self::scratch_len) floats.
    pub(crate) fn forward_block(
        &self,
        exec: &ExecContext,
        x: &[f32],
        scratch: &mut [f32],
        out: &mut [f32],
    ) {
        let hidden_size = self.intermediate.inputs();
        let per_block = self.rows_of_block(x.len() / hidden_size);
        let blocks = x.chunks(per_block * hidden_size);
        for (x, out) in blocks.zip(out.chunks_mut(per_block * hidden_size)) {
            let scratch = &mut scratch[..self.scratch_len(x.len() / hidden_size)];
            self.intermediate
                .forward_act(exec, x, self.hidden_act, scratch);
            self.output.forward_residual(exec, scratch, x, out);
            self.output_norm.forward(exec, out);
        }
    }

    /// Floats that [`forward_block`](Self::forward_block) needs for `rows` rows.
    pub(crate) fn scratch_len(&self, rows: usize) -> usize {
        rows.min(self.rows_of_block(rows)) * self.intermediate.outputs()
    }

    /// In blocks of even size, each up and down again while it is at hand: 512 rows by 1536 take 3 MB.
    fn rows_of_block(&self, rows: usize) -> usize {
        let bytes_of_row = size_of::<f32>() * self.intermediate.outputs();
        let weight = self.intermediate.dtype().bytes_of_weight();
        let most = (BYTES_OF_INTERMEDIATE / 4 * weight / bytes_of_row).max(ROWS_PER_BLOCK);
        rows.div_ceil(rows.div_ceil(most).max(1)).max(1)
    }
}
