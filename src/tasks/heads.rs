//! What stands between an encoder's rows and logits.

use std::borrow::Cow;

use crate::config::{EncoderConfig, Family, HeadConfig, Task};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::kernels::gemm::{Epilogue, PackedWeights, gemm};
use crate::kernels::{Activation, Compute};
use crate::layers::{Linear, Norm};
use crate::weights::Weights;

/// The layers on top of an encoder, by task.
#[derive(Debug)]
pub(crate) enum Head {
    /// None: the rows themselves are asked for.
    Rows,
    /// One row of logits a text.
    Sequence(SequenceHead),
    /// One row of logits a token; for question answering its two columns are start and end.
    Tokens(Linear),
    /// One row of logits a token, over the vocabulary.
    Words(WordHead),
}

impl Head {
    /// Whether its decoder is the table of words.
    pub(crate) fn shares_words(head: &HeadConfig) -> bool {
        head.task == Task::FillMask && head.tied
    }

    /// Takes its weights from the top of a checkpoint.
    pub(crate) fn load(
        weights: &Weights<'_>,
        encoder: &EncoderConfig,
        head: &HeadConfig,
    ) -> Result<Self> {
        let (hidden, labels) = (encoder.hidden, head.labels.len());
        Ok(match head.task {
            Task::Embedding => Self::Rows,
            Task::Classification => Self::Sequence(SequenceHead::load(weights, encoder, labels)?),
            Task::TokenClassification => {
                let classifier = Linear::load(weights, "classifier", labels, hidden);
                Self::Tokens(classifier.map_err(|error| of_labels(error, labels))?)
            }
            Task::QuestionAnswering => {
                Self::Tokens(Linear::load(weights, "qa_outputs", 2, hidden)?)
            }
            Task::FillMask => Self::Words(WordHead::load(weights, encoder, head.tied)?),
        })
    }
}

/// The error for a classifier whose weights are for another number of labels than config.json has.
fn of_labels(error: Error, labels: usize) -> Error {
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

/// From the first row of each text to the logits of its labels.
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
        let hidden = config.hidden;
        let pooled = config.mobile.as_ref().is_none_or(|mobile| mobile.pooler);
        Ok(Self {
            pooler: match pooled {
                true => Some((Linear::load(weights, pooler, hidden, hidden)?, activation)),
                false => None,
            },
            classifier: Linear::load(weights, classifier, labels, hidden)
                .map_err(|error| of_labels(error, labels))?,
        })
    }

    /// Logits, (texts, labels), of each text's first row, (texts, hidden).
    pub(crate) fn forward(&self, compute: &Compute, first: &[f32]) -> Vec<f32> {
        let texts = first.len() / self.classifier.inputs();
        let mut pooled = Cow::Borrowed(first);
        if let Some((pooler, activation)) = &self.pooler {
            let mut out = vec![0.0; first.len()];
            pooler.forward_act(compute, first, *activation, &mut out);
            pooled = Cow::Owned(out);
        }
        let mut logits = vec![0.0; texts * self.classifier.outputs()];
        self.classifier.forward(compute, &pooled, &mut logits);
        logits
    }
}

/// From rows to logits over the vocabulary.
#[derive(Debug)]
pub(crate) struct WordHead {
    transform: Linear,
    activation: Activation,
    norm: Norm,
    /// A decoder of its own; `None` where the word-embedding table is the decoder.
    decoder: Option<Linear>,
    /// MobileBERT's decoder for the part of a row that is wider than an embedding.
    beyond: Option<Linear>,
    bias: Vec<f32>,
    /// Width of an embedding.
    narrow: usize,
}

