//! The trainable network: an encoder of BERT or DistilBERT with a head, forward and backward.
//!
//! A [`Network`] is wiring: it knows the parameters and the order of operations. Values are elsewhere: the caller owns
//! parameters and gradients, and a [`Tape`] holds the intermediate results of a pass. A loss reads outputs from the tape and
//! writes its gradient with respect to each into an [`OutputGradients`], so a loss on hidden states or projections is attached
//! in the same way as one on logits.

mod build;
mod head;
mod layer;
mod parts;
mod scratch;
mod tape;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

pub(crate) use build::{HeadKind, Init};
pub(crate) use tape::{OutputGradients, Retain, Tape};

use self::head::Head;
use self::layer::{Layer, LayerRecord};
use self::parts::{NormIds, PassContext};
use crate::batch::Batch;
use crate::config::EncoderConfig;
use crate::error::Result;
use crate::kernels::ExecContext;
use crate::kernels::gemm::Rounding;
use crate::train::model::ops::dropout::{self, Dropout};
use crate::train::model::ops::embeddings::{self, EmbeddingTables};
use crate::train::model::ops::layer_norm::{self, NormGradient};
use crate::train::model::parameters::{Gradients, ParamId, Parameters};

/// Dropout site of the embeddings; the sites of the layers follow.
const EMBEDDINGS: u64 = 0;

/// The wiring of an encoder and a head.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    config: EncoderConfig,
    tables: EmbeddingTables<ParamId>,
    norm: NormIds,
    layers: Vec<Layer>,
    head: Head,
    /// Rounding of the operands of the layers' products; none by default.
    pub(crate) rounding: Rounding,
}

impl Network {
    /// Returns the network without rounding.
    pub(crate) fn without_rounding(&self) -> Self {
        Self {
            rounding: Rounding::None,
            ..self.clone()
        }
    }

    /// Configuration of the encoder.
    pub(crate) fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Width of a row of the head's output: the number of labels, or the width of an embedding; 0 without a head.
    pub(crate) fn outputs(&self) -> usize {
        self.head.outputs(self.config.hidden_size)
    }

    /// Runs the forward pass of a batch and records it on the tape.
    ///
    /// # Errors
    /// `EmbeddingOutOfRange` for a token, a type or a position outside the embedding tables.
    pub(crate) fn forward(
        &self,
        exec: &ExecContext,
        parameters: &Parameters,
        batch: &Batch,
        dropout: &Dropout,
        retain: Retain,
        tape: &mut Tape,
    ) -> Result<()> {
        let hidden = self.config.hidden_size;
        let tables = EmbeddingTables {
            words: parameters.values(self.tables.words),
            positions: parameters.values(self.tables.positions),
            types: self.tables.types.map(|id| parameters.values(id)),
        };
        let rows = EmbeddingTables {
            words: tables.words.len() / hidden,
            positions: tables.positions.len() / hidden,
            types: tables.types.map(|types| types.len() / hidden),
        };
        embeddings::check(batch, rows)?;
        tape.start(&self.config, batch, *dropout, retain);
        let pass = PassContext {
            exec,
            parameters,
            starts: &batch.starts,
            firsts: None,
            dropout: *dropout,
            rounding: self.rounding,
        };

        let len = batch.rows() * hidden;
        let (embedded, first) = (tape.embedded.at_least(len), tape.hidden[0].at_least(len));
        embeddings::forward(exec, batch, tables, hidden, embedded);
        layer_norm::forward(exec, embedded, self.norm.of(parameters), first);
        let mask = dropout.mask(EMBEDDINGS, dropout.hidden);
        dropout::apply(exec, mask, hidden, first);
        let firsts = std::mem::take(&mut tape.firsts);
        for (index, layer) in self.layers.iter().enumerate() {
            let pass = pass.firsts(self.is_narrow(index, retain), &firsts);
            let (before, after) = tape.hidden.split_at_mut(index + 1);
            let x = &before[index][..len];
            let out = after[0].at_least(pass.out_rows() * hidden);
            layer.forward(&pass, x, &mut tape.layers[index], &mut tape.scratch, out);
        }
        let pass = self.head_pass(pass, retain, &firsts);
        let rows = &tape.hidden[self.layers.len()][..pass.rows() * hidden];
        self.head.forward(&pass, rows, &mut tape.head);
        tape.firsts = firsts;
        Ok(())
    }

