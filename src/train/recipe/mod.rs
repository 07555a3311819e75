//! The recipe of a training: one small TOML file, and what stands over it.

mod check;
mod pair;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::config::Task;
use crate::error::{Error, Result};
use crate::kernels::gemm::{Dtype, Rounding};
use crate::train::data::Source;
use crate::train::task::TaskKind;

/// Everything that a training is told. Each part has its defaults, which are those of the usual fine-tuning of BERT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// The folder of the model to begin with; by default the teacher's.
    pub(crate) model: PathBuf,
    /// The folder for the model that comes of it.
    pub(crate) output: PathBuf,
    pub(crate) task: TaskKind,
    pub(crate) data: Data,
    #[serde(default)]
    pub(crate) training: Training,
    /// A teacher, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) distillation: Option<Distillation>,
    /// What the model is made into ahead of the training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) student: Option<Student>,
}

/// Tables and their columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Data {
    /// Tables to learn from.
    #[serde(default)]
    pub(crate) train: Vec<Source>,
    /// Tables of texts alone, of which a teacher says what is right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unlabelled: Vec<Source>,
    /// Tables to measure with.
    #[serde(default)]
    pub(crate) dev: Vec<Source>,
    /// The column of the text; by default `sentence`, `text`, `sentence1`, `question` or `tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// The column of the second text; by default `sentence2` beside `sentence1`, `text_pair` beside `text`, and `context`
    /// beside `question`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pair: Option<String>,
    /// The column of what is right; by default as the task has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    /// The labels in the order of their numbers; by default all that occur.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<Vec<String>>,
    /// What scores are divided by.
    #[serde(default = "one")]
    pub(crate) scale: f32,
    /// Whether as many examples of each label are seen as the rarest has.
    #[serde(default)]
    pub(crate) balance: bool,
}

/// How steps are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Training {
    pub(crate) epochs: u64,
    /// Examples of a step,
    pub(crate) batch: usize,
    /// which is computed in so many parts.
    pub(crate) accumulate: usize,
    /// The highest learning rate.
    pub(crate) rate: f64,
    /// Weight decay.
    pub(crate) decay: f64,
    /// The share of steps that lead up to the highest rate.
    pub(crate) warmup: f64,
    /// The most that a gradient may be long.
    pub(crate) clip: f64,
    pub(crate) dropout: f32,
    /// What both sides of the layers' products are rounded to.
    #[serde(skip_serializing_if = "is_default", with = "RoundingName")]
    pub(crate) precision: Rounding,
    /// The most tokens of a text, special ones included; absent: see [`tokens`](Self::tokens).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_length: Option<usize>,
    pub(crate) seed: u64,
    /// Label smoothing.
    pub(crate) smoothing: f64,
    /// How much each label counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weights: Option<Vec<f64>>,
    /// After how many steps the model is measured; by default after each epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) measure_every: Option<u64>,
    /// The figure that decides which model is the best; by default the task's first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metric: Option<String>,
    /// After how many measurements without a better one the training ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) patience: Option<u64>,
    pub(crate) save_every: u64,
    pub(crate) log_every: u64,
}

/// The most tokens of a text where the recipe has no `training.max-length`.
const TOKENS: usize = 128;

impl Training {
    /// Returns the most tokens of a text for a model with so many `positions`: those of the recipe, else 128 or all positions,
    /// whichever is less.
    ///
    /// # Errors
    /// `Option` for more tokens in the recipe than positions.
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
            batch: 32,
            accumulate: 1,
            rate: 5e-5,
            decay: 0.01,
            warmup: 0.1,
            clip: 1.0,
            dropout: 0.1,
            precision: Rounding::None,
            max_length: None,
            seed: 1,
            smoothing: 0.0,
            weights: None,
            measure_every: None,
            metric: None,
            patience: None,
            save_every: 500,
            log_every: 20,
        }
    }
}

/// What of a teacher is learned, and how much each counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Distillation {
    /// The teacher's folder, or its packed file if only its outputs are learned; without one the tables have its logits, in
    /// columns named `logit:LABEL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) teacher: Option<PathBuf>,
    /// What its outputs and hidden states are computed in, by default what it is stored for; attention and relations are in
    /// f32.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "name_of_type"
    )]
    pub(crate) dtype: Option<Dtype>,
    #[serde(default = "two")]
    pub(crate) temperature: f64,
    /// The labels of the tables.
    #[serde(default)]
    pub(crate) hard: f64,
    /// The teacher's logits, or its embeddings.
    #[serde(default = "whole")]
    pub(crate) soft: f64,
    /// The label that the teacher holds for the likeliest, as if it were right.
    #[serde(default)]
    pub(crate) pseudo: f64,
    /// Hidden states and embeddings through learned projections (TinyBERT).
    #[serde(default)]
    pub(crate) hidden: f64,
    /// Scores of attention (TinyBERT).
    #[serde(default)]
    pub(crate) attention: f64,
    /// Relations of queries, keys and values of the last layer, each with itself (MiniLMv2),
    #[serde(default)]
    pub(crate) relations: f64,
    /// in so many heads.
    #[serde(default = "twelve")]
    pub(crate) relation_heads: usize,
}

