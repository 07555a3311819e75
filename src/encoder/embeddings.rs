//! Input of the first layer: the sum of word, position and token-type embeddings.

use crate::batch::Batch;
use crate::config::{EncoderConfig, Family};
use crate::error::Result;
use crate::kernels::ExecContext;
use crate::layers::{Embedding, Linear, Norm, Scratch};
use crate::weights::{Residency, Weights};

/// Id of MPNet's padding token, and position of all padding tokens. The positions of other tokens follow it. The
/// reference implementation fixes it, regardless of config.json.
const MPNET_PAD: u32 = 1;

/// Embedding tables, with the norm and the projection that belong to them.
#[derive(Debug)]
pub(super) struct Embeddings {
    pub(super) word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Option<Embedding>,
    norm: Norm,
    projection: EmbeddingProjection,
    /// Width of the sum of embeddings, and of the norm.
    width: usize,
    /// Whether positions are counted without padding tokens (MPNet).
    positions_skip_padding: bool,
}

/// Dense layer between the embedding width and the hidden size.
#[derive(Debug)]
enum EmbeddingProjection {
    /// No projection: `norm(word + type + position)`.
    None,
    /// Projects the norm's result (ELECTRA).
    After(Linear),
    /// Projects word embeddings before the sum, each alone or concatenated with its neighbours (MobileBERT).
    Before { linear: Linear, trigram: bool },
}

impl Embeddings {
    /// Loads the tables. `weights` is in the scope of the embeddings' module, `top` at the top of the checkpoint.
    /// `residency` is that of the word embeddings.
    pub(super) fn load(
        weights: &Weights<'_>,
        top: &Weights<'_>,
        config: &EncoderConfig,
        residency: Residency,
    ) -> Result<Self> {
        let (embedding_size, hidden_size) = (config.embedding_size, config.hidden_size);
        let mut eps = Some(config.eps);
        let mut projection = EmbeddingProjection::None;
        let mut width = embedding_size;
        if let Some(mobile) = &config.mobile {
            eps = (!mobile.no_norm).then_some(Norm::TORCH_EPS);
            width = hidden_size;
            if mobile.trigram_input || embedding_size != hidden_size {
                let inputs = embedding_size * if mobile.trigram_input { 3 } else { 1 };
                let name = "embedding_transformation";
                projection = EmbeddingProjection::Before {
                    linear: Linear::load(weights, name, hidden_size, inputs)?,
                    trigram: mobile.trigram_input,
                };
            }
        } else if embedding_size != hidden_size {
            let linear = Linear::load(top, "embeddings_project", hidden_size, embedding_size)?;
            projection = EmbeddingProjection::After(linear);
        }
        let table = |tensor, name, rows| {
            Embedding::load(weights, tensor, name, [rows, width], Residency::InMemory)
        };
        let token_type_embeddings = match config.token_types {
            0 => None,
            rows => {
                let name = "the table of token types";
                Some(table("token_type_embeddings.weight", name, rows)?)
            }
        };
        Ok(Self {
            word_embeddings: Embedding::load(
                weights,
                "word_embeddings.weight",
                "the table of words",
                [config.vocab_size, embedding_size],
                residency,
            )?,
            position_embeddings: table(
                "position_embeddings.weight",
                "the table of positions",
                config.positions,
            )?,
            token_type_embeddings,
            norm: Norm::load(weights, "LayerNorm", width, eps)?,
            projection,
            width,
            positions_skip_padding: config.family == Family::MpNet,
        })
    }

    /// Computes the first layer's input rows of a batch, in `scratch.rows`.
    ///
    /// # Errors
    /// `EmbeddingOutOfRange`; `NonFinite` and `Io` if word embeddings are read on demand.
    pub(super) fn forward(
        &self,
        exec: &ExecContext,
        batch: &Batch,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let len = batch.rows() * self.width;
        match &self.projection {
            EmbeddingProjection::None => {
                let rows = scratch.rows.at_least(len);
                self.copy_word_embeddings(batch, rows)?;
                self.add_type_and_position(batch, rows)?;
                self.norm.forward(exec, rows);
            }
            EmbeddingProjection::After(linear) => {
                let rows = scratch.embedded.at_least(len);
                self.copy_word_embeddings(batch, rows)?;
                self.add_type_and_position(batch, rows)?;
                self.norm.forward(exec, rows);
                let out = scratch.rows.at_least(batch.rows() * linear.outputs());
                linear.forward(exec, rows, out);
            }
            EmbeddingProjection::Before { linear, trigram } => {
                let inputs = scratch.embedded.at_least(batch.rows() * linear.inputs());
                if *trigram {
                    self.copy_trigrams(batch, inputs)?;
                } else {
                    self.copy_word_embeddings(batch, inputs)?;
                }
                let rows = scratch.rows.at_least(len);
                linear.forward(exec, inputs, rows);
                self.add_type_and_position(batch, rows)?;
                self.norm.forward(exec, rows);
            }
        }
        Ok(())
    }

    /// Copies the word embedding of each token.
    fn copy_word_embeddings(&self, batch: &Batch, rows: &mut [f32]) -> Result<()> {
        let width = rows.len() / batch.rows().max(1);
        for (row, &id) in rows.chunks_exact_mut(width.max(1)).zip(&batch.ids) {
            self.word_embeddings.copy(id as usize, row)?;
        }
        Ok(())
    }

    /// Concatenates each token's word embedding with those of the next and the previous token of its text, in the order
    /// next, token, previous. Missing neighbours are zero (Sun et al. 2020, section 3.4).
    fn copy_trigrams(&self, batch: &Batch, rows: &mut [f32]) -> Result<()> {
        let width = rows.len() / batch.rows().max(1);
        let embedding_size = width / 3;
        for text in batch.starts.windows(2) {
            let ids = &batch.ids[text[0]..text[1]];
            let rows = &mut rows[text[0] * width..text[1] * width];
            for (index, row) in rows.chunks_exact_mut(width).enumerate() {
                let neighbours = [Some(index + 1), Some(index), index.checked_sub(1)];
                for (slot, neighbour) in row.chunks_exact_mut(embedding_size).zip(neighbours) {
                    match neighbour.and_then(|index| ids.get(index)) {
                        Some(&id) => self.word_embeddings.copy(id as usize, slot)?,
                        None => slot.fill(0.0),
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds the embeddings of each token's type and position.
    fn add_type_and_position(&self, batch: &Batch, rows: &mut [f32]) -> Result<()> {
        let mut rows = rows.chunks_exact_mut(self.width);
        for text in batch.starts.windows(2) {
            let mut counted = 0;
            for index in text[0]..text[1] {
                let Some(row) = rows.next() else { break };
                if let Some(types) = &self.token_type_embeddings {
                    types.add(batch.type_ids[index] as usize, row)?;
                }
                let position = if !self.positions_skip_padding {
                    index - text[0]
                } else if batch.ids[index] == MPNET_PAD {
                    MPNET_PAD as usize
                } else {
                    counted += 1;
                    counted + MPNET_PAD as usize
                };
                self.position_embeddings.add(position, row)?;
            }
        }
        Ok(())
    }
}
