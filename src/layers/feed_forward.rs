//! Feed-forward network with residual and norm.

use super::linear::Linear;
use super::norm::Norm;
use super::parallel_row_blocks::parallel_row_blocks;
use crate::error::Result;
use crate::kernels::{Activation, ExecContext};
use crate::weights::Weights;

/// Bytes of intermediate activations in a block of rows, for f32 weights; for int8 weights it is a quarter. A block's
/// activations should still be in a core's second-level cache when the output layer reads them. On the other hand, each
/// further block takes another pass over the weights, which costs less if they are small.
const MAX_INTERMEDIATE_BYTES: usize = 768 * 1024;

/// Fewest rows that are worth a pass over the weights, whatever the intermediate size.
const MIN_BLOCK_ROWS: usize = 48;

/// Feed-forward network: `norm(x + W2 activation(W1 x))` (Vaswani et al. 2017, section 3.3).
#[derive(Debug)]
pub(crate) struct FeedForward {
    intermediate: Linear,
    output: Linear,
    output_norm: Norm,
    hidden_act: Activation,
}

impl FeedForward {
    /// Loads `intermediate.dense`, `output.dense` and `output.LayerNorm`. `eps` is `None` where the norm only scales
    /// and shifts.
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

    /// Returns the dense layers, in the order in which they run.
    pub(crate) fn linears(&self) -> [&Linear; 2] {
        [&self.intermediate, &self.output]
    }

    /// Computes the network; `x` and `out` are (rows, hidden_size).
    pub(crate) fn forward(&self, exec: &ExecContext, x: &[f32], out: &mut [f32]) {
        let hidden_size = self.intermediate.inputs();
        let rows = x.len() / hidden_size;
        let linears = self.linears();
        parallel_row_blocks(exec, rows, linears, [out], |exec, buffer, rows, [out]| {
            let scratch = buffer.at_least(self.scratch_len(rows.len()));
            let x = &x[rows.start * hidden_size..rows.end * hidden_size];
            self.forward_block(exec, x, scratch, out);
        });
    }

    /// Computes the network, each dense layer on all threads of `exec`. `scratch` has at least
    /// [`scratch_len`](Self::scratch_len) floats. Leaves the remaining rows undone once the pass is interrupted.
    pub(crate) fn forward_block(
        &self,
        exec: &ExecContext,
        x: &[f32],
        scratch: &mut [f32],
        out: &mut [f32],
    ) {
        let hidden_size = self.intermediate.inputs();
        let block_rows = self.rows_per_block(x.len() / hidden_size);
        let blocks = x.chunks(block_rows * hidden_size);
        for (x, out) in blocks.zip(out.chunks_mut(block_rows * hidden_size)) {
            if exec.interrupt.is_raised() {
                return;
            }
            let scratch = &mut scratch[..self.scratch_len(x.len() / hidden_size)];
            self.intermediate
                .forward_act(exec, x, self.hidden_act, scratch);
            self.output.forward_residual(exec, scratch, x, out);
            self.output_norm.forward(exec, out);
        }
    }

    /// Returns the number of floats that [`forward_block`](Self::forward_block) needs for `rows` rows.
    pub(crate) fn scratch_len(&self, rows: usize) -> usize {
        rows.min(self.rows_per_block(rows)) * self.intermediate.outputs()
    }

    /// Returns the number of rows that go through both dense layers at a time, in blocks of even size. 512 rows of
    /// 1,536 intermediate activations take 3 MB.
    fn rows_per_block(&self, rows: usize) -> usize {
        let bytes_per_row = size_of::<f32>() * self.intermediate.outputs();
        let weight = self.intermediate.dtype().bytes_per_weight();
        let max_rows = (MAX_INTERMEDIATE_BYTES / 4 * weight / bytes_per_row).max(MIN_BLOCK_ROWS);
        rows.div_ceil(rows.div_ceil(max_rows).max(1)).max(1)
    }
}
