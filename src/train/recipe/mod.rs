//! Training recipes: a small TOML file and the settings that override its keys.

mod check;
mod pair;
mod read;
mod renamed;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Task;
use crate::error::{Error, Result};
use crate::kernels::gemm::{Dtype, Rounding};
use crate::train::data::Source;
use crate::train::task::TaskKind;

/// Settings of a training run. Defaults are those of the usual fine-tuning of BERT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// Folder of the initial model; the teacher's by default.
    pub(crate) model: PathBuf,
    /// Folder that the trained model is written to.
    pub(crate) output: PathBuf,
    /// Task to train.
    pub(crate) task: TaskKind,
    /// Tables and columns.
    pub(crate) data: Data,
    /// Settings of the optimizer, the learning rate and the loop.
    #[serde(default)]
    pub(crate) training: Training,
    /// Distillation settings, if the run has a teacher or the logits of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) distillation: Option<Distillation>,
    /// Changes to the initial model's shape and vocabulary, made before training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) student: Option<Student>,
    /// Notes about former names that the recipe uses.
    #[serde(skip)]
    notes: Vec<String>,
}

/// Tables of a run and the columns that are read from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Data {
    /// Training tables.
    #[serde(default)]
    pub(crate) train: Vec<Source>,
    /// Tables of texts without targets; a teacher supplies the targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unlabelled: Vec<Source>,
    /// Evaluation tables.
    #[serde(default)]
    pub(crate) dev: Vec<Source>,
    /// Name of the text column; `sentence`, `text`, `sentence1`, `question` or `tokens` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// Name of the second text's column; by default `sentence2` beside `sentence1`, `text_pair` beside `text`, and `context`
    /// beside `question`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pair: Option<String>,
    /// Name of the target column; the task's usual names by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    /// Label names in the order of their ids; all labels that occur in the tables by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<Vec<String>>,
    /// Divisor of the scores in the tables.
    #[serde(default = "one")]
    pub(crate) scale: f32,
    /// Whether each epoch undersamples the examples to as many of each label as the rarest label has.
    #[serde(default)]
    pub(crate) balance: bool,
}

/// Settings of the optimizer, the learning rate and the loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Training {
    /// Number of passes over the training examples.
    pub(crate) epochs: u64,
    /// Number of examples in a batch, which is one optimizer step.
    pub(crate) batch_size: usize,
    /// Number of micro-batches that a batch is split into. They run one after the other and their gradients add up.
    pub(crate) micro_batches: usize,
    /// Peak learning rate.
    pub(crate) learning_rate: f64,
    /// Weight decay of AdamW.
    pub(crate) weight_decay: f64,
    /// Fraction of all steps spent in linear warm-up to the peak learning rate.
    pub(crate) warmup_ratio: f64,
    /// Maximum norm of the gradient; longer gradients are scaled down to it.
    pub(crate) max_grad_norm: f64,
    /// Dropout rate.
    pub(crate) dropout: f32,
    /// Rounding of both operands of the layers' matrix products.
    #[serde(skip_serializing_if = "is_default", with = "RoundingName")]
    pub(crate) precision: Rounding,
    /// Maximum number of tokens of a text, special tokens included. See [`tokens`](Self::tokens) for the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_length: Option<usize>,
    /// Seed of all random numbers of the run.
    pub(crate) seed: u64,
    /// Label smoothing, from 0 to 1.
    pub(crate) label_smoothing: f64,
    /// Weight of each label in the loss, in the order of the label ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) class_weights: Option<Vec<f64>>,
    /// Number of steps between evaluations; one evaluation after each epoch by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) eval_steps: Option<u64>,
    /// Metric that selects the best model; the task's first metric by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metric: Option<String>,
    /// Number of evaluations in a row without improvement after which the training ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) early_stopping_patience: Option<u64>,
    /// Number of steps between saves of the run's state.
    pub(crate) save_steps: u64,
    /// Number of steps between log records.
    pub(crate) logging_steps: u64,
}

/// Maximum number of tokens of a text where the recipe does not set `training.max-length`.
const TOKENS: usize = 128;

impl Training {
    /// Returns the maximum number of tokens of a text for a model with `positions` positions: the recipe's value, or else the
    /// lesser of 128 and `positions`.
    ///
    /// # Errors
    /// `Option` if the recipe asks for more tokens than the model has positions.
    pub(crate) fn tokens(&self, positions: usize) -> Result<usize> {
        match self.max_length {
            Some(wanted) if wanted > positions => Err(Error::Option {
                name: "training.max-length",
                reason: format!(
                    "{wanted} tokens are too many: the model has {positions} positions"
                ),
            }),
            Some(wanted) => Ok(wanted),
            None => Ok(TOKENS.min(positions)),
        }
    }
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 3,
            batch_size: 32,
            micro_batches: 1,
            learning_rate: 5e-5,
            weight_decay: 0.01,
            warmup_ratio: 0.1,
            max_grad_norm: 1.0,
            dropout: 0.1,
            precision: Rounding::None,
            max_length: None,
            seed: 1,
            label_smoothing: 0.0,
            class_weights: None,
            eval_steps: None,
            metric: None,
            early_stopping_patience: None,
            save_steps: 500,
            logging_steps: 20,
        }
    }
}

