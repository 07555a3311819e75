//! Embeddings and what builds on several texts: similarity, reranking and zero-shot classification.

use ndarray::Array2;
use serde::Serialize;

use super::Model;
use crate::batch::{Encoding, Input};
use crate::config::Task;
use crate::error::{Error, Result};
use crate::tasks::heads::Head;
use crate::tasks::{Classification, Similarity, ZeroShotOptions, classification, zero_shot};
use crate::tokenizer::{Truncation, TruncationStrategy};

/// Names of the prompts for queries and for passages, as sentence-transformers looks for them.
const QUERY_PROMPTS: [&str; 1] = ["query"];
const PASSAGE_PROMPTS: [&str; 3] = ["document", "passage", "corpus"];

/// Index and score of a passage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ranked {
    /// Index of the passage among those given, counted from 0.
    pub index: usize,
    /// Relevance to the query; higher is better.
    pub score: f32,
}

impl Model {
    /// Computes the embedding of a text.
    ///
    /// Pooling, dense layers, normalisation and the default prompt are those of sentence-transformers' files; without
    /// such files the embedding is the mean of the last hidden states.
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict).
    pub fn embed(&self, text: &str) -> Result<Vec<f32>> {
        let embeddings = self.embed_batch(&[text])?;
        Ok(embeddings.into_raw_vec_and_offset().0)
    }

    /// Texts as vectors: (texts, width).
    ///
    /// # Errors
    /// Those of [`predict_batch`](Self::predict_batch).
    pub fn embed_batch<S: AsRef<str>>(&self, texts: &[S]) -> Result<Array2<f32>> {
        self.embed_texts(self.prompt(), texts)
    }

    /// Computes the embeddings of texts, (texts, width), with the prompt of this name in front of each.
    ///
    /// # Errors
    /// `Option` if the model has no such prompt; otherwise those of [`predict_batch`](Self::predict_batch).
    pub fn embed_prompted<S: AsRef<str>>(&self, prompt: &str, texts: &[S]) -> Result<Array2<f32>> {
        match self.config.sentence.prompts.get(prompt) {
            Some(prompt) => self.embed_texts(Some(prompt.as_str()), texts),
            None => Err(Error::Option {
                name: "prompt",
                reason: format!("the model has no prompt {prompt:?}"),
            }),
        }
    }

    /// Computes the similarity of two texts: by default the cosine of their embeddings, from -1 to 1, or the measure
    /// that `similarity_fn_name` of sentence-transformers' files names.
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict).
    pub fn similarity(&self, a: &str, b: &str) -> Result<f32> {
        let both = self.embed_batch(&[a, b])?;
        let row = |index| both.row(index).to_vec();
        Ok(self.similarity.of(&row(0), &row(1)))
    }

    /// Measure by which this model's embeddings are compared.
    pub fn similarity_measure(&self) -> Similarity {
        self.similarity
    }

    /// Ranks passages by their relevance to a query, best first; passages of equal score keep their order.
    ///
    /// A cross-encoder reads each passage together with the query; the activation that the model's files name, by
    /// default a sigmoid, turns its one logit into the score, as in sentence-transformers' `CrossEncoder`. An embedding
    /// model compares embeddings, with its prompts for queries and passages if it has them.
    ///
    /// # Errors
    /// `WrongTask` for other models; otherwise those of [`predict_batch`](Self::predict_batch).
    pub fn rerank<S: AsRef<str>>(&self, query: &str, passages: &[S]) -> Result<Vec<Ranked>> {
        let scores: Vec<f32> = match self.task() {
            Task::Classification if self.labels().len() == 1 => {
                let pairs: Vec<_> = passages.iter().map(|p| (query, p.as_ref())).collect();
                let mut scores = self.logits_batch(&pairs)?.into_raw_vec_and_offset().0;
                let (rank, cpu) = (self.config.head.rank, self.engine.cpu);
                for score in scores.chunks_mut(1) {
                    classification::score(rank, cpu, score);
                }
                scores
            }
            Task::Embedding => self.compare(query, passages)?,
            _ => return Err(self.wrong_task("reranking")),
        };
        let ranked = |(index, score): (usize, f32)| Ranked { index, score };
        let mut ranked: Vec<Ranked> = scores.into_iter().enumerate().map(ranked).collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(ranked)
    }

    /// Classifies a text by labels that the model was not trained on, with an entailment (NLI) model.
    ///
    /// # Errors
    /// `WrongTask` if the model is not a classifier, `Input` if neither its files nor the options say which of its
    /// labels means entailment, `Option` for a template without `{}` and for an entailment label that the model does
    /// not have.
    pub fn zero_shot<S: AsRef<str>>(
        &self,
        text: &str,
        labels: &[S],
        options: &ZeroShotOptions,
    ) -> Result<Classification> {
        let Head::Sequence(head) = &self.head else {
            return Err(self.wrong_task("zero-shot classification"));
        };
        let labels: Vec<&str> = labels.iter().map(AsRef::as_ref).collect();
        let entailment = zero_shot::entailment(&self.config.head, options)?;
        let truncation = Truncation {
            strategy: TruncationStrategy::OnlyFirst,
            ..Truncation::to(self.max_length)
        };
        let (mut logits, mut n_tokens, mut truncated) = (Vec::new(), 0, false);
        let tokenize = |label: &&str| {
            let hypothesis = options.hypothesis(label)?;
            let pair = (text, hypothesis.as_str());
            self.tokenizer.encode(pair, Some(&truncation))
        };
        for encodings in self.token_batches(labels.iter().map(tokenize), Encoding::len) {
            let encodings = encodings?;
            n_tokens += encodings.iter().map(Encoding::len).sum::<usize>();
            truncated |= encodings.iter().any(|encoding| encoding.truncated);
            logits.extend(self.text_logits(head, &encodings)?);
        }
        let count = self.labels().len();
        let cpu = self.engine.cpu;
        let mut answer = zero_shot::decode(&logits, count, entailment, &labels, options, cpu)?;
        answer.n_tokens = n_tokens;
        answer.truncated = truncated;
        Ok(answer)
    }

    /// Label of an entailment (NLI) model that means entailment: the one that begins with "entail". `None` if there is
    /// no such label.
    ///
    /// [`zero_shot`](Self::zero_shot) uses it unless [`ZeroShotOptions::entailment_label`] names another.
    pub fn entailment_label(&self) -> Option<&str> {
        let id = self.config.head.entailment?;
        match self.task() {
            Task::Classification => self.labels().get(id).map(String::as_str),
            _ => None,
        }
    }

    fn compare<S: AsRef<str>>(&self, query: &str, passages: &[S]) -> Result<Vec<f32>> {
        let prompts = &self.config.sentence.prompts;
        let find = |names: &'static [&str]| -> Option<&str> {
            names
                .iter()
                .copied()
                .find(|&name| prompts.contains_key(name))
        };
        let query = match find(&QUERY_PROMPTS) {
            Some(prompt) => self.embed_prompted(prompt, &[query])?,
            None => self.embed_batch(&[query])?,
        };
        let passages = match find(&PASSAGE_PROMPTS) {
            Some(prompt) => self.embed_prompted(prompt, passages)?,
            None => self.embed_batch(passages)?,
        };
        let query = query.row(0).to_vec();
        let rows = passages.outer_iter();
        Ok(rows
            .map(|row| self.similarity.of(&query, &row.to_vec()))
            .collect())
    }

    /// Prompt that goes in front of each text to embed: the one that the options name, else the model's default.
    pub(super) fn prompt(&self) -> Option<&str> {
        let sentence = &self.config.sentence;
        let chosen = self.options.prompt.as_ref();
        let name = chosen.or(sentence.default_prompt.as_ref())?;
        sentence.prompts.get(name).map(String::as_str)
    }

    /// Number of tokens at the front of a text that belong to the prompt and are left out of pooling; 0 if the model's
    /// files include the prompt in pooling.
    pub(super) fn tokens_to_skip(&self, prompt: Option<&str>) -> Result<usize> {
        match prompt {
            // The prompt's tokens, without the special token at the end.
            Some(prompt) if !prompt.is_empty() && !self.embedding.includes_prompt() => {
                let encoding = self.tokenize(Input::Text(prompt))?;
                let ends = encoding.sequences.last() == Some(&None);
                Ok(encoding.len() - usize::from(ends))
            }
            _ => Ok(0),
        }
    }

    /// Computes the embeddings of texts after a prompt. The model's files say whether its tokens are pooled.
    fn embed_texts<S: AsRef<str>>(&self, prompt: Option<&str>, texts: &[S]) -> Result<Array2<f32>> {
        let mut vectors = Vec::with_capacity(texts.len() * self.embedding.width());
        let skip = self.tokens_to_skip(prompt)?;
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        self.for_each_batch(&texts, prompt, |texts| {
            let encodings = texts.iter().map(|(_, encoding)| encoding);
            vectors.extend(self.embed_encodings(encodings, skip)?);
            Ok(())
        })?;
        self.array(vectors, self.embedding.width())
    }
}
