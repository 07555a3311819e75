//! Typed wrappers of [`Model`]: each holds a model of one task and returns that task's type of answer.

use std::borrow::{Borrow, Cow};
use std::path::Path;

use super::{Model, ModelOptions, PredictOptions, Ranked};
use crate::batch::AsInput;
use crate::config::Task;
use crate::error::{Error, Result};
use crate::tasks::{
    Answer, Classification, Embedding, Embeddings, Entities, Fill, Prediction, Similarity,
    zero_shot,
};

/// Declares a wrapper type with its constructors and access to the model.
macro_rules! typed_model {
    ($(#[$doc:meta])* $name:ident, $wanted:literal, $fits:expr) => {
        $(#[$doc])*
        ///
        /// Holds a [`Model`], or anything that borrows one: `&Model` and `Arc<Model>` share a model with other wrappers.
        #[derive(Debug, Clone)]
        pub struct $name<M: Borrow<Model> = Model>(M);

        impl $name {
            /// Opens a folder or a packed file, which must hold a model for this task.
            ///
            /// # Errors
            /// `WrongTask` if the model is for another task; otherwise those of [`Model::load`].
            pub fn load(path: impl AsRef<Path>) -> Result<Self> {
                Self::new(Model::load(path)?)
            }

            /// Opens a folder or a packed file, which must hold a model for this task, with options.
            ///
            /// # Errors
            /// `WrongTask` if the model is for another task; otherwise those of [`Model::load_with`].
            pub fn load_with(path: impl AsRef<Path>, options: ModelOptions) -> Result<Self> {
                Self::new(Model::load_with(path, options)?)
            }

            /// Opens a packed file in memory, which must hold a model for this task.
            ///
            /// # Errors
            /// `WrongTask` if the model is for another task; otherwise those of [`Model::from_bytes`].
            pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self> {
                Self::new(Model::from_bytes(bytes)?)
            }
        }

        impl<M: Borrow<Model>> $name<M> {
            /// Wraps a model, which must be for this task.
            ///
            /// # Errors
            /// `WrongTask` if the model is for another task.
            pub fn new(model: M) -> Result<Self> {
                let fits: fn(&Model) -> bool = $fits;
                if fits(model.borrow()) {
                    Ok(Self(model))
                } else {
                    Err(model.borrow().wrong_task($wanted))
                }
            }

            /// The wrapped model.
            pub fn model(&self) -> &Model {
                self.0.borrow()
            }

            /// Gives the model back.
            pub fn into_inner(self) -> M {
                self.0
            }
        }

        impl TryFrom<Model> for $name {
            type Error = Error;

            fn try_from(model: Model) -> Result<Self> {
                Self::new(model)
            }
        }
    };
}

/// Extracts the answer of one kind from a prediction.
macro_rules! expect {
    ($self:ident, $kind:ident, $prediction:expr) => {
        match $prediction {
            Prediction::$kind(answer) => Ok(answer),
            _ => Err($self.model().wrong_task(stringify!($kind))),
        }
    };
}

/// Declares the methods of a wrapper that answers texts by [`Model::predict`]: one text and many, with and without
/// options.
macro_rules! predicts {
    (
        $name:ident, $kind:ident,
        $(#[$one_doc:meta])* $one:ident, $(#[$one_with_doc:meta])* $one_with:ident,
        $(#[$batch_doc:meta])* $batch:ident, $(#[$batch_with_doc:meta])* $batch_with:ident
    ) => {
        impl<M: Borrow<Model>> $name<M> {
            $(#[$one_doc])*
            ///
            /// # Errors
            /// Those of [`Model::predict`].
            pub fn $one(&self, input: impl AsInput) -> Result<$kind> {
                expect!(self, $kind, self.model().predict(input)?)
            }

            $(#[$one_with_doc])*
            ///
            /// # Errors
            /// Those of [`Model::predict_with`].
            pub fn $one_with(&self, input: impl AsInput, options: &PredictOptions) -> Result<$kind> {
                expect!(self, $kind, self.model().predict_with(input, options)?)
            }

            $(#[$batch_doc])*
            ///
            /// # Errors
            /// Those of [`Model::predict_batch`].
            pub fn $batch<I: AsInput>(
                &self,
                inputs: impl IntoIterator<Item = I>,
            ) -> Result<Vec<$kind>> {
                let predictions = self.model().predict_batch(inputs)?.into_iter();
                predictions
                    .map(|prediction| expect!(self, $kind, prediction))
                    .collect()
            }

            $(#[$batch_with_doc])*
            ///
            /// # Errors
            /// Those of [`Model::predict_batch_with`].
            pub fn $batch_with<I: AsInput>(
                &self,
                inputs: impl IntoIterator<Item = I>,
                options: &PredictOptions,
            ) -> Result<Vec<$kind>> {
                let predictions = self.model().predict_batch_with(inputs, options)?;
                let predictions = predictions.into_iter();
                predictions
                    .map(|prediction| expect!(self, $kind, prediction))
                    .collect()
            }
        }
    };
}

typed_model!(
    /// A sequence classifier: labels texts or pairs.
    ///
    /// ```
    /// # fn main() -> bertless::Result<()> {
    /// # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/bert-classify");
    /// let classifier = bertless::Classifier::load(dir)?;
    /// let answer = classifier.classify("A great film.")?;
    /// assert_eq!(answer.label, classifier.labels()[answer.id]);
    /// # Ok(())
    /// # }
    /// ```
    Classifier,
    "sequence classification",
    |model| model.task() == Task::Classification
);

predicts!(
    Classifier,
    Classification,
    /// Classifies a text or a pair.
    classify,
    /// Classifies a text or a pair, with options.
    classify_with,
    /// Classifies many texts or pairs, and returns the answers in the order of the inputs.
    classify_batch,
    /// Classifies many texts or pairs, with options.
    classify_batch_with
);

#[cfg(feature = "default-model")]
impl Classifier {
    /// The English sentiment classifier that comes with the crate ([`Model::built_in`]).
    ///
    /// # Errors
    /// Those of [`Model::built_in`].
    pub fn built_in() -> Result<Self> {
        Self::new(Model::built_in()?)
    }
}

impl<M: Borrow<Model>> Classifier<M> {
    /// Label names, indexed by label id.
    pub fn labels(&self) -> &[String] {
        self.model().labels()
    }
}

typed_model!(
    /// An embedding model: maps texts to vectors.
    ///
    /// ```
    /// # fn main() -> bertless::Result<()> {
    /// # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/sentence-mean");
    /// let embedder = bertless::Embedder::load(dir)?;
    /// let corpus = embedder.embed_documents(["A man eats.", "It rains.", "She sings."])?;
    /// let query = embedder.embed_query("Someone has lunch.")?;
    /// let best = embedder.similarity_measure().top_k(&query.into(), &corpus, 2);
    /// assert_eq!(best[0].len(), 2); // of the first, and only, query
    /// # Ok(())
    /// # }
    /// ```
    Embedder,
    "embedding",
    |model| model.task() == Task::Embedding
);

impl<M: Borrow<Model>> Embedder<M> {
    /// Computes the embedding of a text.
    ///
    /// # Errors
    /// Those of [`Model::embed`].
    pub fn embed(&self, text: impl AsRef<str>) -> Result<Embedding> {
        self.model().embed(text)
    }

    /// Computes the embeddings of texts.
    ///
    /// # Errors
    /// Those of [`Model::embed_batch`].
    pub fn embed_batch<S: AsRef<str>>(
        &self,
        texts: impl IntoIterator<Item = S>,
    ) -> Result<Embeddings> {
        self.model().embed_batch(texts)
    }

    /// Computes the embeddings of texts, with options.
    ///
    /// # Errors
    /// Those of [`Model::embed_batch_with`].
    pub fn embed_batch_with<S: AsRef<str>>(
        &self,
        texts: impl IntoIterator<Item = S>,
        options: &PredictOptions,
    ) -> Result<Embeddings> {
        self.model().embed_batch_with(texts, options)
    }

    /// Computes the embedding of a query, with the model's prompt for queries in front if it has one.
    ///
    /// # Errors
    /// Those of [`Model::embed_query`].
    pub fn embed_query(&self, query: impl AsRef<str>) -> Result<Embedding> {
        self.model().embed_query(query)
    }

    /// Computes the embeddings of documents, with the model's prompt for documents in front if it has one.
    ///
    /// # Errors
    /// Those of [`Model::embed_documents`].
    pub fn embed_documents<S: AsRef<str>>(
        &self,
        documents: impl IntoIterator<Item = S>,
    ) -> Result<Embeddings> {
        self.model().embed_documents(documents)
    }

    /// Computes the similarity of two texts, by the model's own measure.
    ///
    /// # Errors
    /// Those of [`Model::similarity`].
    pub fn similarity(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> Result<f32> {
        self.model().similarity(a, b)
    }

    /// Measure by which this model's embeddings are compared.
    pub fn similarity_measure(&self) -> Similarity {
        self.model().similarity_measure()
    }

    /// Dimension of an embedding.
    pub fn dimension(&self) -> usize {
        self.model().embedding.width()
    }
}

typed_model!(
    /// A token classifier: labels spans of a text, such as names of people and places, or parts of speech.
    TokenClassifier,
    "token classification",
    |model| model.task() == Task::TokenClassification
);

predicts!(
    TokenClassifier,
    Entities,
    /// Finds the entities of a text, in the order of the text.
    entities,
    /// Finds the entities of a text, in the order of the text, with options.
    entities_with,
    /// Finds the entities of many texts, and returns the answers in the order of the inputs.
    entities_batch,
    /// Finds the entities of many texts, with options.
    entities_batch_with
);

impl<M: Borrow<Model>> TokenClassifier<M> {
    /// Label names, indexed by label id, with `B-` and `I-` if the model has them.
    pub fn labels(&self) -> &[String] {
        self.model().labels()
    }
}

typed_model!(
    /// An extractive question answerer: finds the answer to a question in a context.
    QuestionAnswerer,
    "question answering",
    |model| model.task() == Task::QuestionAnswering
);

impl<M: Borrow<Model>> QuestionAnswerer<M> {
    /// Finds the span of `context` that answers `question`.
    ///
    /// # Errors
    /// Those of [`Model::answer`].
    pub fn answer(&self, question: &str, context: &str) -> Result<Answer> {
        self.model().answer(question, context)
    }

    /// Finds the span of `context` that answers `question`, with options.
    ///
    /// # Errors
    /// Those of [`Model::answer_with`].
    pub fn answer_with(
        &self,
        question: &str,
        context: &str,
        options: &PredictOptions,
    ) -> Result<Answer> {
        self.model().answer_with(question, context, options)
    }

    /// Answers many pairs of a question and a context, and returns the answers in the order of the pairs.
    ///
    /// # Errors
    /// Those of [`Model::predict_batch`].
    pub fn answer_batch<I: AsInput>(
        &self,
        pairs: impl IntoIterator<Item = I>,
    ) -> Result<Vec<Answer>> {
        let predictions = self.model().predict_batch(pairs)?.into_iter();
        predictions
            .map(|prediction| expect!(self, Answer, prediction))
            .collect()
    }

    /// Answers many pairs of a question and a context, with options.
    ///
    /// # Errors
    /// Those of [`Model::predict_batch_with`].
    pub fn answer_batch_with<I: AsInput>(
        &self,
        pairs: impl IntoIterator<Item = I>,
        options: &PredictOptions,
    ) -> Result<Vec<Answer>> {
        let predictions = self.model().predict_batch_with(pairs, options)?.into_iter();
        predictions
            .map(|prediction| expect!(self, Answer, prediction))
            .collect()
    }
}

typed_model!(
    /// A masked-language model: predicts masked words.
    MaskFiller,
    "fill-mask",
    |model| model.task() == Task::FillMask
);

predicts!(
    MaskFiller,
    Fill,
    /// Predicts the likeliest tokens for each mask of a text.
    fill,
    /// Predicts the likeliest tokens for each mask of a text, with options.
    fill_with,
    /// Predicts the likeliest tokens for each mask of many texts.
    fill_batch,
    /// Predicts the likeliest tokens for each mask of many texts, with options.
    fill_batch_with
);

typed_model!(
    /// A reranker: orders passages by their relevance to a query. Wraps a cross-encoder or an embedding model.
    Reranker,
    "reranking",
    |model| {
        let scores = model.task() == Task::Classification && model.labels().len() == 1;
        scores || model.task() == Task::Embedding
    }
);

impl<M: Borrow<Model>> Reranker<M> {
    /// Ranks passages by their relevance to a query, best first.
    ///
    /// # Errors
    /// Those of [`Model::rerank`].
    pub fn rerank<S: AsRef<str>>(
        &self,
        query: &str,
        passages: impl IntoIterator<Item = S>,
    ) -> Result<Vec<Ranked>> {
        self.model().rerank(query, passages)
    }

    /// Ranks passages by their relevance to a query, best first, with options. `top_k` is the number of passages to
    /// return.
    ///
    /// # Errors
    /// Those of [`Model::rerank_with`].
    pub fn rerank_with<S: AsRef<str>>(
        &self,
        query: &str,
        passages: impl IntoIterator<Item = S>,
        options: &PredictOptions,
    ) -> Result<Vec<Ranked>> {
        self.model().rerank_with(query, passages, options)
    }
}

typed_model!(
    /// A zero-shot classifier: an entailment (NLI) model that classifies texts by labels it was not trained on. A model
    /// whose labels have no names (`LABEL_0`, `LABEL_1` ..) needs
    /// [`ZeroShotOptions::entailment_label`](crate::ZeroShotOptions::entailment_label).
    ZeroShot,
    "zero-shot classification",
    |model| {
        let unnamed = || zero_shot::are_unnamed(model.labels()) && model.labels().len() > 1;
        model.task() == Task::Classification && (model.entailment_label().is_some() || unnamed())
    }
);

impl<M: Borrow<Model>> ZeroShot<M> {
    /// Classifies a text by `labels`, of which exactly one holds.
    ///
    /// # Errors
    /// Those of [`Model::zero_shot`].
    pub fn classify<S: AsRef<str>>(
        &self,
        text: &str,
        labels: impl IntoIterator<Item = S>,
    ) -> Result<Classification> {
        self.model().zero_shot(text, labels)
    }

    /// Classifies a text by `labels`, with options.
    ///
    /// # Errors
    /// Those of [`Model::zero_shot_with`].
    pub fn classify_with<S: AsRef<str>>(
        &self,
        text: &str,
        labels: impl IntoIterator<Item = S>,
        options: &PredictOptions,
    ) -> Result<Classification> {
        self.model().zero_shot_with(text, labels, options)
    }

    /// Classifies many texts by the same `labels`, with options, and returns the answers in the order of the texts.
    ///
    /// # Errors
    /// Those of [`Model::zero_shot_with`]; an `Input` error has the index of the text at fault.
    pub fn classify_batch_with<T: AsRef<str>, S: AsRef<str>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        labels: &[S],
        options: &PredictOptions,
    ) -> Result<Vec<Classification>> {
        let classify = |(index, text): (usize, T)| {
            let answer = self.classify_with(text.as_ref(), labels, options);
            answer.map_err(|error| error.at_index(index))
        };
        texts.into_iter().enumerate().map(classify).collect()
    }
}
