//! Task of a checkpoint, from the architecture in config.json, else from the tensors of its head.

use super::keys::ARCHITECTURES;
use super::{EncoderConfig, Family, Keys};
use crate::error::{Error, Result};
use crate::weights::{ModelFiles, existing_tensors};

/// Task that a checkpoint was trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Task {
    /// One vector for each text.
    Embedding,
    /// Label scores for a text or a pair of texts.
    Classification,
    /// Label for each token: named entities, parts of speech.
    TokenClassification,
    /// Span of a context that answers a question.
    QuestionAnswering,
    /// Most probable tokens for a mask.
    FillMask,
}

impl Task {
    /// Name of the task in plain words, as errors print it.
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

/// Returns the task of an architecture. The name must match exactly: a class with the same ending may be a decoder or a model
/// with custom code.
pub(super) fn task(family: Family, architecture: &str) -> Result<Task> {
    let head = architecture.strip_prefix(family.class());
    Ok(match head {
        Some("Model") => Task::Embedding,
        Some("ForSequenceClassification") => Task::Classification,
        Some("ForTokenClassification") => Task::TokenClassification,
        Some("ForQuestionAnswering") => Task::QuestionAnswering,
        Some("ForMaskedLM") => Task::FillMask,
        // For BERT and MobileBERT this is a masked-language model with one more head. ELECTRA's detects replaced tokens.
        Some("ForPreTraining") if matches!(family, Family::Bert | Family::MobileBert) => {
            Task::FillMask
        }
        _ => {
            return Err(Error::UnsupportedArchitecture {
                found: architecture.chars().take(200).collect(),
            });
        }
    })
}

/// Returns the task of a checkpoint whose config.json names no architecture: the task of the head among its weights, or
/// embedding if it has no head. In the reference the class that the caller chooses decides instead.
///
/// # Errors
/// `Config` if the weights could be the head of more than one task.
pub(super) fn task_by_weights(
    keys: &Keys,
    files: &ModelFiles,
    folder: &str,
    encoder: &EncoderConfig,
) -> Result<Task> {
    let family = encoder.family;
    let (sequence, words) = head_names(family);
    let existing = existing_tensors(
        files,
        folder,
        family.tensor_names(),
        &[sequence, CLASSIFIER, POOLER, QUESTIONS, words],
    );
    let has = |name: &str| existing.contains(&name);
    let mut tasks = Vec::new();
    if sequence == CLASSIFIER && has(CLASSIFIER) {
        // Only the pooler tells a sequence classifier from a token classifier, and not always: old token classifiers have
        // one too, and a MobileBERT sequence classifier may have none.
        let pooler = encoder.mobile.as_ref().is_none_or(|mobile| mobile.pooler);
        if has(POOLER) || !pooler {
            tasks.push(Task::Classification);
        }
        if !has(POOLER) || has_tag_labels(keys) {
            tasks.push(Task::TokenClassification);
        }
    } else if has(sequence) {
        tasks.push(Task::Classification);
    } else if has(CLASSIFIER) {
        tasks.push(Task::TokenClassification);
    }
    if has(QUESTIONS) {
        tasks.push(Task::QuestionAnswering);
    }
    if has(words) {
        tasks.push(Task::FillMask);
    }
    match tasks[..] {
        [] => Ok(Task::Embedding),
        [task] => Ok(task),
        _ => {
            let tasks: Vec<&str> = tasks.into_iter().map(Task::name).collect();
            let class = family.class();
            Err(keys.wrong(
                ARCHITECTURES,
                format!(
                    "is missing, and the weights may be for {}: name the class, such as [\"{class}For...\"]",
                    tasks.join(" or for ")
                ),
            ))
        }
    }
}

const CLASSIFIER: &str = "classifier.weight";
const POOLER: &str = "pooler.dense.weight";
const QUESTIONS: &str = "qa_outputs.weight";

/// Tensors that identify a family's sequence classifiers and its masked-language models, in this order.
fn head_names(family: Family) -> (&'static str, &'static str) {
    match family {
        Family::Bert | Family::MobileBert => (CLASSIFIER, "cls.predictions.transform.dense.weight"),
        Family::DistilBert => ("pre_classifier.weight", "vocab_transform.weight"),
        Family::Electra => (
            "classifier.out_proj.weight",
            "generator_predictions.dense.weight",
        ),
        Family::MpNet => ("classifier.out_proj.weight", "lm_head.dense.weight"),
    }
}

/// Returns whether a label is named like a tag of token classification: `B-PER`, `I-PER`, `O`.
fn has_tag_labels(keys: &Keys) -> bool {
    let names = keys.value("id2label").and_then(|names| names.as_object());
    let mut names = names.into_iter().flat_map(|names| names.values());
    names.any(|name| {
        name.as_str()
            .is_some_and(|name| name == "O" || name.starts_with("B-") || name.starts_with("I-"))
    })
}