/// Distillation settings: the teacher, and the weight of each loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Distillation {
    /// Folder of the teacher. A packed file is possible if only the teacher's outputs are learned. Without a teacher the tables
    /// hold its logits, in columns named `logit:LABEL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) teacher: Option<PathBuf>,
    /// Compute type of the teacher's outputs and hidden states; the type that it is stored for by default. Attention and
    /// relations are computed in f32.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "name_of_type"
    )]
    pub(crate) dtype: Option<Dtype>,
    /// Temperature of the softmax in the loss against the teacher's logits.
    #[serde(default = "two")]
    pub(crate) temperature: f64,
    /// Weight of the loss against the tables' own targets.
    #[serde(default)]
    pub(crate) hard: f64,
    /// Weight of the loss against the teacher's logits or embeddings.
    #[serde(default = "whole")]
    pub(crate) soft: f64,
    /// Weight of the loss against the teacher's most likely label, taken as if it were the target.
    #[serde(default)]
    pub(crate) pseudo: f64,
    /// Weight of the loss on hidden states and embeddings, compared through learned projections (TinyBERT).
    #[serde(default)]
    pub(crate) hidden: f64,
    /// Weight of the loss on attention scores (TinyBERT).
    #[serde(default)]
    pub(crate) attention: f64,
    /// Weight of the loss on self-relations of queries, keys and values in the last layer (MiniLMv2).
    #[serde(default)]
    pub(crate) relations: f64,
    /// Number of heads that the relations are split into.
    #[serde(default = "twelve")]
    pub(crate) relation_heads: usize,
}

/// Shape and vocabulary of a student. Whatever is not set is as in the initial model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Student {
    /// Number of layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) layers: Option<usize>,
    /// Layers of the initial model that the student's layers are copied from.
    #[serde(skip_serializing_if = "Start::is_default")]
    pub(crate) start: Start,
    /// Width of the hidden states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hidden: Option<usize>,
    /// Number of attention heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) heads: Option<usize>,
    /// Width of the feed-forward networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) intermediate: Option<usize>,
    /// Texts of the corpus that decides which tokens the vocabulary keeps. By default the training texts, if `tokens` or
    /// `min_count` is set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) vocabulary: Vec<Source>,
    /// Maximum number of tokens to keep; the most frequent ones are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokens: Option<usize>,
    /// Minimum number of occurrences in the corpus for a token to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_count: Option<u64>,
}

/// Initialization of a student's layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", untagged)]
pub(crate) enum Start {
    /// Layers selected by a rule.
    Rule(Rule),
    /// Layers of the initial model with these indices, counted from 0.
    Layers(Vec<usize>),
    /// No choice in the recipe, which means [`Rule::Lower`].
    #[default]
    #[serde(skip)]
    Default,
}

/// A rule that selects layers of the initial model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rule {
    /// The lowest layers.
    Lower,
    /// Evenly spaced layers, the last one included.
    Alternate,
    /// No layers: all weights are newly initialized.
    Fresh,
}

impl Distillation {
    /// Returns whether the teacher's outputs are part of the loss.
    pub(crate) fn learns_outputs(&self) -> bool {
        self.soft > 0.0 || self.pseudo > 0.0
    }
}

impl Start {
    fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

/// Serialized form of [`Rounding`]: the name of the type that values are rounded to.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Rounding")]
enum RoundingName {
    #[serde(rename = "f32")]
    None,
    #[serde(rename = "bf16")]
    Bf16,
}

/// Serialized form of a compute type: its name.
mod name_of_type {
    use super::Dtype;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        dtype: &Option<Dtype>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        dtype.map(|dtype| dtype.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<Dtype>, D::Error> {
        let name = Option::<String>::deserialize(from)?;
        name.map(|name| name.parse().map_err(D::Error::custom))
            .transpose()
    }
}

/// Returns whether a value is the default. Defaults are not written, so that older recipes keep their fingerprint.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn one() -> f32 {
    1.0
}

fn whole() -> f64 {
    1.0
}

fn two() -> f64 {
    2.0
}

fn twelve() -> usize {
    12
}

impl Recipe {
    /// Notes for the recipe's author, one line each: former names of keys and tasks that are accepted but have been replaced.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Folder that the trained model is written to.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Returns an example command line that runs the trained model in `folder` on its task.
    pub fn usage(&self, folder: &Path) -> String {
        let folder = folder.display();
        match self.task.spec().model_task {
            Task::QuestionAnswering => format!(
                "bertless predict --model {folder} --question \"Who lives there?\" --context \"Ada lives in London.\""
            ),
            Task::Embedding => {
                format!("bertless similarity --model {folder} \"One text.\" \"Another text.\"")
            }
            _ if self.data.pair.is_some() => {
                format!("bertless predict --model {folder} --pairs \"One text.\" \"Another text.\"")
            }
            _ => format!("bertless predict --model {folder} \"A text.\""),
        }
    }

    /// Returns whether the recipe distils: it has a teacher, or its tables hold the logits of one.
    pub fn distils(&self) -> bool {
        self.distillation.is_some()
    }

    /// Returns a copy with another seed, whose output is the subfolder `seed-N` of this recipe's.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        let mut recipe = self.clone();
        recipe.training.seed = seed;
        recipe.output.push(format!("seed-{seed}"));
        recipe
    }

    /// Returns the recipe as JSON, without its output and by its keys' former names: a run begun under those is still the same.
    pub(crate) fn fingerprint(&self) -> String {
        let nowhere = Self {
            output: PathBuf::new(),
            ..self.clone()
        };
        renamed::with_former_names(serde_json::to_string(&nowhere).unwrap_or_default())
    }

    /// Returns whether two recipes are equal apart from seed and output.
    pub(crate) fn alike(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.training.seed = self.training.seed;
        other.output.clone_from(&self.output);
        other.notes.clone_from(&self.notes);
        *self == other
    }
}

#[cfg(test)]
mod tests;
