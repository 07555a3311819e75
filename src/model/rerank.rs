//! Reranking: orders passages by their relevance to a query.

use serde::{Deserialize, Serialize};

use super::Model;
use super::call::Output;
use super::predict_options::PredictOptions;
use crate::config::Task;
use crate::error::Result;
use crate::tasks::{check_finite, classification};

/// Index and score of a passage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ranked {
    /// Index of the passage among those given, counted from 0.
    pub index: usize,
    /// Relevance to the query; higher is better. From a cross-encoder it is a probability or a raw logit, as the model's
    /// files say; from an embedding model it is the similarity of query and passage.
    pub score: f32,
    /// Number of tokens that the model read of the passage, and of the query if it reads both together.
    #[serde(default)]
    pub n_tokens: usize,
    /// Whether the end of the passage was cut off.
    #[serde(default)]
    pub truncated: bool,
}

impl Model {
    /// Ranks passages by their relevance to a query, best first; passages of equal score keep their order.
    ///
    /// A cross-encoder reads each passage together with the query; the activation that the model's files name, by
    /// default a sigmoid, turns its one logit into the score, as in sentence-transformers' `CrossEncoder`. An embedding
    /// model compares embeddings, with its prompts for queries and passages if it has them. To compare many queries
    /// with the same passages, embed the passages once and use [`Similarity::top_k`](crate::Similarity::top_k).
    ///
    /// # Errors
    /// `WrongTask` for other models; otherwise those of [`predict_batch`](Self::predict_batch).
    pub fn rerank<S: AsRef<str>>(
        &self,
        query: &str,
        passages: impl IntoIterator<Item = S>,
    ) -> Result<Vec<Ranked>> {
        self.rerank_with(query, passages, &self.options.calls)
    }

    /// Ranks passages by their relevance to a query, best first, with options. `top_k` is the number of passages to
    /// return.
    ///
    /// # Errors
    /// Those of [`rerank`](Self::rerank) and [`predict_with`](Self::predict_with).
    pub fn rerank_with<S: AsRef<str>>(
        &self,
        query: &str,
        passages: impl IntoIterator<Item = S>,
        options: &PredictOptions,
    ) -> Result<Vec<Ranked>> {
        let mut ranked = match self.task() {
            Task::Classification if self.labels().len() == 1 => {
                self.score_pairs(query, passages, options)?
            }
            Task::Embedding => self.compare(query, passages, options)?,
            _ => return Err(self.wrong_task("reranking")),
        };
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        ranked.truncate(options.top_k.unwrap_or(usize::MAX));
        Ok(ranked)
    }

    /// Scores each passage together with the query, with a cross-encoder.
    fn score_pairs<S: AsRef<str>>(
        &self,
        query: &str,
        passages: impl IntoIterator<Item = S>,
        options: &PredictOptions,
    ) -> Result<Vec<Ranked>> {
        let call = self.call_for(Output::Logits, options)?;
        let (rank, cpu) = (self.config.head.rank, self.engine.cpu);
        let mut ranked = Vec::new();
        let pairs = passages.into_iter().map(|passage| (query, passage));
        for texts in call.batches_or_error(pairs) {
            let texts = texts?;
            let mut scores = call.outputs(&texts)?;
            check_finite("a logit", &scores)?;
            for (score, text) in scores.iter_mut().zip(&texts) {
                classification::score(rank, cpu, std::slice::from_mut(score));
                ranked.push(Ranked {
                    index: ranked.len(),
                    score: *score,
                    n_tokens: text.n_tokens(),
                    truncated: text.truncated(),
                });
            }
        }
        Ok(ranked)
    }

    /// Compares the embeddings of the passages with that of the query.
    fn compare<S: AsRef<str>>(
        &self,
        query: &str,
        passages: impl IntoIterator<Item = S>,
        options: &PredictOptions,
    ) -> Result<Vec<Ranked>> {
        let query = self.embed_query_with(query, options)?;
        let passages = self.embed_documents_with(passages, options)?;
        let ranked = |(index, passage): (usize, &[f32])| Ranked {
            index,
            score: self.similarity.of(&query.embedding, passage),
            n_tokens: passages.n_tokens(index),
            truncated: passages.truncated(index),
        };
        Ok(passages.iter().enumerate().map(ranked).collect())
    }
}
