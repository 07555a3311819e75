//! What stands on top of the encoder.

use super::architecture::{architecture, task, task_by_weights};
use super::labels::{entailment, labels};
use super::{EncoderConfig, Keys};
use crate::error::Result;
use crate::weights::Files;

/// What a checkpoint was trained to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Task {
    /// One vector a text.
    Embedding,
    /// Scores of labels for a text or a pair.
    Classification,
    /// A label for each token: named entities, parts of speech.
    TokenClassification,
    /// The span of a context that answers a question.
    QuestionAnswering,
    /// The word behind a mask.
    FillMask,
}

impl Task {
    /// As an error would name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Classification => "sequence classification",
            Self::TokenClassification => "token classification",
            Self::QuestionAnswering => "question answering",
            Self::FillMask => "fill-mask",
        }
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How a classifier's logits become scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreFunction {
    /// Labels exclude each other; scores add up to one.
    Softmax,
    /// Each label is a question of its own.
    Sigmoid,
    /// The logit itself: regression, and cross-encoders that ask for it.
    Identity,
}

/// What stands on top of the encoder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeadConfig {
    /// The architecture that the checkpoint names; `""` if it names none.
    pub(crate) architecture: String,
    pub(crate) task: Task,
    /// Names of the labels, by id. Empty where the task has none. As in the reference, two may be called the same.
    pub(crate) labels: Vec<String>,
    /// How logits become the scores of an answer.
    pub(crate) score: ScoreFunction,
    /// How the one logit of a passage becomes the score that it is ranked by.
    pub(crate) rank: ScoreFunction,
    /// Whether labels may hold together, each with its threshold.
    pub(crate) multi_label: bool,
    /// The id of the label that means entailment, if one is named so.
    pub(crate) entailment: Option<usize>,
    /// Whether the decoder of a masked-language model is the word-embedding table.
    pub(crate) tied: bool,
}

/// What other files than config.json say of what stands on top of the encoder.
pub(super) struct Declared<'a> {
    /// Whether sentence-transformers' files declare the model to be an embedder.
    pub(super) embedder: bool,
    /// The settings of a cross-encoder that sentence-transformers has saved.
    pub(super) cross_encoder: Option<&'a Keys>,
}

impl HeadConfig {
    /// `folder`: where config.json and the weights are.
    pub(super) fn read(
        keys: &Keys,
        files: &Files,
        folder: &str,
        encoder: &EncoderConfig,
        declared: Declared<'_>,
    ) -> Result<Self> {
        let architecture = architecture(keys)?;
        let task = match architecture.as_str() {
            _ if declared.embedder => Task::Embedding,
            "" => task_by_weights(keys, files, folder, encoder)?,
            named => task(encoder.family, named)?,
        };
        let labels = match task {
            Task::Classification | Task::TokenClassification => labels(keys)?,
            _ => Vec::new(),
        };
        let own = match task {
            Task::Classification => own_function(keys, labels.len(), declared.cross_encoder)?,
            _ => None,
        };
        let multi_label =
            keys.text(&["problem_type"])? == Some("multi_label_classification") && labels.len() > 1;
        Ok(Self {
            score: score_function(keys, labels.len(), own)?,
            rank: own.unwrap_or(ScoreFunction::Sigmoid),
            entailment: entailment(keys, &labels),
            architecture,
            task,
            labels,
            multi_label,
            tied: keys.flag("tie_word_embeddings", true)?,
        })
    }
}

/// A cross-encoder's own choice stands over what the pipelines of transformers choose by `problem_type`, but for that of
/// several bare logits: sentence-transformers writes it wherever nobody chose.
fn score_function(keys: &Keys, labels: usize, own: Option<ScoreFunction>) -> Result<ScoreFunction> {
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
    let own = own.filter(|&own| labels == 1 || own != ScoreFunction::Identity);
    Ok(own.unwrap_or(by_type))
}

/// A cross-encoder's score function: the one that its files name, in the order in which sentence-transformers looks (its own
/// file, `saved`; its section of config.json; the key that it had there before version 4), else a sigmoid of one label. `None`
/// if nothing says that it is a cross-encoder.
fn own_function(keys: &Keys, labels: usize, saved: Option<&Keys>) -> Result<Option<ScoreFunction>> {
    let section = keys.object(SECTION)?;
    if let Some(named) = saved
        .map(|saved| by_key(saved, ACTIVATION))
        .transpose()?
        .flatten()
    {
        return Ok(Some(named));
    }
    let named = match &section {
        Some(section) if section.has(ACTIVATION) => by_key(section, ACTIVATION)?,
        _ => by_key(keys, OLD_ACTIVATION)?,
    };
    let usual = match labels {
        1 => ScoreFunction::Sigmoid,
        _ => ScoreFunction::Identity,
    };
    let is_cross_encoder = saved.is_some() || section.is_some() || keys.has(OLD_ACTIVATION);
    Ok(named.or(is_cross_encoder.then_some(usual)))
}

/// The score function whose torch class a key names, if it does.
fn by_key(keys: &Keys, key: &'static str) -> Result<Option<ScoreFunction>> {
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
