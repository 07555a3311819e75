//! Typed doors: a model whose task is known gives answers of that task's type.

use std::path::Path;

use ndarray::Array2;

use super::{Model, ModelOptions, Ranked};
use crate::batch::Input;
use crate::config::Task;
use crate::error::{Error, Result};
use crate::tasks::{
    Answer, Classification, Entities, Entity, Fill, Prediction, ZeroShotOptions, zero_shot,
};

/// What all doors have: ways in, and the way back to the model.
macro_rules! door {
    ($(#[$doc:meta])* $name:ident, $wanted:literal, $fits:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Model);

        impl $name {
            /// Opens a folder or a packed file that must hold a model of this task.
            ///
            /// # Errors
            /// `WrongTask` if it does not, else as [`Model::load`].
            pub fn load(path: impl AsRef<Path>) -> Result<Self> {
                Model::load(path)?.try_into()
            }

            /// The same with options.
            ///
            /// # Errors
            /// `WrongTask` if the model is for another task, else as [`Model::load_with`].
            pub fn load_with(path: impl AsRef<Path>, options: ModelOptions) -> Result<Self> {
                Model::load_with(path, options)?.try_into()
            }

            /// The model behind the door.
            pub fn model(&self) -> &Model {
                &self.0
            }
        }

        impl TryFrom<Model> for $name {
            type Error = Error;

            fn try_from(model: Model) -> Result<Self> {
                let fits: fn(&Model) -> bool = $fits;
                match fits(&model) {
                    true => Ok(Self(model)),
                    false => Err(model.wrong_task($wanted)),
                }
            }
        }
    };
}

/// Takes the answer of one kind out of a prediction.
macro_rules! only {
    ($self:ident, $kind:ident, $prediction:expr) => {
        match $prediction {
            Prediction::$kind(answer) => Ok(answer),
            _ => Err($self.0.wrong_task(stringify!($kind))),
        }
    };
}

door!(
    /// A model that gives labels to texts or pairs.
    Classifier,
    "sequence classification",
    |model| model.task() == Task::Classification
);

impl Classifier {
    /// The labels of a text or a pair, and their scores.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn classify<'a>(&self, input: impl Into<Input<'a>>) -> Result<Classification> {
        only!(self, Classification, self.0.predict(input)?)
    }

    /// The same for many.
    ///
    /// # Errors
    /// As [`Model::predict_batch`].
    pub fn classify_batch<'a, I>(&self, inputs: &'a [I]) -> Result<Vec<Classification>>
    where
        &'a I: Into<Input<'a>>,
    {
        let predictions = self.0.predict_batch(inputs)?.into_iter();
        predictions
            .map(|prediction| only!(self, Classification, prediction))
            .collect()
    }
}

door!(
    /// A model that gives vectors to texts.
    Embedder,
    "embedding",
    |model| model.task() == Task::Embedding
);

impl Embedder {
    /// A text as a vector.
    ///
    /// # Errors
    /// As [`Model::embed`].
    pub fn embed(&self, text: &str) -> Result<Vec<f32>> {
        self.0.embed(text)
    }

    /// Texts as vectors: (texts, width).
    ///
    /// # Errors
    /// As [`Model::embed_batch`].
    pub fn embed_batch<S: AsRef<str>>(&self, texts: &[S]) -> Result<Array2<f32>> {
        self.0.embed_batch(texts)
    }

    /// How alike two texts are.
    ///
    /// # Errors
    /// As [`Model::similarity`].
    pub fn similarity(&self, a: &str, b: &str) -> Result<f32> {
        self.0.similarity(a, b)
    }
}

door!(
    /// A model that finds pieces of a text: names of people and places, parts of speech.
    TokenClassifier,
    "token classification",
    |model| model.task() == Task::TokenClassification
);

impl TokenClassifier {
    /// What stands where in a text.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn entities(&self, text: &str) -> Result<Vec<Entity>> {
        let found: Entities = only!(self, Entities, self.0.predict(text)?)?;
        Ok(found.entities)
    }
}

door!(
    /// A model that finds the answer to a question in a context.
    QuestionAnswerer,
    "question answering",
    |model| model.task() == Task::QuestionAnswering
);

impl QuestionAnswerer {
    /// The span of `context` that answers `question`.
    ///
    /// # Errors
    /// As [`Model::answer`].
    pub fn answer(&self, question: &str, context: &str) -> Result<Answer> {
        self.0.answer(question, context)
    }
}

door!(
    /// A model that guesses masked words.
    MaskFiller,
    "fill-mask",
    |model| model.task() == Task::FillMask
);

impl MaskFiller {
    /// Words for each mask of a text.
    ///
    /// # Errors
    /// As [`Model::predict`]; `Input` if there is no mask.
    pub fn fill(&self, text: &str) -> Result<Fill> {
        only!(self, Fill, self.0.predict(text)?)
    }
}

door!(
    /// A model that orders passages by how they fit a query: a cross-encoder, or an embedding model.
    Reranker,
    "reranking",
    |model| {
        let scores = model.task() == Task::Classification && model.labels().len() == 1;
        scores || model.task() == Task::Embedding
    }
);

impl Reranker {
    /// Passages in the order in which they fit a query, best first.
    ///
    /// # Errors
    /// As [`Model::rerank`].
    pub fn rerank<S: AsRef<str>>(&self, query: &str, passages: &[S]) -> Result<Vec<Ranked>> {
        self.0.rerank(query, passages)
    }
}

door!(
    /// A model of entailment (NLI) that gives labels which nobody trained. One whose labels have no names
    /// (`LABEL_0`, `LABEL_1` ..) needs [`ZeroShotOptions::entailment_label`].
    ZeroShot,
    "zero-shot classification",
    |model| {
        let unnamed = || zero_shot::are_unnamed(model.labels()) && model.labels().len() > 1;
        model.task() == Task::Classification && (model.entailment_label().is_some() || unnamed())
    }
);

impl ZeroShot {
    /// Which of `labels` a text is about: exactly one of them.
    ///
    /// # Errors
    /// As [`Model::zero_shot`].
    pub fn classify<S: AsRef<str>>(&self, text: &str, labels: &[S]) -> Result<Classification> {
        self.0.zero_shot(text, labels, &ZeroShotOptions::default())
    }

    /// Which of `labels` a text is about, with options.
    ///
    /// # Errors
    /// As [`Model::zero_shot`].
    pub fn classify_with<S: AsRef<str>>(
        &self,
        text: &str,
        labels: &[S],
        options: &ZeroShotOptions,
    ) -> Result<Classification> {
        self.0.zero_shot(text, labels, options)
    }
}
