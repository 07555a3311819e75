//! Answers.

use std::ops::Range;

use serde::Serialize;

/// What a model answers; which kind is the checkpoint's own, see [`Task`](crate::Task).
///
/// It serialises as the answer alone, without a tag: each kind documents its shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Prediction {
    /// Of a sequence classifier, a cross-encoder or a regressor.
    Classification(Classification),
    /// Of a token classifier.
    Entities(Entities),
    /// Of a question answerer.
    Answer(Answer),
    /// Of a masked-language model.
    Fill(Fill),
    /// Of an embedding model.
    Embedding(Embedding),
}

impl Prediction {
    /// The number of tokens that the model read, special ones included.
    pub fn n_tokens(&self) -> usize {
        match self {
            Self::Classification(answer) => answer.n_tokens,
            Self::Entities(answer) => answer.n_tokens,
            Self::Answer(answer) => answer.n_tokens,
            Self::Fill(answer) => answer.n_tokens,
            Self::Embedding(answer) => answer.n_tokens,
        }
    }

    /// Whether the text was longer than the model, and its end not read.
    pub fn truncated(&self) -> bool {
        match self {
            Self::Classification(answer) => answer.truncated,
            Self::Entities(answer) => answer.truncated,
            Self::Answer(answer) => answer.truncated,
            Self::Fill(answer) => answer.truncated,
            Self::Embedding(answer) => answer.truncated,
        }
    }

    /// The best label, of a classification.
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Classification(answer) => Some(&answer.label),
            _ => None,
        }
    }

    /// The score of the best label or answer, where there is one.
    pub fn score(&self) -> Option<f32> {
        match self {
            Self::Classification(answer) => Some(answer.score),
            Self::Answer(answer) => Some(answer.score),
            _ => None,
        }
    }
}

/// Scores of labels: `{"label", "score", "scores": [{"label", "score"}], "n_tokens", "truncated"}`, and
/// `"labels": [..]` ahead of `"scores"` where several may hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classification {
    /// The label with the highest score.
    pub label: String,
    /// Its score.
    pub score: f32,
    /// Of a multi-label model: the labels that reach their threshold, highest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// All labels, highest score first; equal ones by id.
    pub scores: Vec<LabelScore>,
    /// The number of tokens read.
    pub n_tokens: usize,
    /// Whether the end of the text was not read.
    pub truncated: bool,
}

/// A label and its score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelScore {
    /// As config.json names it, or as the caller did.
    pub label: String,
    /// From 0 to 1; of a regression, the value itself.
    pub score: f32,
}

/// What stands where in a text: `{"entities": [{"label", "score", "text", "start", "end"}], "n_tokens", "truncated"}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entities {
    /// In the order of the text.
    pub entities: Vec<Entity>,
    /// The number of tokens read.
    pub n_tokens: usize,
    /// Whether the end of the text was not read.
    pub truncated: bool,
}

/// A piece of a text that has a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entity {
    /// Without `B-` or `I-`, unless tokens were not aggregated.
    pub label: String,
    /// The mean over its tokens or words.
    pub score: f32,
    /// The piece as it stands in the text.
    pub text: String,
    /// Where it starts, in characters, as Python counts.
    pub start: usize,
    /// Where it ends, in characters.
    pub end: usize,
    /// Where it stands, in bytes, as Rust slices.
    #[serde(skip)]
    pub bytes: Range<usize>,
}

/// The answer to a question:
/// `{"answer", "score", "start", "end", "no_answer_score", "answers": [{"answer", "score", "start", "end"}], "n_tokens", "truncated"}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The best answer as it stands in the context; empty where none is allowed and best.
    pub answer: String,
    /// Its probability; the probabilities of one answer that several windows found are added up.
    pub score: f32,
    /// Where it starts in the context, in characters.
    pub start: usize,
    /// Where it ends, in characters.
    pub end: usize,
    /// Where it stands in the context, in bytes.
    #[serde(skip)]
    pub bytes: Range<usize>,
    /// The probability that the context holds no answer: the least over its windows.
    pub no_answer_score: f32,
    /// The best answers, highest score first; as many as `top_k` asks for.
    pub answers: Vec<AnswerSpan>,
    /// The number of tokens read, in all windows together.
    pub n_tokens: usize,
    /// Always false: a long context is read in windows.
    pub truncated: bool,
}

/// One of several answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerSpan {
    /// As it stands in the context.
    pub answer: String,
    /// Its probability.
    pub score: f32,
    /// Where it starts, in characters.
    pub start: usize,
    /// Where it ends, in characters.
    pub end: usize,
    /// Where it stands, in bytes.
    #[serde(skip)]
    pub bytes: Range<usize>,
}

/// Words for masks: `{"masks": [[{"token", "id", "score", "text"}]], "n_tokens", "truncated"}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fill {
    /// For each mask, in the order of the text, its best tokens, highest score first.
    pub masks: Vec<Vec<TokenScore>>,
    /// The number of tokens read.
    pub n_tokens: usize,
    /// Whether the end of the text was not read.
    pub truncated: bool,
}

/// A token for a mask.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenScore {
    /// As it stands in the vocabulary.
    pub token: String,
    /// Its id.
    pub id: u32,
    /// Its probability.
    pub score: f32,
    /// The whole text with this mask filled.
    pub text: String,
}

/// A text as a vector: `{"embedding": [..], "n_tokens", "truncated"}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Embedding {
    /// The vector.
    pub embedding: Vec<f32>,
    /// The number of tokens read.
    pub n_tokens: usize,
    /// Whether the end of the text was not read.
    pub truncated: bool,
}
