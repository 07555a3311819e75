//! Layer of BERT, DistilBERT, ELECTRA and MPNet.

use crate::config::EncoderConfig;
use crate::error::Result;
use crate::kernels::ExecContext;
use crate::kernels::attention::RelativeBias;
use crate::layers::{AttentionBuffers, FeedForward, Scratch, SelfAttention, Texts};
use crate::weights::Weights;

/// Self-attention, then a feed-forward network.
#[derive(Debug)]
pub(super) struct StandardLayer {
    attention: SelfAttention,
    feed_forward: FeedForward,
}

impl StandardLayer {
    /// Loads a layer; `weights` is in its scope.
    pub(super) fn load(weights: &Weights<'_>, config: &EncoderConfig) -> Result<Self> {
        let (hidden_size, heads) = (config.hidden_size, config.num_attention_heads);
        let (attention, eps) = (weights.scope("attention"), config.eps);
        Ok(Self {
            attention: SelfAttention::load(&attention, hidden_size, heads, eps)?,
            feed_forward: FeedForward::load(
                weights,
                hidden_size,
                config.intermediate_size,
                config.hidden_act,
                Some(eps),
            )?,
        })
    }

    /// Computes the layer in place: reads its input rows from the first `len` floats of `scratch.rows`, and writes the
    /// output rows of `texts` to the front.
    pub(super) fn forward(
        &self,
        exec: &ExecContext,
        texts: Texts<'_>,
        bias: Option<RelativeBias<'_>>,
        scratch: &mut Scratch,
        len: usize,
    ) {
        let rows = &mut scratch.rows[..len];
        let buffers = AttentionBuffers {
            query_key_value: &mut scratch.query_key_value,
            context: &mut scratch.context,
            output: &mut scratch.attention_output,
        };
        let attention_output = self.attention.forward(exec, rows, texts, bias, buffers);
        let out = &mut rows[..attention_output.len()];
        self.feed_forward.forward(exec, attention_output, out);
    }
}
