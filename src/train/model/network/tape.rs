//! The tape: intermediate results of a forward pass, kept for losses and for the backward pass.

use super::layer::LayerTape;
use super::scratch::NetworkScratch;
use crate::batch::Batch;
use crate::config::EncoderConfig;
use crate::kernels::memory::AlignedFloats;
use crate::train::model::ops::dropout::Dropout;

/// Outputs of a forward pass that the caller needs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Retain {
    /// The head's output. If it depends on first rows alone, the last layer computes no others, which saves a seventh of the
    /// work on six layers.
    #[default]
    Head,
    /// Hidden states and projections of all layers, beside the head's output.
    All,
}

/// Intermediate results of one forward pass, which its backward pass reads.
///
/// Buffers are reused and grow to the largest batch so far. With r rows they hold about (layers * (8 * hidden + intermediate) +
/// 8 * hidden + 3 * intermediate) * r floats.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    /// Number of rows in the recorded pass.
    rows: usize,
    width: usize,
    pub(super) dropout: Dropout,
    pub(super) retain: Retain,
    /// The offsets 0, 1, 2 and so on, up to the number of texts.
    pub(super) firsts: Vec<usize>,
    /// Sum of the embeddings, before their layer norm.
    pub(super) embedded: AlignedFloats,
    /// Hidden states after the embeddings and after each layer.
    pub(super) hidden: Vec<AlignedFloats>,
    pub(super) layers: Vec<LayerTape>,
    pub(super) head: HeadTape,
    pub(super) scratch: NetworkScratch,
}

/// Intermediate results of a head.
#[derive(Debug, Default)]
pub(super) struct HeadTape {
    /// Input from the encoder, with a row per text or per token.
    pub(super) input: AlignedFloats,
    /// Output of the intermediate layer, before its activation.
    pub(super) inner: AlignedFloats,
    /// Input of the last layer.
    pub(super) last: AlignedFloats,
    /// Logits or embeddings.
    pub(super) out: AlignedFloats,
    /// Number of floats in `out` that are valid.
    pub(super) len: usize,
}

impl Tape {
    /// Prepares the buffers for a pass.
    pub(super) fn start(
        &mut self,
        config: &EncoderConfig,
        batch: &Batch,
        dropout: Dropout,
        retain: Retain,
    ) {
        self.rows = batch.rows();
        self.width = config.hidden_size;
        self.dropout = dropout;
        self.retain = retain;
        self.firsts.clear();
        self.firsts.extend(0..batch.starts.len());
        let layers = config.num_hidden_layers;
        self.hidden.resize_with(layers + 1, Default::default);
        self.layers.resize_with(layers, Default::default);
    }

    /// Output of the head: logits or embeddings, a row per text or token.
    pub(crate) fn output(&self) -> &[f32] {
        &self.head.out[..self.head.len]
    }

    /// Hidden states after the embeddings (index 0) or after a layer (counted from 1): (rows, hidden).
    ///
    /// # Panics
    /// If the pass computed only the head's output.
    pub(crate) fn hidden(&self, index: usize) -> &[f32] {
        assert_eq!(self.retain, Retain::All);
        &self.hidden[index][..self.rows * self.width]
    }

    /// Queries, keys and values of a layer, each (rows, hidden). The relations of MiniLMv2 (Wang et al. 2021) and the attention
    /// scores of TinyBERT (Jiao et al. 2020) are computed from them.
    ///
    /// # Panics
    /// If the pass computed only the head's output.
    pub(crate) fn projections(&self, layer: usize) -> [&[f32]; 3] {
        assert_eq!(self.retain, Retain::All);
        let len = self.rows * self.width;
        let LayerTape {
            query, key, value, ..
        } = &self.layers[layer];
        [&query[..len], &key[..len], &value[..len]]
    }
}

/// Gradients of a loss with respect to the outputs of a pass. An empty one counts as zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputGradients {
    /// Gradient of the head's output.
    pub(crate) head: Vec<f32>,
    /// Gradients of hidden states, with the indices of the tape.
    pub(crate) hidden: Vec<Vec<f32>>,
    /// Gradients of queries, keys and values, by layer.
    pub(crate) projections: Vec<[Vec<f32>; 3]>,
}

impl OutputGradients {
    /// Adds the gradient of a hidden state to `d`.
    pub(super) fn add_hidden(&self, index: usize, d: &mut [f32]) {
        let Some(gradient) = self
            .hidden
            .get(index)
            .filter(|gradient| !gradient.is_empty())
        else {
            return;
        };
        assert_eq!(
            gradient.len(),
            d.len(),
            "the gradient of hidden state {index}"
        );
        d.iter_mut().zip(gradient).for_each(|(sum, x)| *sum += x);
    }
}
