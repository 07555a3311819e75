//! Typed wrappers of [`Model`]: each holds a model of one task and returns that task's type of answer.

use std::path::Path;

use ndarray::Array2;

use super::{Model, ModelOptions, Ranked};
use crate::batch::Input;
use crate::config::Task;
use crate::error::{Error, Result};
use crate::tasks::{
    Answer, Classification, Entities, Entity, Fill, Prediction, ZeroShotOptions, zero_shot,
};

/// Declares a wrapper type with its constructors and access to the model.
macro_rules! typed_model {
    ($(#[$doc:meta])* $name:ident, $wanted:literal, $fits:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Model);

        impl $name {
            /// Opens a folder or a packed file, which must hold a model for this task.
            ///
            /// # Errors
            /// `WrongTask` if the model is for another task; otherwise those of [`Model::load`].
            pub fn load(path: impl AsRef<Path>) -> Result<Self> {
                Model::load(path)?.try_into()
            }

            /// Opens a folder or a packed file, which must hold a model for this task, with options.
            ///
            /// # Errors
            /// `WrongTask` if the model is for another task; otherwise those of [`Model::load_with`].
            pub fn load_with(path: impl AsRef<Path>, options: ModelOptions) -> Result<Self> {
                Model::load_with(path, options)?.try_into()
            }

            /// The wrapped model.
            pub fn model(&self) -> &Model {
                &self.0
            }
        }

        impl TryFrom<Model> for $name {
            type Error = Error;

            fn try_from(model: Model) -> Result<Self> {
                let fits: fn(&Model) -> bool = $fits;
                if fits(&model) {
                    Ok(Self(model))
                } else {
                    Err(model.wrong_task($wanted))
                }
            }
        }
    };
}

/// Extracts the answer of one kind from a prediction.
macro_rules! expect {
    ($self:ident, $kind:ident, $prediction:expr) => {
        match $prediction {
            Prediction::$kind(answer) => Ok(answer),
            _ => Err($self.0.wrong_task(stringify!($kind))),
        }
    };
}

typed_model!(
    /// A sequence classifier: labels texts or pairs.
    Classifier,
    "sequence classification",
    |model| model.task() == Task::Classification
);

impl Classifier {
    /// Classifies a text or a pair.
    ///
    /// # Errors
    /// Those of [`Model::predict`].
    pub fn classify<'a>(&self, input: impl Into<Input<'a>>) -> Result<Classification> {
        expect!(self, Classification, self.0.predict(input)?)
    }

    /// Classifies many texts or pairs, and returns the answers in the order of the inputs.
    ///
    /// # Errors
    /// Those of [`Model::predict_batch`].
    pub fn classify_batch<'a, I>(&self, inputs: &'a [I]) -> Result<Vec<Classification>>
    where
        &'a I: Into<Input<'a>>,
    {
        let predictions = self.0.predict_batch(inputs)?.into_iter();
        predictions
            .map(|prediction| expect!(self, Classification, prediction))
            .collect()
    }
}

typed_model!(
    /// An embedding model: maps texts to vectors.
    Embedder,
    "embedding",
    |model| model.task() == Task::Embedding
);

impl Embedder {
    /// Computes the embedding of a text.
    ///
    /// # Errors
    /// Those of [`Model::embed`].
    pub fn embed(&self, text: &str) -> Result<Vec<f32>> {
        self.0.embed(text)
    }

    /// Computes the embeddings of texts: (texts, width).
    ///
    /// # Errors
    /// Those of [`Model::embed_batch`].
    pub fn embed_batch<S: AsRef<str>>(&self, texts: &[S]) -> Result<Array2<f32>> {
        self.0.embed_batch(texts)
    }

    /// Computes the similarity of two texts, by the model's own measure.
    ///
    /// # Errors
    /// Those of [`Model::similarity`].
    pub fn similarity(&self, a: &str, b: &str) -> Result<f32> {
        self.0.similarity(a, b)
    }
}

typed_model!(
    /// A token classifier: labels spans of a text, such as names of people and places, or parts of speech.
    TokenClassifier,
    "token classification",
    |model| model.task() == Task::TokenClassification
);

impl TokenClassifier {
    /// Finds the entities of a text, in the order of the text.
    ///
    /// # Errors
    /// Those of [`Model::predict`].
    pub fn entities(&self, text: &str) -> Result<Vec<Entity>> {
        let found: Entities = expect!(self, Entities, self.0.predict(text)?)?;
        Ok(found.entities)
    }
}

typed_model!(
    /// An extractive question answerer: finds the answer to a question in a context.
    QuestionAnswerer,
    "question answering",
    |model| model.task() == Task::QuestionAnswering
);

impl QuestionAnswerer {
    /// Finds the span of `context` that answers `question`.
    ///
    /// # Errors
    /// Those of [`Model::answer`].
    pub fn answer(&self, question: &str, context: &str) -> Result<Answer> {
        self.0.answer(question, context)
    }
}

typed_model!(
    /// A masked-language model: predicts masked words.
    MaskFiller,
    "fill-mask",
    |model| model.task() == Task::FillMask
);

impl MaskFiller {
    /// Predicts the likeliest tokens for each mask of a text.
    ///
    /// # Errors
    /// Those of [`Model::predict`]; `Input` if there is no mask.
    pub fn fill(&self, text: &str) -> Result<Fill> {
        expect!(self, Fill, self.0.predict(text)?)
    }
}

typed_model!(
    /// A reranker: orders passages by their relevance to a query. Wraps a cross-encoder or an embedding model.
    Reranker,
    "reranking",
    |model| {
        let scores = model.task() == Task::Classification && model.labels().len() == 1;
        scores || model.task() == Task::Embedding
    }
);

impl Reranker {
    /// Ranks passages by their relevance to a query, best first.
    ///
    /// # Errors
    /// Those of [`Model::rerank`].
    pub fn rerank<S: AsRef<str>>(&self, query: &str, passages: &[S]) -> Result<Vec<Ranked>> {
        self.0.rerank(query, passages)
    }
}

typed_model!(
    /// A zero-shot classifier: an entailment (NLI) model that classifies texts by labels it was not trained on. A model
    /// whose labels have no names (`LABEL_0`, `LABEL_1` ..) needs [`ZeroShotOptions::entailment_label`].
    ZeroShot,
    "zero-shot classification",
    |model| {
        let unnamed = || zero_shot::are_unnamed(model.labels()) && model.labels().len() > 1;
        model.task() == Task::Classification && (model.entailment_label().is_some() || unnamed())
    }
);

impl ZeroShot {
    /// Classifies a text by `labels`, of which exactly one holds.
    ///
    /// # Errors
    /// Those of [`Model::zero_shot`].
    pub fn classify<S: AsRef<str>>(&self, text: &str, labels: &[S]) -> Result<Classification> {
        self.0.zero_shot(text, labels, &ZeroShotOptions::default())
    }

    /// Classifies a text by `labels`, with options.
    ///
    /// # Errors
    /// Those of [`Model::zero_shot`].
    pub fn classify_with<S: AsRef<str>>(
        &self,
        text: &str,
        labels: &[S],
        options: &ZeroShotOptions,
    ) -> Result<Classification> {
        self.0.zero_shot(text, labels, options)
    }
}
