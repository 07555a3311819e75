//! The layer that BERT, DistilBERT, ELECTRA and MPNet share.

use crate::config::EncoderConfig;
use crate::error::Result;
use crate::kernels::Compute;
use crate::kernels::attention::RelativeBias;
use crate::layers::{Buffers, FeedForward, Scratch, SelfAttention, Texts};
use crate::weights::Weights;

/// Attention, then a feed-forward network.
#[derive(Debug)]
pub(super) struct StandardLayer {
    attention: SelfAttention,
    feed_forward: FeedForward,
}

impl StandardLayer {
    pub(super) fn load(weights: &Weights<'_>, config: &EncoderConfig) -> Result<Self> {
        let (hidden, eps) = (config.hidden, config.eps);
        Ok(Self {
            attention: SelfAttention::load(&weights.at("attention"), hidden, config.heads, eps)?,
            feed_forward: FeedForward::load(
                weights,
                hidden,
                config.intermediate,
                config.activation,
                Some(eps),
            )?,
        })
    }

    /// From `scratch.rows`, whose first `len` numbers are the rows, to `scratch.rows`: to those that are asked for.
    pub(super) fn forward(
        &self,
        compute: &Compute,
        texts: Texts<'_>,
        bias: Option<RelativeBias<'_>>,
        scratch: &mut Scratch,
        len: usize,
    ) {
        let rows = &mut scratch.rows[..len];
        let attended = scratch.attended.at_least(len);
        let buffers = Buffers {
            projections: &mut scratch.projections,
            context: &mut scratch.context,
        };
        let attended = self
            .attention
            .forward(compute, rows, texts, bias, buffers, attended);
        let out = &mut rows[..attended.len()];
        self.feed_forward.forward(compute, attended, out);
    }
}
