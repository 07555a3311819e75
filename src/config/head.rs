//! Head of a model: its task, labels and score functions.

use super::labels::{entailment, labels};
use super::task::{task, task_by_weights};
use super::{EncoderConfig, Keys, Task};
use crate::error::Result;
use crate::names::named;
use crate::weights::ModelFiles;

/// How the logits of a classifier become scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ScoreFunction {
    /// Softmax over all labels, which exclude each other. Scores add up to one.
    Softmax,
    /// Sigmoid of each logit. Labels are independent of each other.
    Sigmoid,
    /// Logit itself: for regression, and for cross-encoders that declare it.
    Identity,
}

named!(
    ScoreFunction,
    "score",
    Softmax => "softmax",
    Sigmoid => "sigmoid",
    Identity => "identity",
);

/// Settings of a model's head.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeadConfig {
    /// First entry of `architectures` in config.json, `""` if there is none.
    pub(crate) architecture: String,
    /// Task of the checkpoint.
    pub(crate) task: Task,
    /// Names of the labels, by id. Empty if the task has no labels. Two labels may have the same name, as in transformers.
    pub(crate) labels: Vec<String>,
    /// Score function of a classifier's answers.
    pub(crate) score: ScoreFunction,
    /// Score function for ranking passages by their single logit.
    pub(crate) rank: ScoreFunction,
    /// Whether several labels may apply to one text, each by its own threshold.
    pub(crate) multi_label: bool,
    /// Id of the label that means entailment, if there is one.
    pub(crate) entailment: Option<usize>,
    /// Whether the decoder of a masked-language model is tied to the word-embedding table.
    pub(crate) tie_word_embeddings: bool,
}

/// Declarations about the head in files other than config.json.
pub(super) struct Declared<'a> {
    /// Whether sentence-transformers' files declare the model to be an embedder.
    pub(super) embedder: bool,
    /// Settings file of a cross-encoder, if sentence-transformers saved one.
    pub(super) cross_encoder: Option<&'a Keys>,
}

impl HeadConfig {
    /// Reads and checks the head's settings. `folder` has config.json and the weights.
    pub(super) fn read(
        keys: &Keys,
        files: &ModelFiles,
        folder: &str,
        encoder: &EncoderConfig,
        declared: Declared<'_>,
    ) -> Result<Self> {
        let architecture = keys.architecture()?.to_owned();
        let task = match architecture.as_str() {
            _ if declared.embedder => Task::Embedding,
            "" => task_by_weights(keys, files, folder, encoder)?,
            named => task(encoder.family, named)?,
        };
        let labels = match task {
            Task::Classification | Task::TokenClassification => labels(keys)?,
            _ => Vec::new(),
        };
        let declared_score = match task {
            Task::Classification => {
                cross_encoder_score(keys, labels.len(), declared.cross_encoder)?
            }
            _ => None,
        };
        let multi_label =
            keys.text(&["problem_type"])? == Some("multi_label_classification") && labels.len() > 1;
        Ok(Self {
            score: score_function(keys, labels.len(), declared_score)?,
            rank: declared_score.unwrap_or(ScoreFunction::Sigmoid),
            entailment: entailment(keys, &labels),
            architecture,
            task,
            labels,
            multi_label,
            tie_word_embeddings: keys.flag("tie_word_embeddings", true)?,
        })
    }
}

/// Returns the score function of a classifier's answers: `declared` by a cross-encoder, else the one that the pipelines of
/// transformers choose by `problem_type`. `Identity` for several labels is ignored: sentence-transformers writes it as the
/// default.
fn score_function(
    keys: &Keys,
    labels: usize,
    declared: Option<ScoreFunction>,
) -> Result<ScoreFunction> {
    let by_type = match keys.text(&["problem_type"])? {
        Some("regression") => ScoreFunction::Identity,
        Some("multi_label_classification") => ScoreFunction::Sigmoid,
        None | Some("single_label_classification") if labels == 1 => ScoreFunction::Sigmoid,
        None | Some("single_label_classification") => ScoreFunction::Softmax,
        Some(other) => {
            return Err(keys.wrong(
                "problem_type",
                format!(
                    "{other:?} is not regression, single_label_classification or multi_label_classification"
                ),
            ));
        }
    };
    let chosen = declared.filter(|&score| labels == 1 || score != ScoreFunction::Identity);
    Ok(chosen.unwrap_or(by_type))
}

/// Returns the score function of a cross-encoder, `None` if no file declares the model to be one.
///
/// Files are searched in the order of sentence-transformers: its own file (`saved`), its section of config.json, the key that
/// config.json had before version 4. If none names a function, it is `Sigmoid` for one label and `Identity` for several.
fn cross_encoder_score(
    keys: &Keys,
    labels: usize,
    saved: Option<&Keys>,
) -> Result<Option<ScoreFunction>> {
    let section = keys.object(SECTION)?;
    if let Some(named) = saved
        .map(|saved| score_under(saved, ACTIVATION))
        .transpose()?
        .flatten()
    {
        return Ok(Some(named));
    }
    let named = match &section {
        Some(section) if section.has(ACTIVATION) => score_under(section, ACTIVATION)?,
        _ => score_under(keys, OLD_ACTIVATION)?,
    };
    let default = match labels {
        1 => ScoreFunction::Sigmoid,
        _ => ScoreFunction::Identity,
    };
    let is_cross_encoder = saved.is_some() || section.is_some() || keys.has(OLD_ACTIVATION);
    Ok(named.or(is_cross_encoder.then_some(default)))
}

/// Parses the value of `key`, the path of a torch class, as a score function. Returns `None` if the key has no value.
fn score_under(keys: &Keys, key: &'static str) -> Result<Option<ScoreFunction>> {
    let Some(path) = keys.text(&[key])? else {
        return Ok(None);
    };
    match path.rsplit('.').next().unwrap_or(path) {
        "Sigmoid" => Ok(Some(ScoreFunction::Sigmoid)),
        "Identity" => Ok(Some(ScoreFunction::Identity)),
        "Softmax" => Ok(Some(ScoreFunction::Softmax)),
        _ => Err(keys.wrong(
            key,
            format!("{path:?} is not supported: Sigmoid, Identity and Softmax of torch.nn are"),
        )),
    }
}

const SECTION: &str = "sentence_transformers";
const ACTIVATION: &str = "activation_fn";
const OLD_ACTIVATION: &str = "sbert_ce_default_activation_function";
