//! Heads: the layers that compute logits from the encoder's rows.

use std::borrow::Cow;

use crate::config::{EncoderConfig, Family, HeadConfig, Task};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::kernels::gemm::{Epilogue, PackedWeights, gemm};
use crate::kernels::{Activation, ExecContext};
use crate::layers::{Linear, Norm};
use crate::weights::Weights;

/// Head of a model, by task.
#[derive(Debug)]
pub(crate) enum Head {
    /// No head: the rows are the output.
    None,
    /// Computes one row of logits per text.
    Sequence(SequenceHead),
    /// Computes one row of logits per token; for question answering the two columns are start and end.
    Tokens(Linear),
    /// Computes one row of logits over the vocabulary per token.
    MaskedLm(MaskedLmHead),
}

impl Head {
    /// Whether the decoder is the word-embedding table (`tie_word_embeddings`).
    pub(crate) fn shares_word_embeddings(head: &HeadConfig) -> bool {
        head.task == Task::FillMask && head.tie_word_embeddings
    }

    /// Loads the head's weights, whose names have no encoder prefix.
    pub(crate) fn load(
        weights: &Weights<'_>,
        encoder: &EncoderConfig,
        head: &HeadConfig,
    ) -> Result<Self> {
        let (hidden, labels) = (encoder.hidden_size, head.labels.len());
        let tied = head.tie_word_embeddings;
        Ok(match head.task {
            Task::Embedding => Self::None,
            Task::Classification => Self::Sequence(SequenceHead::load(weights, encoder, labels)?),
            Task::TokenClassification => {
                let classifier = Linear::load(weights, "classifier", labels, hidden);
                Self::Tokens(classifier.map_err(|error| label_count_error(error, labels))?)
            }
            Task::QuestionAnswering => {
                Self::Tokens(Linear::load(weights, "qa_outputs", 2, hidden)?)
            }
            Task::FillMask => Self::MaskedLm(MaskedLmHead::load(weights, encoder, tied)?),
        })
    }
}

/// Converts a shape error of a classifier's weights into one that names the number of labels in config.json.
fn label_count_error(error: Error, labels: usize) -> Error {
    match &error {
        Error::WeightShape {
            name,
            expected,
            found,
        } if expected.get(1..) == found.get(1..) => Error::Config {
            file: "config.json".to_owned(),
            key: "id2label".to_owned(),
            reason: format!(
                "it has {labels} labels (without it there are num_labels, or 2), and {name} has {}",
                found[0]
            ),
        },
        _ => error,
    }
}

/// Head of a sequence classifier: computes label logits from the first row of each text.
#[derive(Debug)]
pub(crate) struct SequenceHead {
    pooler: Option<(Linear, Activation)>,
    classifier: Linear,
}

impl SequenceHead {
    fn load(weights: &Weights<'_>, config: &EncoderConfig, labels: usize) -> Result<Self> {
        let (pooler, activation, classifier) = match config.family {
            Family::Bert | Family::MobileBert => ("pooler.dense", Activation::Tanh, "classifier"),
            Family::DistilBert => ("pre_classifier", Activation::Relu, "classifier"),
            Family::Electra => ("classifier.dense", Activation::Gelu, "classifier.out_proj"),
            Family::MpNet => ("classifier.dense", Activation::Tanh, "classifier.out_proj"),
        };
        let hidden = config.hidden_size;
        let pooled = config.mobile.as_ref().is_none_or(|mobile| mobile.pooler);
        Ok(Self {
            pooler: if pooled {
                Some((Linear::load(weights, pooler, hidden, hidden)?, activation))
            } else {
                None
            },
            classifier: Linear::load(weights, classifier, labels, hidden)
                .map_err(|error| label_count_error(error, labels))?,
        })
    }

    /// Computes logits, (texts, labels), from the first row of each text, (texts, hidden).
    pub(crate) fn forward(&self, exec: &ExecContext, first: &[f32]) -> Vec<f32> {
        let texts = first.len() / self.classifier.inputs();
        let mut pooled = Cow::Borrowed(first);
        if let Some((pooler, activation)) = &self.pooler {
            let mut out = vec![0.0; first.len()];
            pooler.forward_act(exec, first, *activation, &mut out);
            pooled = Cow::Owned(out);
        }
        let mut logits = vec![0.0; texts * self.classifier.outputs()];
        self.classifier.forward(exec, &pooled, &mut logits);
        logits
    }
}

/// Head of a masked-language model: computes logits over the vocabulary from rows.
#[derive(Debug)]
pub(crate) struct MaskedLmHead {
    transform: Linear,
    activation: Activation,
    norm: Norm,
    /// Untied decoder; `None` if the decoder is the word-embedding table.
    decoder: Option<Linear>,
    /// MobileBERT's decoder for the columns of a row beyond `embedding_size`.
    extra_decoder: Option<Linear>,
    bias: Vec<f32>,
    /// Width of the word-embedding table (`embedding_size`).
    embedding_size: usize,
}