/// The shape of a student. What is not said is as in the model that it comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Student {
    /// How many layers,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) layers: Option<usize>,
    /// and which of the model's they start from.
    #[serde(skip_serializing_if = "Start::is_unsaid")]
    pub(crate) start: Start,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hidden: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) heads: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) intermediate: Option<usize>,
    /// Texts whose words are all that the vocabulary keeps; by default those that are learned from, if one of the next two
    /// is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) vocabulary: Vec<Source>,
    /// The most tokens that are kept, the most frequent ones,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokens: Option<usize>,
    /// and how often a token must be there to be one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) least: Option<u64>,
}

/// Where the layers of a student come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", untagged)]
pub(crate) enum Start {
    /// By a rule.
    Rule(Rule),
    /// These layers of the model, counted from 0.
    Layers(Vec<usize>),
    #[default]
    #[serde(skip)]
    Unsaid,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rule {
    /// The lowest.
    Lower,
    /// Evenly among all, the last one with them.
    Alternate,
    /// None: all is fresh.
    Fresh,
}

impl Distillation {
    /// Whether any of the teacher's outputs is learned.
    pub(crate) fn learns_outputs(&self) -> bool {
        self.soft > 0.0 || self.pseudo > 0.0
    }
}

impl Start {
    fn is_unsaid(&self) -> bool {
        *self == Self::Unsaid
    }
}

/// A rounding, by the type that it leads to.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Rounding")]
enum RoundingName {
    #[serde(rename = "f32")]
    None,
    #[serde(rename = "bf16")]
    Bf16,
}

/// A type of computing, by its name.
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

/// Whether nothing was said, so that a recipe of before is the same run as ever.
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
    /// Reads a recipe, if there is a file, and puts settings over it: keys such as `training.rate`, and values as TOML has
    /// them, or text without its quotes.
    ///
    /// # Errors
    /// `Io`; `Recipe` for what cannot be read; `Config` with the key for a value that cannot be.
    pub fn read(file: Option<&Path>, settings: &[(String, String)]) -> Result<Self> {
        let (name, mut table) = match file {
            None => ("the command line".to_owned(), Table::new()),
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
                    path: path.to_owned(),
                    source,
                })?;
                let table = text.parse::<Table>().map_err(|error| {
                    let line = error
                        .span()
                        .map_or(1, |at| text[..at.start].matches('\n').count() + 1);
                    Error::Recipe {
                        file: name.clone(),
                        reason: format!("line {line}: {}", error.message()),
                    }
                })?;
                (name, table)
            }
        };
        for (key, value) in settings {
            put(&mut table, key, value).map_err(|reason| Error::Config {
                file: "the command line".to_owned(),
                key: key.clone(),
                reason,
            })?;
        }
        for (part, key) in [
            ("data", "train"),
            ("data", "unlabelled"),
            ("data", "dev"),
            ("student", "vocabulary"),
        ] {
            let part = table.get_mut(part).and_then(Value::as_table_mut);
            if let Some(value) = part.and_then(|part| part.get_mut(key)) {
                *value = sources(std::mem::replace(value, Value::Boolean(false)));
            }
        }
        if !table.contains_key("model") {
            let teacher = table.get("distillation").and_then(|it| it.get("teacher"));
            if let Some(teacher) = teacher.cloned() {
                table.insert("model".to_owned(), teacher);
            }
        }
        let recipe: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| Error::Recipe {
                file: name.clone(),
                reason: error
                    .to_string()
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" "),
            })?;
        recipe.check(&name)?;
        Ok(recipe.with_usual_pair())
    }

    /// The folder for the model that comes of it.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// A command that asks the model in a folder what it was trained for.
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

    /// Whether there is a teacher, or are its logits.
    pub fn distils(&self) -> bool {
        self.distillation.is_some()
    }

    /// The same with another seed, in the folder `seed-N` of its output.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        let mut recipe = self.clone();
        recipe.training.seed = seed;
        recipe.output.push(format!("seed-{seed}"));
        recipe
    }

    /// Whether it is the same but for seed and output.
    pub(crate) fn alike(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.training.seed = self.training.seed;
        other.output.clone_from(&self.output);
        *self == other
    }
}

/// Puts a value at a key such as `training.rate`.
fn put(table: &mut Table, key: &str, value: &str) -> Result<(), String> {
    match key.split_once('.') {
        None => {
            let parsed = format!("value = {value}").parse::<Table>();
            let parsed = parsed.ok().and_then(|mut parsed| parsed.remove("value"));
            let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
            table.insert(key.to_owned(), value);
            Ok(())
        }
        Some((first, rest)) => {
            let inner = table
                .entry(first)
                .or_insert_with(|| Value::Table(Table::new()));
            let inner = inner
                .as_table_mut()
                .ok_or_else(|| format!("{first} has no keys"))?;
            put(inner, rest, value)
        }
    }
}

/// One table is a list of one, and a path alone is a table of which nothing else is said.
fn sources(value: Value) -> Value {
    let table = |value| match value {
        Value::String(_) => Value::Table(Table::from_iter([("file".to_owned(), value)])),
        other => other,
    };
    match value {
        Value::Array(values) => Value::Array(values.into_iter().map(table).collect()),
        one => Value::Array(vec![table(one)]),
    }
}

#[cfg(test)]
mod tests;
