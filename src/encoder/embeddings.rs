//! Words, positions and token types become the first rows.

use crate::batch::Batch;
use crate::config::{EncoderConfig, Family};
use crate::error::Result;
use crate::kernels::Compute;
use crate::layers::{Linear, Norm, Scratch, Table};
use crate::weights::{Residence, Weights};

/// MPNet's padding id, which its positions skip; fixed in the reference implementation, whatever config.json says.
const MPNET_PAD: u32 = 1;
/// What a norm of torch adds to the variance if it is not told.
const TORCH_EPS: f32 = 1e-5;

/// The embedding tables and what follows them.
#[derive(Debug)]
pub(super) struct Embeddings {
    words: Table,
    positions: Table,
    types: Option<Table>,
    norm: Norm,
    form: Form,
    width: usize,
    positions_by_id: bool,
}

/// What there is beside sum and norm.
#[derive(Debug)]
enum Form {
    /// Nothing: norm(word + type + position).
    Plain,
    /// A wider norm's result is projected: ELECTRA.
    ProjectedAfter(Linear),
    /// Words are projected ahead of the sum, each beside its neighbours or alone: MobileBERT.
    ProjectedBefore { projection: Linear, trigram: bool },
}

impl Embeddings {
    /// `weights` is inside the embeddings' module, `top` at the checkpoint's top; `words` says where the table of words
    /// is to be.
    pub(super) fn load(
        weights: &Weights<'_>,
        top: &Weights<'_>,
        config: &EncoderConfig,
        words: Residence,
    ) -> Result<Self> {
        let (narrow, hidden) = (config.embedding_size, config.hidden);
        let mut eps = Some(config.eps);
        let mut form = Form::Plain;
        let mut width = narrow; // of the sum and the norm
        if let Some(mobile) = &config.mobile {
            eps = (!mobile.no_norm).then_some(TORCH_EPS);
            width = hidden;
            if mobile.trigram || narrow != hidden {
                let inputs = if mobile.trigram { 3 * narrow } else { narrow };
                let name = "embedding_transformation";
                form = Form::ProjectedBefore {
                    projection: Linear::load(weights, name, hidden, inputs)?,
                    trigram: mobile.trigram,
                };
            }
        } else if narrow != hidden {
            let name = "embeddings_project";
            form = Form::ProjectedAfter(Linear::load(top, name, hidden, narrow)?);
        }
        let types = match config.token_types {
            0 => None,
            rows => Some(Table::load(
                weights,
                "token_type_embeddings.weight",
                "the table of token types",
                (rows, width),
                Residence::Loaded,
            )?),
        };
        Ok(Self {
            words: Table::load(
                weights,
                "word_embeddings.weight",
                "the table of words",
                (config.vocab_size, narrow),
                words,
            )?,
            positions: Table::load(
                weights,
                "position_embeddings.weight",
                "the table of positions",
                (config.positions, width),
                Residence::Loaded,
            )?,
            types,
            norm: Norm::load(weights, "LayerNorm", width, eps)?,
            form,
            width,
            positions_by_id: config.family == Family::MpNet,
        })
    }

    pub(super) fn words(&self) -> &Table {
        &self.words
    }

    pub(super) fn words_mut(&mut self) -> &mut Table {
        &mut self.words
    }

    /// The first rows of a batch, in `scratch.rows`.
    pub(super) fn forward(
        &self,
        compute: &Compute,
        batch: &Batch,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let len = batch.rows() * self.width;
        match &self.form {
            Form::Plain => {
                let rows = scratch.rows.at_least(len);
                self.copy_words(batch, rows)?;
                self.add_places(batch, rows)?;
                self.norm.forward(compute, rows);
            }
            Form::ProjectedAfter(projection) => {
                let rows = scratch.embedded.at_least(len);
                self.copy_words(batch, rows)?;
                self.add_places(batch, rows)?;
                self.norm.forward(compute, rows);
                let out = scratch.rows.at_least(batch.rows() * projection.outputs());
                projection.forward(compute, rows, out);
            }
            Form::ProjectedBefore {
                projection,
                trigram,
            } => {
                let wide = scratch
                    .embedded
                    .at_least(batch.rows() * projection.inputs());
                if *trigram {
                    self.copy_trigrams(batch, wide)?;
                } else {
                    self.copy_words(batch, wide)?;
                }
                let rows = scratch.rows.at_least(len);
                projection.forward(compute, wide, rows);
                self.add_places(batch, rows)?;
                self.norm.forward(compute, rows);
            }
        }
        Ok(())
    }

    fn copy_words(&self, batch: &Batch, rows: &mut [f32]) -> Result<()> {
        let width = rows.len() / batch.rows().max(1);
        for (row, &id) in rows.chunks_exact_mut(width.max(1)).zip(&batch.ids) {
            self.words.copy(id as usize, row)?;
        }
        Ok(())
    }

    /// Each word between the next and the previous one of its text, zeros at the ends (Sun et al. 2020, section 3.4).
    fn copy_trigrams(&self, batch: &Batch, rows: &mut [f32]) -> Result<()> {
        let wide = rows.len() / batch.rows().max(1);
        let narrow = wide / 3;
        for text in batch.starts.windows(2) {
            let ids = &batch.ids[text[0]..text[1]];
            let rows = &mut rows[text[0] * wide..text[1] * wide];
            for (index, row) in rows.chunks_exact_mut(wide).enumerate() {
                let around = [Some(index + 1), Some(index), index.checked_sub(1)];
                for (part, neighbour) in row.chunks_exact_mut(narrow).zip(around) {
                    match neighbour.and_then(|index| ids.get(index)) {
                        Some(&id) => self.words.copy(id as usize, part)?,
                        None => part.fill(0.0),
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds the vectors of each token's type and position.
    fn add_places(&self, batch: &Batch, rows: &mut [f32]) -> Result<()> {
        let mut rows = rows.chunks_exact_mut(self.width);
        for text in batch.starts.windows(2) {
            let mut counted = 0;
            for index in text[0]..text[1] {
                let Some(row) = rows.next() else { break };
                if let Some(types) = &self.types {
                    types.add(batch.type_ids[index] as usize, row)?;
                }
                let position = if !self.positions_by_id {
                    index - text[0]
                } else if batch.ids[index] == MPNET_PAD {
                    MPNET_PAD as usize
                } else {
                    counted += 1;
                    counted + MPNET_PAD as usize
                };
                self.positions.add(position, row)?;
            }
        }
        Ok(())
    }
}
