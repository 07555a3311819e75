//! Encoder: computes a hidden state for each token, with embeddings and then layers.

mod embeddings;
mod mobile;
mod relative;
mod standard;

use crate::batch::{Batch, OutputRows};
use crate::config::{EncoderConfig, Family};
use crate::error::{Error, Result};
use crate::kernels::{ExecContext, Interrupt, Interruption};
use crate::layers::{Embedding, Scratch, Texts};
use crate::weights::{Residency, Weights};
use embeddings::Embeddings;
use mobile::MobileLayer;
use relative::RelativePositions;
use standard::StandardLayer;

/// Encoder of any family (Devlin et al. 2019, section 3).
#[derive(Debug)]
pub(crate) struct Encoder {
    embeddings: Embeddings,
    /// Relative position bias of all layers (MPNet).
    relative: Option<RelativePositions>,
    layers: Layers,
    hidden_size: usize,
}

/// Layers of an encoder.
#[derive(Debug)]
enum Layers {
    /// Layers of BERT, DistilBERT, ELECTRA and MPNet.
    Standard(Vec<StandardLayer>),
    /// Layers of MobileBERT.
    Mobile(Vec<MobileLayer>),
}

impl Encoder {
    /// Loads an encoder; `weights` is at the top of a checkpoint. `residency` is that of the word embeddings.
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

    /// Returns the width of the hidden states.
    pub(crate) fn hidden_size(&self) -> usize {
        self.hidden_size
    }

    /// Returns the word-embedding table, which a tied decoder shares.
    pub(crate) fn word_embeddings(&self) -> &Embedding {
        &self.embeddings.word_embeddings
    }

    /// Frees the memory of a checkpoint, except word embeddings that are read on demand, unless something else holds
    /// it. The caller does so once everything is loaded.
    pub(crate) fn release_checkpoint(&mut self) {
        self.embeddings.word_embeddings.release_other_bytes();
    }

    /// Runs the encoder and returns the requested rows, (tokens, hidden_size) or (texts, hidden_size), in
    /// `scratch.rows`. Calls `observe(layer, rows)` after the embeddings (layer 0) and after each layer.
    ///
    /// The last layer computes only the requested rows, except in MobileBERT. With three layers that saves a quarter of
    /// the work.
    ///
    /// # Errors
    /// `EmbeddingOutOfRange` if a table has no row for a token id, a token type or a position; `NonFinite` and `Io` if
    /// word embeddings are read on demand; `Cancelled` and `DeadlineExceeded` if the pass is interrupted.
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
        // First row of each text among the current rows, and their number.
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
                    check(&exec.interrupt)?;
                    layer.forward(exec, texts, bias, scratch, len(starts));
                    starts = out_starts;
                    observe(index + 1, &scratch.rows[..len(starts)]);
                }
            }
            Layers::Mobile(layers) => {
                for (index, layer) in layers.iter().enumerate() {
                    check(&exec.interrupt)?;
                    layer.forward(exec, starts, scratch, len(starts));
                    observe(index + 1, &scratch.rows[..len(starts)]);
                }
            }
        }
        // A step of the last layer may have been left undone.
        check(&exec.interrupt)?;
        let texts = Texts {
            starts,
            out_starts: &outputs,
        };
        Ok(texts.compact_outputs(&mut scratch.rows, self.hidden_size))
    }
}

/// Error for a pass that was interrupted.
fn check(interrupt: &Interrupt) -> Result<()> {
    match interrupt.raised() {
        None => Ok(()),
        Some(Interruption::Cancelled) => Err(Error::Cancelled),
        Some(Interruption::DeadlineExceeded) => Err(Error::DeadlineExceeded),
    }
}
