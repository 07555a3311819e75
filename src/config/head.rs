//! What stands on top of the encoder.

use super::{Family, Keys};
use crate::error::{Error, Result};

/// The most labels that are believed.
const MAX_LABELS: usize = 1 << 20;

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
    /// The logit itself: regression.
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
    pub(crate) score: ScoreFunction,
    /// Whether labels may hold together, each with its threshold.
    pub(crate) multi_label: bool,
    /// Whether the decoder of a masked-language model is the word-embedding table.
    pub(crate) tied: bool,
}

impl HeadConfig {
    /// `sentence`: whether sentence-transformers' files declare the model to be an embedder; `score`: the score function
    /// that they name for a cross-encoder.
    pub(super) fn read(
        keys: &Keys,
        family: Family,
        sentence: bool,
        score: Option<&str>,
    ) -> Result<Self> {
        let architecture = architecture(keys)?;
        let task = if sentence {
            Task::Embedding
        } else {
            task(family, &architecture)?
        };
        let labels = match task {
            Task::Classification | Task::TokenClassification => labels(keys)?,
            _ => Vec::new(),
        };
        let multi_label =
            keys.text(&["problem_type"])? == Some("multi_label_classification") && labels.len() > 1;
        Ok(Self {
            score: score_function(keys, labels.len(), score)?,
            architecture,
            task,
            labels,
            multi_label,
            tied: keys.flag("tie_word_embeddings", true)?,
        })
    }
}

fn architecture(keys: &Keys) -> Result<String> {
    let Some(value) = keys.value("architectures") else {
        return Ok(String::new());
    };
    let first = value.as_array().and_then(|list| list.first());
    match first {
        None if value.as_array().is_some() => Ok(String::new()),
        Some(serde_json::Value::String(name)) => Ok(name.clone()),
        _ => Err(keys.wrong("architectures", format!("{value} is not a list of names"))),
    }
}

/// The task of an architecture, by its exact name: what only ends alike (a decoder, a model with code of its own) is
/// another model.
fn task(family: Family, architecture: &str) -> Result<Task> {
    if architecture.is_empty() {
        return Ok(Task::Embedding);
    }
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
                found: architecture.to_owned(),
            });
        }
    })
}

/// Label names in the order of their ids: `id2label`, else `LABEL_0` and so on.
fn labels(keys: &Keys) -> Result<Vec<String>> {
    let Some(named) = keys.object("id2label")? else {
        let count = keys.size(&["num_labels"], 2, 1..=MAX_LABELS)?;
        return Ok((0..count).map(|id| format!("LABEL_{id}")).collect());
    };
    let count = named.entries().count();
    let wrong = |reason: String| keys.wrong("id2label", reason);
    if count == 0 || count > MAX_LABELS {
        return Err(wrong(format!("{count} labels")));
    }
    let mut labels = vec![None; count];
    for (id, name) in named.entries() {
        let slot = id.parse::<usize>().ok().and_then(|id| labels.get_mut(id));
        let (Some(slot), Some(name)) = (slot, name.as_str()) else {
            return Err(wrong(format!(
                "{id:?}: {name} does not name one of labels 0 to {}",
                count - 1
            )));
        };
        *slot = Some(name.to_owned());
    }
    let missing = labels.iter().position(Option::is_none);
    match missing {
        Some(id) => Err(wrong(format!("label {id} has no name"))),
        None => Ok(labels.into_iter().flatten().collect()),
    }
}

/// As the pipelines of transformers choose it; a cross-encoder's own choice stands over theirs for its one output.
fn score_function(keys: &Keys, labels: usize, saved: Option<&str>) -> Result<ScoreFunction> {
    if let Some(path) = saved.filter(|_| labels == 1) {
        return by_class(path);
    }
    match keys.text(&["problem_type"])? {
        Some("regression") => return Ok(ScoreFunction::Identity),
        Some("multi_label_classification") => return Ok(ScoreFunction::Sigmoid),
        None | Some("single_label_classification") => {}
        Some(other) => return Err(keys.wrong("problem_type", format!("{other:?} is not known"))),
    }
    if labels != 1 {
        return Ok(ScoreFunction::Softmax);
    }
    let section = keys.object("sentence_transformers")?;
    let own = match &section {
        Some(section) => section.text(&["activation_fn"])?,
        None => keys.text(&["sbert_ce_default_activation_function"])?,
    };
    own.map_or(Ok(ScoreFunction::Sigmoid), by_class)
}

/// A score function by the path of its torch class.
fn by_class(path: &str) -> Result<ScoreFunction> {
    match path.rsplit('.').next().unwrap_or(path) {
        "Sigmoid" => Ok(ScoreFunction::Sigmoid),
        "Identity" => Ok(ScoreFunction::Identity),
        _ => Err(Error::UnsupportedActivation {
            found: path.to_owned(),
        }),
    }
}
