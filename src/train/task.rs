//! Trainable tasks: one entry of a table each. A new task is a new entry; no other code matches on [`TaskKind`].

use serde::{Deserialize, Serialize};

use crate::config::Task;

/// A task, by its name in a recipe.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TaskKind {
    /// One label for each text or pair.
    Classification,
    /// Any number of labels for each text or pair.
    MultiLabel,
    /// A score for each text or pair.
    Regression,
    /// A label for each word.
    TokenClassification,
    /// The span of an answer in a context.
    QuestionAnswering,
    /// Embeddings whose cosine is a pair's score.
    Similarity,
    /// Embeddings that put matching texts close together and the other texts of a batch far apart (in-batch negatives).
    MultipleNegatives,
    /// Embeddings like a teacher's.
    Embedding,
}

/// Everything that distinguishes a task from the others.
#[derive(Debug)]
pub(crate) struct TaskSpec {
    /// Accepted name of the text column; `None` accepts any of the usual names.
    pub(crate) text_columns: Option<&'static str>,
    pub(crate) texts: RowTexts,
    pub(crate) target: TargetType,
    /// Usual names of the target column.
    pub(crate) target_columns: &'static [&'static str],
    pub(crate) labels: LabelSet,
    pub(crate) head: TaskHead,
    pub(crate) criterion: Criterion,
    /// Names of the metrics; the first one selects the best model.
    pub(crate) metrics: &'static [&'static str],
    /// Task of the trained model, and of a teacher whose outputs are learned.
    pub(crate) model_task: Task,
    /// Suffix of the architecture's name in config.json, after the family.
    pub(crate) architecture: &'static str,
    /// `problem_type` of config.json.
    pub(crate) problem_type: Option<&'static str>,
    pub(crate) library_name: &'static str,
    pub(crate) pipeline_tag: &'static str,
    /// Description of the model's purpose, for its card.
    pub(crate) does: &'static str,
}

/// Number of texts in a row, and how they are encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RowTexts {
    /// One text, or a pair encoded as one sequence if the recipe names a second column.
    TextOrPair,
    /// A pair encoded as one sequence.
    Pair,
    /// Two texts encoded as a sequence each.
    Two,
}

/// Type of a target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TargetType {
    Class,
    Classes,
    Score,
    Tags,
    Span,
}

/// Source of the label names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LabelSet {
    /// There are no labels.
    None,
    /// The single output has a fixed name.
    Single,
    /// Label names come from the recipe, a teacher or the training tables.
    Named,
}

/// Head of the network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TaskHead {
    /// One output per label for each text.
    Sequence,
    /// One output per label for each token.
    Tokens,
    /// Two outputs for each token: start and end of the span.
    Spans,
    /// The pooling of the model's configuration.
    Pooling,
}

/// Loss against a task's targets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Criterion {
    CrossEntropy,
    BinaryCrossEntropy,
    MeanSquaredError,
    TokenCrossEntropy,
    AnswerSpans,
    CosineSimilarity,
    MultipleNegatives,
    /// No loss against targets: only a teacher's outputs are learned.
    None,
}

impl TaskKind {
    pub(crate) fn spec(self) -> &'static TaskSpec {
        match self {
            Self::Classification => &CLASSIFICATION,
            Self::MultiLabel => &MULTI_LABEL,
            Self::Regression => &REGRESSION,
            Self::TokenClassification => &TOKEN_CLASSIFICATION,
            Self::QuestionAnswering => &QUESTION_ANSWERING,
            Self::Similarity => &SIMILARITY,
            Self::MultipleNegatives => &MULTIPLE_NEGATIVES,
            Self::Embedding => &EMBEDDING,
        }
    }
}

impl TaskSpec {
    /// Returns whether the network has outputs for each token rather than for each text.
    pub(crate) fn is_per_token(&self) -> bool {
        matches!(self.head, TaskHead::Tokens | TaskHead::Spans)
    }

    /// Returns whether the outputs are embeddings.
    pub(crate) fn is_embedding(&self) -> bool {
        self.model_task == Task::Embedding
    }
}

const CLASSIFICATION: TaskSpec = TaskSpec {
    text_columns: None,
    texts: RowTexts::TextOrPair,
    target: TargetType::Class,
    target_columns: &["label"],
    labels: LabelSet::Named,
    head: TaskHead::Sequence,
    criterion: Criterion::CrossEntropy,
    metrics: &["accuracy", "macro-f1", "mcc"],
    model_task: Task::Classification,
    architecture: "ForSequenceClassification",
    problem_type: Some("single_label_classification"),
    library_name: "transformers",
    pipeline_tag: "text-classification",
    does: "assigns one label to a text",
};

const MULTI_LABEL: TaskSpec = TaskSpec {
    target: TargetType::Classes,
    target_columns: &["labels", "label"],
    criterion: Criterion::BinaryCrossEntropy,
    metrics: &["micro-f1", "macro-f1"],
    problem_type: Some("multi_label_classification"),
    does: "assigns any number of labels to a text",
    ..CLASSIFICATION
};

const REGRESSION: TaskSpec = TaskSpec {
    target: TargetType::Score,
    target_columns: &["score", "label"],
    labels: LabelSet::Single,
    criterion: Criterion::MeanSquaredError,
    metrics: &["spearman", "pearson"],
    problem_type: Some("regression"),
    does: "assigns a score to a text",
    ..CLASSIFICATION
};

const TOKEN_CLASSIFICATION: TaskSpec = TaskSpec {
    text_columns: Some("tokens"),
    target: TargetType::Tags,
    target_columns: &["tags"],
    head: TaskHead::Tokens,
    criterion: Criterion::TokenCrossEntropy,
    metrics: &["entity-f1", "accuracy"],
    model_task: Task::TokenClassification,
    architecture: "ForTokenClassification",
    problem_type: None,
    pipeline_tag: "token-classification",
    does: "assigns a label to each word",
    ..CLASSIFICATION
};

const QUESTION_ANSWERING: TaskSpec = TaskSpec {
    text_columns: Some("question"),
    texts: RowTexts::Pair,
    target: TargetType::Span,
    target_columns: &["answer"],
    labels: LabelSet::None,
    head: TaskHead::Spans,
    criterion: Criterion::AnswerSpans,
    metrics: &["accuracy"],
    model_task: Task::QuestionAnswering,
    architecture: "ForQuestionAnswering",
    problem_type: None,
    pipeline_tag: "question-answering",
    does: "finds answers in contexts",
    ..CLASSIFICATION
};

const SIMILARITY: TaskSpec = TaskSpec {
    text_columns: None,
    texts: RowTexts::Two,
    target: TargetType::Score,
    target_columns: &["score", "label"],
    labels: LabelSet::None,
    head: TaskHead::Pooling,
    criterion: Criterion::CosineSimilarity,
    metrics: &["spearman", "pearson"],
    model_task: Task::Embedding,
    architecture: "Model",
    problem_type: None,
    library_name: "sentence-transformers",
    pipeline_tag: "sentence-similarity",
    does: "embeds texts; the cosine of two embeddings says how similar the texts are",
};

const MULTIPLE_NEGATIVES: TaskSpec = TaskSpec {
    criterion: Criterion::MultipleNegatives,
    ..SIMILARITY
};

const EMBEDDING: TaskSpec = TaskSpec {
    criterion: Criterion::None,
    ..SIMILARITY
};
