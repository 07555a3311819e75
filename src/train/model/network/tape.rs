//! What a pass leaves behind, for losses and for the way back.

use super::layer::LayerTape;
use crate::batch::Batch;
use crate::config::EncoderConfig;
use crate::kernels::memory::AlignedFloats;
use crate::train::model::ops::dropout::Dropout;

/// What of a pass is asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// The head's output. Where it depends on first rows alone, the last layer computes no others: a seventh of the work
    /// on six layers less.
    #[default]
    Head,
    /// Hidden states and projections of all layers, too.
    All,
}

/// Everything that one forward pass has computed and its backward pass reads again.
///
/// Buffers grow to the largest batch that they have seen and are used again: with r rows they hold about
/// (layers * (8 * hidden + intermediate) + 8 * hidden + 3 * intermediate) * r floats.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    /// Sizes of the pass that is on it.
    rows: usize,
    width: usize,
    pub(super) dropout: Dropout,
    pub(super) wanted: Wanted,
    /// 0, 1, 2 and so on, up to the number of texts.
    pub(super) firsts: Vec<usize>,
    /// The embeddings ahead of their norm.
    pub(super) embedded: AlignedFloats,
    /// After the embeddings, and after each layer.
    pub(super) hidden: Vec<AlignedFloats>,
    pub(super) layers: Vec<LayerTape>,
    pub(super) head: HeadTape,
    pub(super) scratch: Scratch,
}

/// What a head leaves behind.
#[derive(Debug, Default)]
pub(super) struct HeadTape {
    /// A row a text, or a row a token: what the encoder hands over.
    pub(super) input: AlignedFloats,
    /// What comes out of the layer between, ahead of its activation.
    pub(super) inner: AlignedFloats,
    /// What goes into the last layer.
    pub(super) last: AlignedFloats,
    /// Logits or embeddings,
    pub(super) out: AlignedFloats,
    /// and how many numbers they are.
    pub(super) len: usize,
}

/// Memory that nothing outlives.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The gradient of the rows between layers: (rows, hidden), as the next two.
    pub(super) d: AlignedFloats,
    pub(super) d_branch: AlignedFloats,
    pub(super) d_context: AlignedFloats,
    /// Gradients of queries, keys and values.
    pub(super) d_projections: [AlignedFloats; 3],
    /// Inside the feed-forward network: (rows, intermediate), as the next.
    pub(super) inner: AlignedFloats,
    pub(super) d_inner: AlignedFloats,
    /// A gradient the other way round.
    pub(super) transposed: AlignedFloats,
    pub(super) sums: AlignedFloats,
}

impl Tape {
    /// Makes room for a pass.
    pub(super) fn start(
        &mut self,
        config: &EncoderConfig,
        batch: &Batch,
        dropout: Dropout,
        wanted: Wanted,
    ) {
        self.rows = batch.rows();
        self.width = config.hidden;
        self.dropout = dropout;
        self.wanted = wanted;
        self.firsts.clear();
        self.firsts.extend(0..batch.starts.len());
        self.hidden.resize_with(config.layers + 1, Default::default);
        self.layers.resize_with(config.layers, Default::default);
    }

    /// The head's output: logits or embeddings, a row a text or a token.
    pub(crate) fn output(&self) -> &[f32] {
        &self.head.out[..self.head.len]
    }

    /// The rows after the embeddings, as number 0, or after a layer: (rows, hidden).
    ///
    /// # Panics
    /// If the head alone was wanted.
    pub(crate) fn hidden(&self, index: usize) -> &[f32] {
        assert_eq!(self.wanted, Wanted::All);
        &self.hidden[index][..self.rows * self.width]
    }

    /// Queries, keys and values of a layer, each (rows, hidden): what relations of MiniLMv2 (Wang et al. 2021) and the
    /// scores of TinyBERT (Jiao et al. 2020) are made of.
    ///
    /// # Panics
    /// If the head alone was wanted.
    pub(crate) fn projections(&self, layer: usize) -> [&[f32]; 3] {
        assert_eq!(self.wanted, Wanted::All);
        let len = self.rows * self.width;
        let LayerTape {
            query, key, value, ..
        } = &self.layers[layer];
        [&query[..len], &key[..len], &value[..len]]
    }
}

/// The gradient of a loss with respect to what a pass puts out; what is empty plays no part in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputGradients {
    /// Of the head's output.
    pub(crate) head: Vec<f32>,
    /// Of hidden states, by their numbers on the tape.
    pub(crate) hidden: Vec<Vec<f32>>,
    /// Of queries, keys and values, by layer.
    pub(crate) projections: Vec<[Vec<f32>; 3]>,
}

impl OutputGradients {
    /// Adds that of a hidden state.
    pub(super) fn add_hidden(&self, index: usize, d: &mut [f32]) {
        let Some(own) = self.hidden.get(index).filter(|own| !own.is_empty()) else {
            return;
        };
        assert_eq!(own.len(), d.len(), "the gradient of hidden state {index}");
        d.iter_mut().zip(own).for_each(|(sum, x)| *sum += x);
    }
}
