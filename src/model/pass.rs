//! Passes through the encoder: which texts are computed together, and in which memory.

use std::sync::PoisonError;

use ndarray::Array2;

use super::Model;
use crate::batch::{Batch, Encoding, Input};
use crate::error::{Error, Result};
use crate::kernels::Compute;
use crate::layers::Scratch;
use crate::tasks::finite;
use crate::tasks::heads::Head;

/// Tokens that are computed together: enough to keep every core in large products, few enough to stay in its caches.
const TOKENS_PER_PASS: usize = 1024;

impl Model {
    /// The last hidden states of a text or a pair: (tokens, hidden).
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn encode<'a>(&self, input: impl Into<Input<'a>>) -> Result<Array2<f32>> {
        let encoding = self.read(input.into())?;
        let rows = self.forward([&encoding], |_, _, rows| Ok(rows.to_vec()))?;
        finite("a hidden state", &rows)?;
        self.array(rows, self.encoder.hidden())
    }

    /// The last hidden states, (tokens, hidden), of texts that are tokens already; of each the same bits as alone.
    ///
    /// Only ids and type ids are looked at. A text may be as long as the model has
    /// [positions](Self::max_positions), whatever [`max_length`](Self::max_length) says.
    ///
    /// ```no_run
    /// # fn main() -> bertless::Result<()> {
    /// let model = bertless::Model::load("path/to/a/model")?;
    /// let states = model.encode_batch(&[bertless::Encoding::from_ids(vec![101, 7592, 102])])?;
    /// assert_eq!(states[0].nrows(), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Input` for a text without a token or with another number of type ids than of ids, `EmbeddingOutOfRange` for an
    /// id, a type or a length that the model's tables have no row for, `NonFinite` if the weights lead to no number.
    pub fn encode_batch(&self, encodings: &[Encoding]) -> Result<Vec<Array2<f32>>> {
        for (index, encoding) in encodings.iter().enumerate() {
            let (ids, types) = (encoding.ids.len(), encoding.type_ids.len());
            if ids == 0 || ids != types {
                return Err(Error::Input {
                    reason: format!("input {index}: {types} type ids for {ids} tokens"),
                });
            }
        }
        let hidden = self.encoder.hidden();
        let mut states = Vec::with_capacity(encodings.len());
        let mut rest = encodings;
        while !rest.is_empty() {
            let (chunk, more) = rest.split_at(fitting(rest));
            rest = more;
            let rows = self.forward(chunk, |_, _, rows| Ok(rows.to_vec()))?;
            finite("a hidden state", &rows)?;
            let mut rows = rows.as_slice();
            for encoding in chunk {
                let own;
                (own, rows) = rows.split_at(encoding.len() * hidden);
                states.push(self.array(own.to_vec(), hidden)?);
            }
        }
        Ok(states)
    }

    /// All hidden states of a text or a pair: after the embeddings, then after each layer, each (tokens, hidden).
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn hidden_states<'a>(&self, input: impl Into<Input<'a>>) -> Result<Vec<Array2<f32>>> {
        let encoding = self.read(input.into())?;
        let batch = batch([&encoding])?;
        let mut states = Vec::new();
        let (compute, mut scratch) = self.begin();
        let passed = self
            .encoder
            .forward(&compute, &batch, &mut scratch, |_, rows| {
                states.push(rows.to_vec());
            });
        passed.map(|_| ())?;
        self.end(compute, scratch);
        states
            .into_iter()
            .map(|rows| self.array(rows, self.encoder.hidden()))
            .collect()
    }

    /// The head's logits for a text or a pair: (1, labels) of a classifier, (tokens, labels) of a token classifier,
    /// (tokens, 2) of a question answerer, (tokens, vocabulary) of a masked-language model.
    ///
    /// # Errors
    /// `WrongTask` for a model without a head, else as [`predict`](Self::predict).
    pub fn logits<'a>(&self, input: impl Into<Input<'a>>) -> Result<Array2<f32>> {
        let encoding = self.read(input.into())?;
        match &self.head {
            Head::Rows => Err(self.wrong_task("logits")),
            Head::Sequence(head) => {
                let logits = self.forward([&encoding], |compute, batch, rows| {
                    Ok(head.forward(compute, rows, &batch.starts))
                })?;
                self.array(logits, self.labels().len())
            }
            Head::Tokens(head) => self.array(self.token_logits([&encoding])?, head.outputs()),
            Head::Words(_) => {
                let logits = self.word_logits([&encoding], |_| true)?;
                self.array(logits, self.config.encoder.vocab_size)
            }
        }
    }

    /// Logits of all tokens, (tokens, columns), of a head that has them.
    pub(super) fn token_logits<'e>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
    ) -> Result<Vec<f32>> {
        let Head::Tokens(head) = &self.head else {
            return Err(self.wrong_task("labels of tokens"));
        };
        self.forward(encodings, |compute, batch, rows| {
            let mut logits = vec![0.0; batch.rows() * head.outputs()];
            head.forward(compute, rows, &mut logits);
            Ok(logits)
        })
    }

    /// Logits over the vocabulary, (chosen tokens, vocabulary), of the tokens whose id is chosen.
    pub(super) fn word_logits<'e>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
        chosen: impl Fn(&u32) -> bool,
    ) -> Result<Vec<f32>> {
        let Head::Words(head) = &self.head else {
            return Err(self.wrong_task("words for masks"));
        };
        let hidden = self.encoder.hidden();
        self.forward(encodings, |compute, batch, rows| {
            let rows = rows.chunks_exact(hidden).zip(&batch.ids);
            let rows = rows.filter(|(_, id)| chosen(id));
            let rows: Vec<f32> = rows.flat_map(|(row, _)| row.iter().copied()).collect();
            head.forward(compute, &rows, &self.encoder)
        })
    }

    /// Embeddings, (texts, width); the first `skip` tokens of each text are not pooled.
    pub(super) fn embed_encodings<'e>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
        skip: usize,
    ) -> Result<Vec<f32>> {
        let vectors = self.forward(encodings, |compute, batch, rows| {
            Ok(self.embedding.forward(compute, rows, &batch.starts, skip))
        })?;
        finite("an embedding", &vectors)?;
        Ok(vectors)
    }

    /// Passes texts through the encoder together, and their rows through `head`.
    pub(super) fn forward<'e, T>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
        head: impl FnOnce(&Compute, &Batch, &[f32]) -> Result<T>,
    ) -> Result<T> {
        let batch = batch(encodings)?;
        let (compute, mut scratch) = self.begin();
        let rows = self
            .encoder
            .forward(&compute, &batch, &mut scratch, |_, _| {});
        let out = rows.and_then(|rows| head(&compute, &batch, rows));
        self.end(compute, scratch);
        out
    }

    /// Reads texts, each after a prompt if there is one, and hands them on, as many at a time as are computed together.
    pub(super) fn in_chunks<'a, I>(
        &self,
        inputs: &'a [I],
        prompt: Option<&str>,
        mut pass: impl FnMut(&[(Input<'a>, Encoding)]) -> Result<()>,
    ) -> Result<()>
    where
        &'a I: Into<Input<'a>>,
    {
        let mut chunk: Vec<(Input<'a>, Encoding)> = Vec::new();
        let (mut first, mut tokens) = (0, 0);
        for (index, input) in inputs.iter().enumerate() {
            let input = input.into();
            let encoding = self.read_after(prompt, input);
            let encoding = encoding.map_err(|error| about(error, index))?;
            if !chunk.is_empty() && tokens + encoding.len() > TOKENS_PER_PASS {
                self.pass_chunk(&chunk, first, &mut pass)?;
                chunk.clear();
                (first, tokens) = (index, 0);
            }
            tokens += encoding.len();
            chunk.push((input, encoding));
        }
        match chunk.is_empty() {
            true => Ok(()),
            false => self.pass_chunk(&chunk, first, &mut pass),
        }
    }

    /// Passes a chunk; if a text of it is at fault, finds out which.
    fn pass_chunk<'a>(
        &self,
        chunk: &[(Input<'a>, Encoding)],
        first: usize,
        pass: &mut impl FnMut(&[(Input<'a>, Encoding)]) -> Result<()>,
    ) -> Result<()> {
        match pass(chunk) {
            Err(error @ Error::Input { .. }) => {
                let fault =
                    |at: &usize| matches!(self.predict(chunk[*at].0), Err(Error::Input { .. }));
                match (0..chunk.len()).find(fault) {
                    Some(at) => Err(about(error, first + at)),
                    None => Err(error),
                }
            }
            other => other,
        }
    }

    pub(super) fn array(&self, numbers: Vec<f32>, width: usize) -> Result<Array2<f32>> {
        let rows = numbers.len() / width.max(1);
        Array2::from_shape_vec((rows, width), numbers).map_err(|error| Error::Input {
            reason: error.to_string(),
        })
    }

    pub(super) fn wrong_task(&self, wanted: &'static str) -> Error {
        Error::WrongTask {
            wanted,
            found: self.task().name(),
        }
    }

    /// What a pass computes with, and in.
    fn begin(&self) -> (Compute, Scratch) {
        let mut pool = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = pool.pop().unwrap_or_default();
        drop(pool);
        let mut compute = self.engine.compute();
        *compute.quantized.get_mut() = std::mem::take(&mut scratch.quantized);
        (compute, scratch)
    }

    /// Keeps the memory of a pass for another one.
    fn end(&self, compute: Compute, mut scratch: Scratch) {
        scratch.quantized = compute.quantized.into_inner();
        let mut pool = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        // More callers at once than threads are rare, and what they leave would stay for good.
        if pool.len() < self.engine.threads.count() {
            pool.push(scratch);
        }
    }
}

/// How many of these texts are computed together: at least one.
fn fitting(encodings: &[Encoding]) -> usize {
    let mut tokens = 0;
    let fits = encodings.iter().take_while(|encoding| {
        tokens += encoding.len();
        tokens <= TOKENS_PER_PASS
    });
    fits.count().clamp(1, encodings.len())
}

/// Texts to compute together. One without a token, which only a tokenizer without special tokens makes, has no answer.
fn batch<'e>(encodings: impl IntoIterator<Item = &'e Encoding>) -> Result<Batch> {
    let batch = Batch::new(encodings);
    match batch.starts.windows(2).any(|text| text[0] == text[1]) {
        true => Err(Error::Input {
            reason: "there is no token in the text, and the tokenizer puts none around it"
                .to_owned(),
        }),
        false => Ok(batch),
    }
}

/// An error about one of several texts.
fn about(error: Error, index: usize) -> Error {
    match error {
        Error::Input { reason } => Error::Input {
            reason: format!("input {index}: {reason}"),
        },
        other => other,
    }
}
