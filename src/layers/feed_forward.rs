//! The feed-forward network with its residual and norm.

use super::{Linear, Norm, by_rows};
use crate::error::Result;
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
            up: Linear::load(weights, "intermediate.dense", intermediate, hidden)?,
            down: Linear::load(weights, "output.dense", hidden, intermediate)?,
            norm: Norm::load(weights, "output.LayerNorm", hidden, eps)?,
            activation,
        })
    }

    /// What it multiplies by.
    pub(crate) fn layers(&self) -> [&Linear; 2] {
        [&self.up, &self.down]
    }

    /// `x` and `out` are (rows, hidden).
    pub(crate) fn forward(&self, compute: &Compute, x: &[f32], out: &mut [f32]) {
        let hidden = self.up.inputs();
        let rows = x.len() / hidden;
        let layers = self.layers();
        by_rows(
            compute,
            rows,
            layers,
            [out],
            |compute, buffer, rows, [out]| {
                let inner = buffer.at_least(self.inner(rows.len()));
                let x = &x[rows.start * hidden..rows.end * hidden];
                self.forward_within(compute, x, inner, out);
            },
        );
    }

    /// The same with room for [`inner`](Self::inner) numbers, by all threads at each step.
    pub(crate) fn forward_within(
        &self,
        compute: &Compute,
        x: &[f32],
        inner: &mut [f32],
        out: &mut [f32],
    ) {
        let hidden = self.up.inputs();
        let per_block = self.rows_of_block(x.len() / hidden);
        let blocks = x.chunks(per_block * hidden);
        for (x, out) in blocks.zip(out.chunks_mut(per_block * hidden)) {
            let inner = &mut inner[..self.inner(x.len() / hidden)];
            self.up.forward_through(compute, x, self.activation, inner);
            self.down.forward_onto(compute, inner, x, out);
            self.norm.forward(compute, out);
        }
    }

    /// How many numbers so many rows leave between the layers.
    pub(crate) fn inner(&self, rows: usize) -> usize {
        rows.min(self.rows_of_block(rows)) * self.up.outputs()
    }

    /// In blocks of even size, each up and down again while it is at hand: 512 rows by 1536 take 3 MB.
    fn rows_of_block(&self, rows: usize) -> usize {
        let bytes_of_row = size_of::<f32>() * self.up.outputs();
        let weight = self.up.dtype().bytes_of_weight();
        let most = (BYTES_OF_INNER / 4 * weight / bytes_of_row).max(ROWS_PER_BLOCK);
        rows.div_ceil(rows.div_ceil(most).max(1)).max(1)
    }
}
