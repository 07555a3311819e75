//! Token ids become rows: embeddings, then layers.

mod embeddings;
mod mobile;
mod relative;
mod standard;

use crate::batch::{Asked, Batch};
use crate::config::{EncoderConfig, Family};
use crate::error::Result;
use crate::kernels::Compute;
use crate::layers::{Scratch, Table, Texts};
use crate::weights::{Residence, Weights};
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
    hidden: usize,
}

#[derive(Debug)]
enum Layers {
    Standard(Vec<StandardLayer>),
    Mobile(Vec<MobileLayer>),
}

impl Encoder {
    /// Takes its weights from the top of a checkpoint; `words` says where the table of words is to be.
    pub(crate) fn load(
        weights: &Weights<'_>,
        config: &EncoderConfig,
        words: Residence,
    ) -> Result<Self> {
        let embeddings = Embeddings::load(&weights.at("embeddings"), weights, config, words)?;
        let relative = match config.family {
            Family::MpNet => Some(RelativePositions::load(weights, config)?),
            _ => None,
        };
        let layer = |index: usize| weights.at(&format!("encoder.layer.{index}"));
        let layers = match &config.mobile {
            None => (0..config.layers)
                .map(|index| StandardLayer::load(&layer(index), config))
                .collect::<Result<_>>()
                .map(Layers::Standard)?,
            Some(mobile) => (0..config.layers)
                .map(|index| MobileLayer::load(&layer(index), config, mobile))
                .collect::<Result<_>>()
                .map(Layers::Mobile)?,
        };
        Ok(Self {
            embeddings,
            relative,
            layers,
            hidden: config.hidden,
        })
    }

    /// Width of its rows.
    pub(crate) fn hidden(&self) -> usize {
        self.hidden
    }

    /// The word-embedding table, which a tied decoder uses again.
    pub(crate) fn words(&self) -> &Table {
        self.embeddings.words()
    }

    /// To be called when everything is loaded: gives back the memory of a checkpoint, but for the words that are read in
    /// place, if nobody else holds it.
    pub(crate) fn release_checkpoint(&mut self) {
        self.embeddings.words_mut().keep_alone();
    }

    /// The rows of a batch that are asked for, (tokens, hidden) or (texts, hidden), in `scratch.rows`.
    ///
    /// Of the last layer no others are computed, where the family allows it: of three layers a quarter of the work less.
    /// `observe` sees the rows after the embeddings, as number 0, and after each layer.
    ///
    /// # Errors
    /// `EmbeddingOutOfRange` for an id, a type or a length that the tables have no row for; of a table of words that is
    /// read in place, `NonFinite` and `Io`.
    pub(crate) fn forward<'a>(
        &self,
        compute: &Compute,
        (batch, asked): (&Batch, Asked),
        scratch: &'a mut Scratch,
        mut observe: impl FnMut(usize, &[f32]),
    ) -> Result<&'a [f32]> {
        self.embeddings.forward(compute, batch, scratch)?;
        let asked = batch.starts_of(asked);
        // Where each text starts among the rows there are, and the end.
        let mut starts: &[usize] = &batch.starts;
        let len = |starts: &[usize]| starts[starts.len() - 1] * self.hidden;
        observe(0, &scratch.rows[..len(starts)]);
        match &self.layers {
            Layers::Standard(layers) => {
                let bias = self.relative.as_ref().map(RelativePositions::bias);
                for (index, layer) in layers.iter().enumerate() {
                    let out_starts = if index + 1 == layers.len() {
                        &asked
                    } else {
                        starts
                    };
                    let texts = Texts { starts, out_starts };
                    layer.forward(compute, texts, bias, scratch, len(starts));
                    starts = out_starts;
                    observe(index + 1, &scratch.rows[..len(starts)]);
                }
            }
            Layers::Mobile(layers) => {
                for (index, layer) in layers.iter().enumerate() {
                    layer.forward(compute, starts, scratch, len(starts));
                    observe(index + 1, &scratch.rows[..len(starts)]);
                }
            }
        }
        let texts = Texts {
            starts,
            out_starts: &asked,
        };
        Ok(texts.asked(&mut scratch.rows, self.hidden))
    }
}
