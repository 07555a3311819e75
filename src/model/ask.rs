//! Questions of more than one text: embeddings and their likeness, ranking, labels nobody trained.

use ndarray::Array2;
use serde::Serialize;

use super::Model;
use crate::batch::{Encoding, Input};
use crate::config::Task;
use crate::error::{Error, Result};
use crate::tasks::heads::Head;
use crate::tasks::{Classification, Similarity, ZeroShotOptions, classification, zero_shot};
use crate::tokenizer::{Truncation, TruncationStrategy};

/// Names of prompts for what is searched with, and for what is searched in, as sentence-transformers looks for them.
const QUERY_PROMPTS: [&str; 1] = ["query"];
const PASSAGE_PROMPTS: [&str; 3] = ["document", "passage", "corpus"];

/// A passage's place and its score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ranked {
    /// Which of the passages it is, counted from 0.
    pub index: usize,
    /// How well it fits the query; higher is better.
    pub score: f32,
}

impl Model {
    /// A text as a vector.
    ///
    /// Pooling, dense layers, normalisation and the default prompt are those of sentence-transformers' files; without
    /// such files it is the mean of the last hidden states.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn embed(&self, text: &str) -> Result<Vec<f32>> {
        let embeddings = self.embed_batch(&[text])?;
        Ok(embeddings.into_raw_vec_and_offset().0)
    }

    /// Texts as vectors: (texts, width).
    ///
    /// # Errors
    /// As [`predict_batch`](Self::predict_batch).
    pub fn embed_batch<S: AsRef<str>>(&self, texts: &[S]) -> Result<Array2<f32>> {
        self.embed_after(self.prompt(), texts)
    }

    /// Texts as vectors, after the prompt of this name.
    ///
    /// # Errors
    /// `Option` if the model has no such prompt, else as [`predict_batch`](Self::predict_batch).
    pub fn embed_prompted<S: AsRef<str>>(&self, prompt: &str, texts: &[S]) -> Result<Array2<f32>> {
        match self.config.sentence.prompts.get(prompt) {
            Some(prompt) => self.embed_after(Some(prompt.as_str()), texts),
            None => Err(Error::Option {
                name: "prompt",
                reason: format!("the model has no prompt {prompt:?}"),
            }),
        }
    }

    /// How alike two texts are: by default the cosine of their embeddings, from -1 to 1; `similarity_fn_name` of
    /// sentence-transformers' files may ask for another measure.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn similarity(&self, a: &str, b: &str) -> Result<f32> {
        let both = self.embed_batch(&[a, b])?;
        let row = |index| both.row(index).to_vec();
        Ok(self.similarity.of(&row(0), &row(1)))
    }

    /// How this model's embeddings are to be compared.
    pub fn similarity_measure(&self) -> Similarity {
        self.similarity
    }

    /// Passages in the order in which they fit a query, best first; equal ones in their own order.
    ///
    /// A cross-encoder reads each passage together with the query, and its one logit becomes the score by the activation
    /// that the model's files name, else by a sigmoid, as `CrossEncoder` of sentence-transformers has it. An embedding model
    /// compares embeddings, with the prompts for queries and passages if it has them.
    ///
    /// # Errors
    /// `WrongTask` for other models, else as [`predict_batch`](Self::predict_batch).
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

    /// Which of `labels` a text is about, by a model of entailment (NLI).
    ///
    /// # Errors
    /// `WrongTask` for a model that is no classifier, `Input` for one whose files do not say which of its labels means
    /// entailment unless the options do, `Option` for a template without `{}` and for a label that the model does not have.
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
        let read = |label: &&str| {
            let hypothesis = options.hypothesis(label)?;
            let pair = (text, hypothesis.as_str());
            self.tokenizer.encode(pair, Some(&truncation))
        };
        for encodings in self.gathered(labels.iter().map(read), Encoding::len) {
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

    /// The label that means entailment, of a model of entailment (NLI) whose files name it: the one that begins with
    /// "entail".
    ///
    /// [`zero_shot`](Self::zero_shot) goes by it unless [`ZeroShotOptions::entailment_label`] names another.
    pub fn entailment_label(&self) -> Option<&str> {
        let id = self.config.head.entailment?;
        match self.task() {
            Task::Classification => self.labels().get(id).map(String::as_str),
            _ => None,
        }
    }

    fn compare<S: AsRef<str>>(&self, query: &str, passages: &[S]) -> Result<Vec<f32>> {
        let prompts = &self.config.sentence.prompts;
        let own = |names: &'static [&str]| -> Option<&str> {
            names
                .iter()
                .copied()
                .find(|&name| prompts.contains_key(name))
        };
        let query = match own(&QUERY_PROMPTS) {
            Some(prompt) => self.embed_prompted(prompt, &[query])?,
            None => self.embed_batch(&[query])?,
        };
        let passages = match own(&PASSAGE_PROMPTS) {
            Some(prompt) => self.embed_prompted(prompt, passages)?,
            None => self.embed_batch(passages)?,
        };
        let query = query.row(0).to_vec();
        let rows = passages.outer_iter();
        Ok(rows
            .map(|row| self.similarity.of(&query, &row.to_vec()))
            .collect())
    }

    /// What goes ahead of each text to embed: the caller's choice, else the model's own.
    pub(super) fn prompt(&self) -> Option<&str> {
        let sentence = &self.config.sentence;
        let chosen = self.options.prompt.as_ref();
        let name = chosen.or(sentence.default_prompt.as_ref())?;
        sentence.prompts.get(name).map(String::as_str)
    }

    /// How many tokens at the front of a text are the prompt's and, as the model's files may say, are not pooled.
    pub(super) fn unpooled(&self, prompt: Option<&str>) -> Result<usize> {
        match prompt {
            // The prompt as the tokenizer sees it, without the special token that ends a text.
            Some(prompt) if !prompt.is_empty() && !self.embedding.includes_prompt() => {
                let encoding = self.read(Input::Text(prompt))?;
                let ends = encoding.sequences.last() == Some(&None);
                Ok(encoding.len() - usize::from(ends))
            }
            _ => Ok(0),
        }
    }

    /// Texts as vectors after a prompt, whose tokens are pooled or not as the model's files say.
    fn embed_after<S: AsRef<str>>(&self, prompt: Option<&str>, texts: &[S]) -> Result<Array2<f32>> {
        let mut vectors = Vec::with_capacity(texts.len() * self.embedding.width());
        let skip = self.unpooled(prompt)?;
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        self.in_chunks(&texts, prompt, |chunk| {
            let encodings = chunk.iter().map(|(_, encoding)| encoding);
            vectors.extend(self.embed_encodings(encodings, skip)?);
            Ok(())
        })?;
        self.array(vectors, self.embedding.width())
    }
}
