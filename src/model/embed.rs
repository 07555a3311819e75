//! Embeddings of texts, and the similarity of two texts.

use super::Model;
use super::call::Output;
use super::predict_options::{PredictOptions, Prompt};
use crate::batch::{AsInput, Input};
use crate::error::{Error, Result};
use crate::tasks::{Embedding, Embeddings, Similarity};

/// Names of the prompts for queries and for passages, as sentence-transformers looks for them.
const QUERY_PROMPTS: [&str; 1] = ["query"];
const DOCUMENT_PROMPTS: [&str; 3] = ["document", "passage", "corpus"];

impl Model {
    /// Computes the embedding of a text.
    ///
    /// Pooling, dense layers, normalisation and the default prompt are those of sentence-transformers' files; without
    /// such files the embedding is the mean of the last hidden states.
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict).
    pub fn embed(&self, text: impl AsRef<str>) -> Result<Embedding> {
        self.embed_with(text, &self.options.calls)
    }

    /// Computes the embedding of a text, with options.
    ///
    /// # Errors
    /// Those of [`predict_with`](Self::predict_with).
    pub fn embed_with(&self, text: impl AsRef<str>, options: &PredictOptions) -> Result<Embedding> {
        let embeddings = self
            .embed_batch_with([text], options)
            .map_err(without_index)?;
        Ok(embeddings.into_single())
    }

    /// Computes the embeddings of texts, in the order of the texts.
    ///
    /// ```
    /// # fn main() -> bertless::Result<()> {
    /// # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/sentence-mean");
    /// let model = bertless::Model::load(dir)?;
    /// let embeddings = model.embed_batch(["A man eats.", "It rains."])?;
    /// assert_eq!(embeddings.len(), 2);
    /// assert_eq!(embeddings[0].len(), embeddings.dim());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`predict_batch`](Self::predict_batch).
    pub fn embed_batch<S: AsRef<str>>(
        &self,
        texts: impl IntoIterator<Item = S>,
    ) -> Result<Embeddings> {
        self.embed_batch_with(texts, &self.options.calls)
    }

    /// Computes the embeddings of texts, with options.
    ///
    /// # Errors
    /// Those of [`predict_batch_with`](Self::predict_batch_with).
    pub fn embed_batch_with<S: AsRef<str>>(
        &self,
        texts: impl IntoIterator<Item = S>,
        options: &PredictOptions,
    ) -> Result<Embeddings> {
        let call = self.call_for(Output::Embeddings, options)?;
        let mut embeddings = Embeddings::new(self.embedding.width());
        for texts in call.batches_or_error(texts.into_iter().map(Text)) {
            let texts = texts?;
            let vectors = call.outputs(&texts)?;
            let counts = texts.iter().map(|text| (text.n_tokens(), text.truncated()));
            embeddings.extend(vectors, counts);
        }
        Ok(embeddings)
    }

    /// Computes the embedding of a query, with the model's prompt for queries in front if it has one.
    ///
    /// # Errors
    /// Those of [`embed`](Self::embed).
    pub fn embed_query(&self, query: impl AsRef<str>) -> Result<Embedding> {
        self.embed_query_with(query, &self.options.calls)
    }

    /// Computes the embedding of a query, with options. A prompt of the options goes before the model's prompt for
    /// queries.
    ///
    /// # Errors
    /// Those of [`embed_with`](Self::embed_with).
    pub fn embed_query_with(
        &self,
        query: impl AsRef<str>,
        options: &PredictOptions,
    ) -> Result<Embedding> {
        self.embed_with(query, &self.with_prompt(options, &QUERY_PROMPTS))
    }

    /// Computes the embeddings of documents, with the model's prompt for documents in front if it has one.
    ///
    /// # Errors
    /// Those of [`embed_batch`](Self::embed_batch).
    pub fn embed_documents<S: AsRef<str>>(
        &self,
        documents: impl IntoIterator<Item = S>,
    ) -> Result<Embeddings> {
        self.embed_documents_with(documents, &self.options.calls)
    }

    /// Computes the embeddings of documents, with options. A prompt of the options goes before the model's prompt for
    /// documents.
    ///
    /// # Errors
    /// Those of [`embed_batch_with`](Self::embed_batch_with).
    pub fn embed_documents_with<S: AsRef<str>>(
        &self,
        documents: impl IntoIterator<Item = S>,
        options: &PredictOptions,
    ) -> Result<Embeddings> {
        self.embed_batch_with(documents, &self.with_prompt(options, &DOCUMENT_PROMPTS))
    }

    /// Computes the similarity of two texts: by default the cosine of their embeddings, from -1 to 1, or the measure
    /// that `similarity_fn_name` of sentence-transformers' files names.
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict).
    pub fn similarity(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> Result<f32> {
        let both = self.embed_batch([a.as_ref(), b.as_ref()])?;
        Ok(self.similarity.of(&both[0], &both[1]))
    }

    /// Measure by which this model's embeddings are compared.
    pub fn similarity_measure(&self) -> Similarity {
        self.similarity
    }

    /// Options with the first of the named prompts that the model has, unless they have a prompt already.
    fn with_prompt(&self, options: &PredictOptions, names: &[&str]) -> PredictOptions {
        let mut options = options.clone();
        if options.prompt == Prompt::Default {
            let prompts = &self.config.sentence.prompts;
            if let Some(name) = names.iter().find(|name| prompts.contains_key(**name)) {
                options.prompt = Prompt::Named((*name).to_owned());
            }
        }
        options
    }
}

/// A text to embed.
struct Text<S>(S);

impl<S: AsRef<str>> AsInput for Text<S> {
    fn as_input(&self) -> Input<'_> {
        Input::Text(self.0.as_ref())
    }
}

/// Removes the index from the error of a call with a single text.
fn without_index(error: Error) -> Error {
    match error {
        Error::Input { reason, .. } => Error::input(reason),
        other => other,
    }
}
