//! Token ids become rows: embeddings, then layers.

mod embeddings;
mod mobile;
mod relative;
mod standard;

use crate::batch::{Batch, OutputRows};
use crate::config::{EncoderConfig, Family};
use crate::error::Result;
use crate::kernels::ExecContext;
use crate::layers::{Embedding, Scratch, Texts};
use crate::weights::{Residency, Weights};
use embeddings::Embeddings;
use mobile::MobileLayer;
use relative::RelativePositions;
use standard::StandardLayer;

/// An encoder of one of the families (Devlin et al. 2019, section 3).
#[derive(Debug)]
pub(crate) struct Encoder {
    embeddings: Embeddings,
    relative: Option<RelativePositions>,
    layers: Layers,
    hidden_size: usize,
}

#[derive(Debug)]
enum Layers {
    Standard(Vec<StandardLayer>),
    Mobile(Vec<MobileLayer>),
}

impl Encoder {
    /// Loads weights from the top of a checkpoint; `residency` is that of the word embeddings.
    pub(crate) fn load(
        weights: &Weights<'_>,
        config: &EncoderConfig,
        residency: Residency,
    ) -> Result<Self> {
        let embeddings =
            Embeddings::load(&weights.scope("embeddings"), weights, config, residency)?;
        let relative = match config.family {
            Family::MpNet => Some(RelativePositions::load(weights, config)?),
            _ => None,
        };
        let layer = |index: usize| weights.scope(&format!("encoder.layer.{index}"));
        let layers = match &config.mobile {
            None => (0..config.num_hidden_layers)
                .map(|index| StandardLayer::load(&layer(index), config))
                .collect::<Result<_>>()
                .map(Layers::Standard)?,
            Some(mobile) => (0..config.num_hidden_layers)
                .map(|index| MobileLayer::load(&layer(index), config, mobile))
                .collect::<Result<_>>()
                .map(Layers::Mobile)?,
        };
        Ok(Self {
            embeddings,
            relative,
            layers,
            hidden_size: config.hidden_size,
        })
    }

    /// Width of its rows.
    pub(crate) fn hidden_size(&self) -> usize {
        self.hidden_size
    }

    /// The word-embedding table, which a tied decoder uses again.
    pub(crate) fn word_embeddings(&self) -> &Embedding {
        &self.embeddings.word_embeddings
    }

    /// Frees the memory of a checkpoint but for the word embeddings that are read on demand, if nothing else holds it. To be
    /// called when everything is loaded.
    pub(crate) fn release_checkpoint(&mut self) {
        self.embeddings.word_embeddings.release_other_bytes();
    }

    /// Runs the encoder and returns the requested rows, (tokens, hidden_size) or (texts, hidden_size), in `scratch.rows`. Calls
    /// `observe(layer, rows)` after the embeddings (layer 0) and after each layer.
    ///
    /// The last layer computes no other rows, where the family allows it: a quarter less work for three layers.
    ///
    /// # Errors
    /// `EmbeddingOutOfRange` for an id, a type or a length that the tables have no row for; `NonFinite` and `Io` if word
    /// embeddings are read on demand.
    pub(crate) fn forward<'a>(
        &self,
        exec: &ExecContext,
        batch: &Batch,
        outputs: OutputRows,
        scratch: &'a mut Scratch,
        mut observe: impl FnMut(usize, &[f32]),
    ) -> Result<&'a [f32]> {
        self.embeddings.forward(exec, batch, scratch)?;
        let outputs = batch.starts_of(outputs);
        // Where each text starts among the rows there are, and the end.
        let mut starts: &[usize] = &batch.starts;
        let len = |starts: &[usize]| starts[starts.len() - 1] * self.hidden_size;
        observe(0, &scratch.rows[..len(starts)]);
        match &self.layers {
            Layers::Standard(layers) => {
                let bias = self.relative.as_ref().map(RelativePositions::bias);
                for (index, layer) in layers.iter().enumerate() {
                    let out_starts = if index + 1 == layers.len() {
                        &outputs
                    } else {
                        starts
                    };
                    let texts = Texts { starts, out_starts };
                    layer.forward(exec, texts, bias, scratch, len(starts));
                    starts = out_starts;
                    observe(index + 1, &scratch.rows[..len(starts)]);
                }
            }
            Layers::Mobile(layers) => {
                for (index, layer) in layers.iter().enumerate() {
                    layer.forward(exec, starts, scratch, len(starts));
                    observe(index + 1, &scratch.rows[..len(starts)]);
                }
            }
        }
        let texts = Texts {
            starts,
            out_starts: &outputs,
        };
        Ok(texts.compact_outputs(&mut scratch.rows, self.hidden_size))
    }
}
