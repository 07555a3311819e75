//! The feed-forward network with its residual and norm.

use super::{Linear, Norm};
use crate::error::Result;
use crate::kernels::aligned::AlignedFloats;
use crate::kernels::{Activation, Compute};
use crate::weights::Weights;

/// What the inner product leaves should still be in a core's second-level cache when the outer one reads it, and another
/// block costs another pass over the weights: so this is for weights of four bytes, and a quarter of it for bytes.
const BYTES_OF_INNER: usize = 768 * 1024;

/// Rows that are worth a pass over the weights, however wide the inner layer is.
const ROWS_PER_BLOCK: usize = 48;

/// `norm(x + W2 activation(W1 x))` (Vaswani et al. 2017, section 3.3).
#[derive(Debug)]
pub(crate) struct FeedForward {
    up: Linear,
    down: Linear,
    norm: Norm,
    activation: Activation,
}

impl FeedForward {
    /// `intermediate.dense`, `output.dense` and `output.LayerNorm` inside a module.
    pub(crate) fn load(
        weights: &Weights<'_>,
        hidden: usize,
        intermediate: usize,
        activation: Activation,
        eps: Option<f32>,
    ) -> Result<Self> {
        Ok(Self {
            up: Linear::load_smoothed(weights, &["intermediate.dense"], intermediate, hidden)?,
            down: Linear::load(weights, "output.dense", hidden, intermediate)?,
            norm: Norm::load(weights, "output.LayerNorm", hidden, eps)?,
            activation,
        })
    }

    /// `x` and `out` are (rows, hidden).
    pub(crate) fn forward(
        &self,
        compute: &Compute,
        x: &[f32],
        inner: &mut AlignedFloats,
        out: &mut [f32],
    ) {
        let (hidden, intermediate) = (self.up.inputs(), self.up.outputs());
        let rows = x.len() / hidden;
        // In blocks of even size, each up and down again while it is at hand: 512 rows by 1536 take 3 MB.
        let weight = self.up.dtype().bytes_of_weight();
        let most =
            (BYTES_OF_INNER / 4 * weight / (size_of::<f32>() * intermediate)).max(ROWS_PER_BLOCK);
        let per_block = rows.div_ceil(rows.div_ceil(most).max(1)).max(1);
        let inner = inner.at_least(per_block.min(rows) * intermediate);
        let blocks = x.chunks(per_block * hidden);
        for (x, out) in blocks.zip(out.chunks_mut(per_block * hidden)) {
            let inner = &mut inner[..x.len() / hidden * intermediate];
            let even = self.up.smoothed(x, out);
            self.up
                .forward_through(compute, even, self.activation, inner);
            self.down.forward_onto(compute, inner, x, out);
            self.norm.forward(compute, out);
        }
    }
}