impl WordHead {
    fn load(weights: &Weights<'_>, config: &EncoderConfig, tied: bool) -> Result<Self> {
        let names = WordNames::of(config.family);
        let (hidden, narrow, vocab) = (config.hidden, config.embedding_size, config.vocab_size);
        // ELECTRA's generator narrows rows to the embeddings here; MobileBERT keeps them wide.
        let width = match config.family {
            Family::Electra => narrow,
            _ => hidden,
        };
        let activation = match config.family {
            Family::Electra | Family::MpNet => Activation::Gelu,
            _ => config.activation,
        };
        let decoder = weights.scope(names.decoder);
        if tied {
            names.check_tie(weights, vocab, narrow)?;
        }
        // A decoder of its own has a bias of its own, where the checkpoint holds both.
        let bias = match decoder.has("bias") && !(tied && weights.has(names.bias)) {
            true => decoder.tensor("bias", &[vocab])?,
            false => weights.tensor(names.bias, &[vocab])?,
        };
        let beyond = match hidden - narrow {
            0 => None,
            _ if config.family != Family::MobileBert => None,
            wide => {
                let name = "cls.predictions.dense.weight";
                Some(Linear::load_transposed(weights, name, vocab, wide)?)
            }
        };
        Ok(Self {
            transform: Linear::load(weights, names.transform, width, hidden)?,
            activation,
            norm: Norm::load(weights, names.norm, width, Some(config.eps))?,
            decoder: match tied {
                true => None,
                false => {
                    let name = names.decoder;
                    Some(Linear::load_without_bias(weights, name, vocab, narrow)?)
                }
            },
            beyond,
            bias,
            narrow,
        })
    }

    /// Logits, (rows, vocabulary), of rows (rows, hidden). `encoder` holds the table that a tied decoder shares.
    ///
    /// # Errors
    /// Those of reading that table, if it was not read before.
    pub(crate) fn forward(
        &self,
        compute: &Compute,
        rows: &[f32],
        encoder: &Encoder,
    ) -> Result<Vec<f32>> {
        let count = rows.len() / self.transform.inputs();
        let (width, vocab) = (self.transform.outputs(), self.bias.len());
        let mut transformed = vec![0.0; count * width];
        self.transform
            .forward_act(compute, rows, self.activation, &mut transformed);
        self.norm.forward(compute, &mut transformed);

        let columns = |range: std::ops::Range<usize>| -> Vec<f32> {
            let rows = transformed.chunks_exact(width);
            rows.flat_map(|row| row[range.clone()].iter().copied())
                .collect()
        };
        let words = columns(0..self.narrow);
        let mut logits = match &self.decoder {
            Some(decoder) => {
                let mut logits = vec![0.0; count * vocab];
                decoder.forward(compute, &words, &mut logits);
                logits
            }
            // The table has many rows and there are few texts: so the texts are packed, and the table is read where it
            // lies.
            None => {
                let packed = PackedWeights::new(&words, count, self.narrow);
                let mut columns = vec![0.0; vocab * count];
                let table = encoder.word_embeddings().whole()?;
                gemm(compute, &table, &packed, Epilogue::NONE, &mut columns);
                transposed(&columns, count)
            }
        };
        if let Some(beyond) = &self.beyond {
            let mut more = vec![0.0; logits.len()];
            beyond.forward(compute, &columns(self.narrow..width), &mut more);
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

/// The table that a tied decoder is.
const WORDS: &str = "embeddings.word_embeddings.weight";

/// What the families call the parts of the masked-language head.
struct WordNames {
    transform: &'static str,
    norm: &'static str,
    decoder: &'static str,
    bias: &'static str,
}

impl WordNames {
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
}

impl WordNames {
    /// A decoder that is saved although it is tied must be what it is tied to. (Where it is not, transformers 4 ties it
    /// nevertheless and transformers 5 does not: there is no right answer.)
    fn check_tie(&self, weights: &Weights<'_>, vocab: usize, width: usize) -> Result<()> {
        for (name, other, shape) in [
            ("weight", WORDS, &[vocab, width][..]),
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

/// A matrix of rows of `width` with its columns as rows.
fn transposed(matrix: &[f32], width: usize) -> Vec<f32> {
    let column = |index: usize| matrix.iter().skip(index).step_by(width);
    (0..width)
        .flat_map(|index| column(index).copied())
        .collect()
}
