//! Types of the answers of each task.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Answer of a model. The checkpoint's [`Task`](crate::Task) decides the variant.
///
/// Serialises as the answer alone, without a tag; the type of each answer documents its JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Prediction {
    /// Answer of a sequence classifier, a cross-encoder or a regressor.
    Classification(Classification),
    /// Answer of a token classifier.
    Entities(Entities),
    /// Answer of a question answerer.
    Answer(Answer),
    /// Answer of a masked-language model.
    Fill(Fill),
    /// Answer of an embedding model.
    Embedding(Embedding),
}

impl Prediction {
    /// The answer of a classifier; `None` for other answers.
    pub fn into_classification(self) -> Option<Classification> {
        match self {
            Self::Classification(answer) => Some(answer),
            _ => None,
        }
    }

    /// The answer of a token classifier; `None` for other answers.
    pub fn into_entities(self) -> Option<Entities> {
        match self {
            Self::Entities(answer) => Some(answer),
            _ => None,
        }
    }

    /// The answer of a question answerer; `None` for other answers.
    pub fn into_answer(self) -> Option<Answer> {
        match self {
            Self::Answer(answer) => Some(answer),
            _ => None,
        }
    }

    /// The answer of a masked-language model; `None` for other answers.
    pub fn into_fill(self) -> Option<Fill> {
        match self {
            Self::Fill(answer) => Some(answer),
            _ => None,
        }
    }

    /// The answer of an embedding model; `None` for other answers.
    pub fn into_embedding(self) -> Option<Embedding> {
        match self {
            Self::Embedding(answer) => Some(answer),
            _ => None,
        }
    }

    /// Number of tokens that the model read, special tokens included.
    pub fn n_tokens(&self) -> usize {
        match self {
            Self::Classification(answer) => answer.n_tokens,
            Self::Entities(answer) => answer.n_tokens,
            Self::Answer(answer) => answer.n_tokens,
            Self::Fill(answer) => answer.n_tokens,
            Self::Embedding(answer) => answer.n_tokens,
        }
    }

    /// Whether the text was longer than the model's limit, so that its end was cut off.
    pub fn truncated(&self) -> bool {
        match self {
            Self::Classification(answer) => answer.truncated,
            Self::Entities(answer) => answer.truncated,
            Self::Answer(answer) => answer.truncated,
            Self::Fill(answer) => answer.truncated,
            Self::Embedding(answer) => answer.truncated,
        }
    }

    /// Best label of a classification; `None` for other answers.
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Classification(answer) => Some(&answer.label),
            _ => None,
        }
    }

    /// Score of the best label of a classification, or of the answer to a question; `None` for other predictions.
    pub fn score(&self) -> Option<f32> {
        match self {
            Self::Classification(answer) => Some(answer.score),
            Self::Answer(answer) => Some(answer.score),
            _ => None,
        }
    }
}

/// Labels of a text with their scores. As JSON: `{"label", "score", "scores": [{"label", "score"}], "n_tokens",
/// "truncated"}`, with `"labels": [..]` before `"scores"` for a multi-label model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Classification {
    /// The label with the highest score.
    pub label: String,
    /// Id of that label: its index in [`Model::labels`](crate::Model::labels), or among the caller's in zero-shot
    /// classification. Not part of the JSON.
    #[serde(skip)]
    pub id: usize,
    /// Score of that label.
    pub score: f32,
    /// Labels that reach their threshold, highest score first; `None` unless the model is multi-label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// All labels, highest score first; labels of equal score in the order of their ids.
    pub scores: Vec<LabelScore>,
    /// Number of tokens read, special tokens included.
    pub n_tokens: usize,
    /// Whether the end of the text was cut off.
    pub truncated: bool,
}

/// A label and its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LabelScore {
    /// Name of the label, from config.json or, in zero-shot classification, from the caller.
    pub label: String,
    /// Id of the label: its index in [`Model::labels`](crate::Model::labels), or among the caller's in zero-shot
    /// classification. Not part of the JSON.
    #[serde(skip)]
    pub id: usize,
    /// Score from 0 to 1; for a regression, the predicted value.
    pub score: f32,
}

/// Entities of a text. As JSON: `{"entities": [{"label", "score", "text", "start", "end"}], "n_tokens", "truncated"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entities {
    /// Entities in the order of the text.
    pub entities: Vec<Entity>,
    /// Number of tokens read, special tokens included.
    pub n_tokens: usize,
    /// Whether the end of the text was cut off.
    pub truncated: bool,
}

/// A labelled span of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entity {
    /// Label, without `B-` or `I-` unless the aggregation is [`Aggregation::None`](crate::Aggregation::None).
    pub label: String,
    /// Mean score of the entity's tokens or words.
    pub score: f32,
    /// Slice of the input text.
    pub text: String,
    /// Start in the text, in characters, as Python counts them.
    pub start: usize,
    /// End, in characters, exclusive.
    pub end: usize,
    /// Range in the text, in bytes, for slicing in Rust.
    #[serde(skip)]
    pub bytes: Range<usize>,
}

/// Answer to a question. As JSON: `{"answer", "score", "start", "end", "no_answer_score", "answers": [{"answer",
/// "score", "start", "end"}], "n_tokens", "truncated"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answer {
    /// Best answer, a slice of the context; empty if "no answer" is allowed and scores best.
    pub answer: String,
    /// Probability of the answer. If several windows contain it, their probabilities are added up.
    pub score: f32,
    /// Start in the context, in characters.
    pub start: usize,
    /// End, in characters, exclusive.
    pub end: usize,
    /// Range in the context, in bytes.
    #[serde(skip)]
    pub bytes: Range<usize>,
    /// Probability that the context holds no answer: the minimum over its windows.
    pub no_answer_score: f32,
    /// The `top_k` best answers, highest score first.
    pub answers: Vec<AnswerSpan>,
    /// Number of tokens read, in all windows together.
    pub n_tokens: usize,
    /// Always false: a long context is read in windows.
    pub truncated: bool,
}

/// One of several answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AnswerSpan {
    /// Slice of the context.
    pub answer: String,
    /// Probability of the prediction.
    pub score: f32,
    /// Start in the context, in characters.
    pub start: usize,
    /// End, in characters, exclusive.
    pub end: usize,
    /// Range in the context, in bytes, for slicing in Rust.
    #[serde(skip)]
    pub bytes: Range<usize>,
}

/// Predictions for the masks of a text. As JSON: `{"masks": [[{"token", "id", "score", "text"}]], "n_tokens",
/// "truncated"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fill {
    /// Best tokens of each mask, highest score first; masks in the order of the text.
    pub masks: Vec<Vec<TokenScore>>,
    /// Number of tokens read, special tokens included.
    pub n_tokens: usize,
    /// Whether the end of the text was cut off.
    pub truncated: bool,
}

/// A token that is predicted for a mask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenScore {
    /// String of the token in the vocabulary.
    pub token: String,
    /// Token id.
    pub id: u32,
    /// Probability of the prediction.
    pub score: f32,
    /// Whole text with this mask filled.
    pub text: String,
}

/// Embedding of a text; dereferences to its components. As JSON: `{"embedding": [..], "n_tokens", "truncated"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Embedding {
    /// Components of the vector.
    pub embedding: Vec<f32>,
    /// Number of tokens read, special tokens included.
    pub n_tokens: usize,
    /// Whether the end of the text was cut off.
    pub truncated: bool,
}