impl MaskedLmHead {
    fn load(weights: &Weights<'_>, config: &EncoderConfig, tied: bool) -> Result<Self> {
        let names = MaskedLmNames::of(config.family);
        let (hidden, embedding_size, vocab) =
            (config.hidden_size, config.embedding_size, config.vocab_size);
        // ELECTRA's generator projects rows to the embedding width here; MobileBERT keeps the hidden width.
        let width = match config.family {
            Family::Electra => embedding_size,
            _ => hidden,
        };
        let activation = match config.family {
            Family::Electra | Family::MpNet => Activation::Gelu,
            _ => config.hidden_act,
        };
        let decoder = weights.scope(names.decoder);
        if tied {
            names.check_tie(weights, vocab, embedding_size)?;
        }
        // If the checkpoint holds both biases, an untied decoder uses its own.
        let bias = if decoder.has("bias") && !(tied && weights.has(names.bias)) {
            decoder.tensor("bias", &[vocab])?
        } else {
            weights.tensor(names.bias, &[vocab])?
        };
        let extra_decoder = match hidden - embedding_size {
            0 => None,
            _ if config.family != Family::MobileBert => None,
            wide => {
                let name = "cls.predictions.dense.weight";
                Some(Linear::load_transposed(weights, name, vocab, wide)?)
            }
        };
        let untied = || Linear::load_without_bias(weights, names.decoder, vocab, embedding_size);
        Ok(Self {
            transform: Linear::load(weights, names.transform, width, hidden)?,
            activation,
            norm: Norm::load(weights, names.norm, width, Some(config.eps))?,
            decoder: if tied { None } else { Some(untied()?) },
            extra_decoder,
            bias,
            embedding_size,
        })
    }

    /// Computes logits, (rows, vocabulary), from rows (rows, hidden). `encoder` holds the word-embedding table that a
    /// tied decoder uses.
    ///
    /// # Errors
    /// Those of reading the word-embedding table, if it was not read before.
    pub(crate) fn forward(
        &self,
        exec: &ExecContext,
        rows: &[f32],
        encoder: &Encoder,
    ) -> Result<Vec<f32>> {
        let count = rows.len() / self.transform.inputs();
        let (width, vocab) = (self.transform.outputs(), self.bias.len());
        let mut transformed = vec![0.0; count * width];
        self.transform
            .forward_act(exec, rows, self.activation, &mut transformed);
        self.norm.forward(exec, &mut transformed);

        let columns = |range: std::ops::Range<usize>| -> Vec<f32> {
            let rows = transformed.chunks_exact(width);
            rows.flat_map(|row| row[range.clone()].iter().copied())
                .collect()
        };
        let projected = columns(0..self.embedding_size);
        let mut logits = match &self.decoder {
            Some(decoder) => {
                let mut logits = vec![0.0; count * vocab];
                decoder.forward(exec, &projected, &mut logits);
                logits
            }
            // The table has many rows and there are few masked tokens, so their rows are packed and the table is read
            // in place.
            None => {
                let packed = PackedWeights::new(&projected, count, self.embedding_size);
                let mut columns = vec![0.0; vocab * count];
                let table = encoder.word_embeddings().whole()?;
                gemm(exec, &table, &packed, Epilogue::NONE, &mut columns);
                transposed(&columns, count)
            }
        };
        if let Some(extra_decoder) = &self.extra_decoder {
            let mut more = vec![0.0; logits.len()];
            extra_decoder.forward(exec, &columns(self.embedding_size..width), &mut more);
            logits
                .iter_mut()
                .zip(&more)
                .for_each(|(logit, x)| *logit += x);
        }
        for row in logits.chunks_exact_mut(vocab) {
            row.iter_mut()
                .zip(&self.bias)
                .for_each(|(logit, b)| *logit += b);
        }
        Ok(logits)
    }
}

/// Name of the word-embedding table, which is the weight of a tied decoder.
const WORD_EMBEDDINGS: &str = "embeddings.word_embeddings.weight";

/// Names of the masked-language head's weights in one family's checkpoints.
struct MaskedLmNames {
    transform: &'static str,
    norm: &'static str,
    decoder: &'static str,
    bias: &'static str,
}

impl MaskedLmNames {
    fn of(family: Family) -> Self {
        match family {
            Family::Bert | Family::MobileBert => Self {
                transform: "cls.predictions.transform.dense",
                norm: "cls.predictions.transform.LayerNorm",
                decoder: "cls.predictions.decoder",
                bias: "cls.predictions.bias",
            },
            Family::DistilBert => Self {
                transform: "vocab_transform",
                norm: "vocab_layer_norm",
                decoder: "vocab_projector",
                bias: "vocab_projector.bias",
            },
            Family::Electra => Self {
                transform: "generator_predictions.dense",
                norm: "generator_predictions.LayerNorm",
                decoder: "generator_lm_head",
                bias: "generator_lm_head.bias",
            },
            Family::MpNet => Self {
                transform: "lm_head.dense",
                norm: "lm_head.layer_norm",
                decoder: "lm_head.decoder",
                bias: "lm_head.bias",
            },
        }
    }

    /// Refuses a checkpoint whose tied decoder is saved with other values than the table and bias that it is tied to.
    /// (transformers 4 ties such a decoder nevertheless and transformers 5 does not, so neither answer is right.)
    fn check_tie(&self, weights: &Weights<'_>, vocab: usize, width: usize) -> Result<()> {
        for (name, other, shape) in [
            ("weight", WORD_EMBEDDINGS, &[vocab, width][..]),
            ("bias", self.bias, &[vocab]),
        ] {
            let name = format!("{}.{name}", self.decoder);
            if weights.are_untied(&name, other, shape)? {
                return Err(Error::WeightUnexpected {
                    name,
                    reason: format!(
                        "it differs from {other}, to which tie_word_embeddings of config.json ties it"
                    ),
                });
            }
        }
        Ok(())
    }
}

/// Transposes a matrix with rows of `width`.
fn transposed(matrix: &[f32], width: usize) -> Vec<f32> {
    let column = |index: usize| matrix.iter().skip(index).step_by(width);
    (0..width)
        .flat_map(|index| column(index).copied())
        .collect()
}