    /// Returns whether a layer computes only the first row of each text.
    fn is_narrow(&self, layer: usize, retain: Retain) -> bool {
        retain == Retain::Head && self.head.sees_firsts() && layer + 1 == self.layers.len()
    }

    /// Returns the pass as the head sees it: without rounding and, where the last layer is narrow, with texts of one row.
    fn head_pass<'a>(
        &self,
        pass: PassContext<'a>,
        retain: Retain,
        firsts: &'a [usize],
    ) -> PassContext<'a> {
        let narrow = (0..self.layers.len()).any(|layer| self.is_narrow(layer, retain));
        PassContext {
            starts: if narrow { firsts } else { pass.starts },
            rounding: Rounding::None,
            ..pass
        }
    }

    /// Backward pass: adds the gradients of the parameters, given a loss's gradients of the outputs on the tape.
    ///
    /// `batch` and `parameters` must be those of the forward pass.
    pub(crate) fn backward(
        &self,
        exec: &ExecContext,
        parameters: &Parameters,
        batch: &Batch,
        tape: &mut Tape,
        outputs: &OutputGradients,
        gradients: &mut Gradients,
    ) {
        let hidden = self.config.hidden_size;
        let len = batch.rows() * hidden;
        let dropout = tape.dropout;
        let pass = PassContext {
            exec,
            parameters,
            starts: &batch.starts,
            firsts: None,
            dropout,
            rounding: self.rounding,
        };
        // `d` is the gradient of the hidden states between layers, from the last layer to the first.
        let mut d = std::mem::take(&mut tape.scratch.d);
        let firsts = std::mem::take(&mut tape.firsts);
        let rows = d.at_least(len);
        let head_pass = self.head_pass(pass, tape.retain, &firsts);
        let count = self.layers.len();
        let d_last = &mut rows[..head_pass.rows() * hidden];
        d_last.fill(0.0);
        outputs.add_hidden(count, d_last);
        let (head, scratch) = (&tape.head, &mut tape.scratch);
        self.head
            .backward(&head_pass, head, scratch, &outputs.head, d_last, gradients);
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let pass = pass.firsts(self.is_narrow(index, tape.retain), &firsts);
            let record = LayerRecord {
                x: &tape.hidden[index][..len],
                tape: &tape.layers[index],
            };
            let d_projections = outputs.projections.get(index);
            let scratch = &mut tape.scratch;
            layer.backward(&pass, record, d_projections, scratch, rows, gradients);
            outputs.add_hidden(index, rows);
        }
        tape.firsts = firsts;
        let mask = dropout.mask(EMBEDDINGS, dropout.hidden);
        dropout::apply(exec, mask, hidden, rows);
        let norm = self.norm.of(parameters);
        let [weight, bias] = gradients.many_mut(self.norm.ids());
        let sums = &mut tape.scratch.sums;
        let gradient = NormGradient { weight, bias, sums };
        layer_norm::backward(exec, &tape.embedded[..len], norm, rows, gradient);
        self.embeddings_backward(batch, rows, gradients);
        tape.scratch.d = d;
        gradients.settle();
    }

    fn embeddings_backward(&self, batch: &Batch, d: &[f32], gradients: &mut Gradients) {
        let hidden = self.config.hidden_size;
        let EmbeddingTables {
            words,
            positions,
            types,
        } = self.tables;
        gradients.begin_rows(words, &batch.ids, hidden);
        embeddings::backward(d, hidden, &batch.ids, gradients.of_mut(words));
        let position_ids = embeddings::position_ids(batch);
        embeddings::backward(d, hidden, &position_ids, gradients.of_mut(positions));
        if let Some(types) = types {
            embeddings::backward(d, hidden, &batch.type_ids, gradients.of_mut(types));
        }
    }
}
