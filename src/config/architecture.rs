//! Which task a checkpoint is for: by the architecture that config.json names, else by the head among its weights.

use super::{EncoderConfig, Family, Keys, Task};
use crate::error::{Error, Result};
use crate::weights::{Files, held};

const KEY: &str = "architectures";

/// The first architecture that config.json names; `""` if it names none.
pub(super) fn architecture(keys: &Keys) -> Result<String> {
    let Some(value) = keys.value(KEY) else {
        return Ok(String::new());
    };
    let first = value.as_array().and_then(|list| list.first());
    match first {
        None if value.as_array().is_some() => Ok(String::new()),
        Some(serde_json::Value::String(name)) => Ok(name.clone()),
        _ => Err(keys.wrong(KEY, format!("{value} is not a list of names"))),
    }
}

/// The task of an architecture, by its exact name: what only ends alike (a decoder, a model with code of its own) is
/// another model.
pub(super) fn task(family: Family, architecture: &str) -> Result<Task> {
    let head = architecture.strip_prefix(family.class());
    Ok(match head {
        Some("Model") => Task::Embedding,
        Some("ForSequenceClassification") => Task::Classification,
        Some("ForTokenClassification") => Task::TokenClassification,
        Some("ForQuestionAnswering") => Task::QuestionAnswering,
        Some("ForMaskedLM") => Task::FillMask,
        // The pre-training models of BERT and MobileBERT are masked-language models with one head more; ELECTRA's is a
        // detector of replaced tokens.
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

/// The task of a checkpoint whose config.json names no architecture: that of the head among its weights, or embedding if
/// there is none. (In the reference the class that opens the folder decides, and reads the head of its own.)
///
/// # Errors
/// `Config` for weights that could be the head of more than one task.
pub(super) fn task_by_weights(
    keys: &Keys,
    files: &Files,
    folder: &str,
    encoder: &EncoderConfig,
) -> Result<Task> {
    let family = encoder.family;
    let (sequence, words) = head_names(family);
    let held = held(
        files,
        folder,
        family,
        &[sequence, CLASSIFIER, POOLER, QUESTIONS, words],
    );
    let has = |name: &str| held.contains(&name);
    let mut tasks = Vec::new();
    if sequence == CLASSIFIER && has(CLASSIFIER) {
        // Only the pooler tells a classifier of texts from one of tokens, and not always: token classifiers of old have one,
        // too, and a MobileBERT may have none.
        let pooler = encoder.mobile.as_ref().is_none_or(|mobile| mobile.pooler);
        if has(POOLER) || !pooler {
            tasks.push(Task::Classification);
        }
        if !has(POOLER) || tags(keys) {
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
                KEY,
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

/// The weights by which a family's sequence classifiers and its masked-language models are known.
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

/// Whether the labels are named as those of tokens are: `B-PER`, `I-PER`, `O`.
fn tags(keys: &Keys) -> bool {
    let names = keys.value("id2label").and_then(|names| names.as_object());
    let mut names = names.into_iter().flat_map(|names| names.values());
    names.any(|name| {
        name.as_str()
            .is_some_and(|name| name == "O" || name.starts_with("B-") || name.starts_with("I-"))
    })
}
