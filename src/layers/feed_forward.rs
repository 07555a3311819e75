//! The feed-forward network with its residual and norm.

use super::{Linear, Norm};
use crate::error::Result;
use crate::kernels::aligned::AlignedFloats;
use crate::kernels::{Activation, Compute};
use crate::weights::Weights;

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

    /// `x` and `out` are (rows, hidden).
    pub(crate) fn forward(
        &self,
        compute: &Compute,
        x: &[f32],
        inner: &mut AlignedFloats,
        out: &mut [f32],
    ) {
        let inner = inner.at_least(x.len() / self.up.inputs() * self.up.outputs());
        self.up.forward_through(compute, x, self.activation, inner);
        self.down.forward_onto(compute, inner, x, out);
        self.norm.forward(compute, out);
    }
}
