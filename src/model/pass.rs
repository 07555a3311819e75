//! Forward passes: chooses the texts that are computed together and the buffers for them.

use ndarray::Array2;

use super::Model;
use crate::batch::{Batch, Encoding, Input, OutputRows};
use crate::error::{Error, Result};
use crate::kernels::ExecContext;
use crate::tasks::check_finite;
use crate::tasks::heads::{Head, SequenceHead};

/// Number of tokens per thread that are computed together: enough for large matrix products, few enough that most of
/// what goes from layer to layer stays in a core's L2 cache (1,024 take 1 to 2 % longer).
const TOKENS_PER_THREAD: usize = 256;

impl Model {
    /// Computes the last hidden states of a text or a pair: (tokens, hidden).
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict).
    pub fn encode<'a>(&self, input: impl Into<Input<'a>>) -> Result<Array2<f32>> {
        let encoding = self.tokenize(input.into())?;
        let rows = self.forward([&encoding], |_, _, rows| Ok(rows.to_vec()))?;
        check_finite("a hidden state", &rows)?;
        self.array(rows, self.encoder.hidden_size())
    }

    /// Computes the last hidden states, (tokens, hidden), of texts that are tokenized already. Those of a text do not
    /// depend on the other texts, bit for bit.
    ///
    /// Reads only `ids` and `type_ids` of an encoding. A text may have as many tokens as the model has
    /// [positions](Self::max_positions), even if [`max_length`](Self::max_length) is less.
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
    /// `Input` for a text without a token or with unequal numbers of ids and type ids, `EmbeddingOutOfRange` for an id,
    /// a type id or a length that the model's tables have no row for, `NonFinite` if the weights lead to NaN or
    /// infinity.
    pub fn encode_batch(&self, encodings: &[Encoding]) -> Result<Vec<Array2<f32>>> {
        check(encodings)?;
        let hidden = self.encoder.hidden_size();
        let mut states = Vec::with_capacity(encodings.len());
        for texts in self.token_batches(encodings.iter().map(Ok), |encoding| encoding.len()) {
            self.forward(texts?, |_, batch, rows| {
                check_finite("a hidden state", rows)?;
                for text in batch.starts.windows(2) {
                    let text_rows = &rows[text[0] * hidden..text[1] * hidden];
                    states.push(self.array(text_rows.to_vec(), hidden)?);
                }
                Ok(())
            })?;
        }
        Ok(states)
    }

    /// Computes all hidden states of a text or a pair: after the embeddings, then after each layer, each (tokens,
    /// hidden).
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict).
    pub fn hidden_states<'a>(&self, input: impl Into<Input<'a>>) -> Result<Vec<Array2<f32>>> {
        let encoding = self.tokenize(input.into())?;
        let mut states = Vec::new();
        let observe = |_: usize, rows: &[f32]| states.push(rows.to_vec());
        self.forward_observed([&encoding], OutputRows::All, observe, |_, _, _| Ok(()))?;
        let array = |rows: Vec<f32>| {
            check_finite("a hidden state", &rows)?;
            self.array(rows, self.encoder.hidden_size())
        };
        states.into_iter().map(array).collect()
    }

    /// Computes the head's logits for a text or a pair: (1, labels) for a classifier, (tokens, labels) for a token
    /// classifier, (tokens, 2) for a question answerer, (tokens, vocabulary) for a masked-language model.
    ///
    /// # Errors
    /// `WrongTask` for a model without a head; otherwise those of [`predict`](Self::predict).
    pub fn logits<'a>(&self, input: impl Into<Input<'a>>) -> Result<Array2<f32>> {
        let encoding = self.tokenize(input.into())?;
        let (logits, width) = match &self.head {
            Head::None => return Err(self.wrong_task("logits")),
            Head::Sequence(head) => {
                let logits = self.text_logits(head, [&encoding])?;
                (logits, self.labels().len())
            }
            Head::Tokens(head) => (self.token_logits([&encoding])?, head.outputs()),
            Head::MaskedLm(_) => {
                let logits = self.mlm_logits([&encoding], |_| true)?;
                (logits, self.config.encoder.vocab_size)
            }
        };
        check_finite("a logit", &logits)?;
        self.array(logits, width)
    }

    /// Computes a classifier's logits for texts or pairs: (texts, labels). Those of a text do not depend on the other
    /// texts, bit for bit.
    ///
    /// # Errors
    /// `WrongTask` for other models; otherwise those of [`predict_batch`](Self::predict_batch).
    pub fn logits_batch<'a, I>(&self, inputs: &'a [I]) -> Result<Array2<f32>>
    where
        &'a I: Into<Input<'a>>,
    {
        let Head::Sequence(head) = &self.head else {
            return Err(self.wrong_task("labels of texts"));
        };
        let mut logits = Vec::with_capacity(inputs.len() * self.labels().len());
        self.for_each_batch(inputs, None, |texts| {
            let encodings = texts.iter().map(|(_, encoding)| encoding);
            logits.extend(self.text_logits(head, encodings)?);
            Ok(())
        })?;
        check_finite("a logit", &logits)?;
        self.array(logits, self.labels().len())
    }

    /// Computes a classifier's logits, (texts, labels), of texts that are tokenized already, as for
    /// [`encode_batch`](Self::encode_batch). Those of a text do not depend on the other texts, bit for bit.
    ///
    /// # Errors
    /// `WrongTask` for other models; otherwise those of `encode_batch`.
    pub fn logits_of_encodings(&self, encodings: &[Encoding]) -> Result<Array2<f32>> {
        let Head::Sequence(head) = &self.head else {
            return Err(self.wrong_task("labels of texts"));
        };
        check(encodings)?;
        let mut logits = Vec::with_capacity(encodings.len() * self.labels().len());
        for texts in self.token_batches(encodings.iter().map(Ok), |encoding| encoding.len()) {
            logits.extend(self.text_logits(head, texts?)?);
        }
        check_finite("a logit", &logits)?;
        self.array(logits, self.labels().len())
    }

    /// Computes a sequence head's logits, (texts, labels), from the first row of each text.
    pub(super) fn text_logits<'e>(
        &self,
        head: &SequenceHead,
        encodings: impl IntoIterator<Item = &'e Encoding>,
    ) -> Result<Vec<f32>> {
        self.forward_observed(
            encodings,
            OutputRows::First,
            |_, _| {},
            |exec, _, rows| Ok(head.forward(exec, rows)),
        )
    }

    /// Computes the logits of all tokens, (tokens, head outputs), of a token head.
    pub(super) fn token_logits<'e>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
    ) -> Result<Vec<f32>> {
        let Head::Tokens(head) = &self.head else {
            return Err(self.wrong_task("labels of tokens"));
        };
        self.forward(encodings, |exec, batch, rows| {
            let mut logits = vec![0.0; batch.rows() * head.outputs()];
            head.forward(exec, rows, &mut logits);
            Ok(logits)
        })
    }

    /// Computes logits over the vocabulary, (chosen tokens, vocabulary), for the tokens whose id is chosen.
    pub(super) fn mlm_logits<'e>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
        chosen: impl Fn(&u32) -> bool,
    ) -> Result<Vec<f32>> {
        let Head::MaskedLm(head) = &self.head else {
            return Err(self.wrong_task("words for masks"));
        };
        let hidden = self.encoder.hidden_size();
        self.forward(encodings, |exec, batch, rows| {
            let rows = rows.chunks_exact(hidden).zip(&batch.ids);
            let rows = rows.filter(|(_, id)| chosen(id));
            let rows: Vec<f32> = rows.flat_map(|(row, _)| row.iter().copied()).collect();
            head.forward(exec, &rows, &self.encoder)
        })
    }

    /// Computes embeddings, (texts, width). The first `skip` tokens of each text are not pooled.
    pub(super) fn embed_encodings<'e>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
        skip: usize,
    ) -> Result<Vec<f32>> {
        let outputs = if self.embedding.cls_only() && skip == 0 {
            OutputRows::First
        } else {
            OutputRows::All
        };
        let vectors = self.forward_observed(
            encodings,
            outputs,
            |_, _| {},
            |exec, batch, rows| {
                let starts = batch.starts_of(outputs);
                Ok(self.embedding.forward(exec, rows, &starts, skip))
            },
        )?;
        check_finite("an embedding", &vectors)?;
        Ok(vectors)
    }

    /// Runs texts through the encoder together, and all their rows through `head`.
    pub(super) fn forward<'e, T>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
        head: impl FnOnce(&ExecContext, &Batch, &[f32]) -> Result<T>,
    ) -> Result<T> {
        self.forward_observed(encodings, OutputRows::All, |_, _| {}, head)
    }

    /// Runs texts through the encoder together, and their output rows through `head`. Calls `observe(layer, rows)`
    /// after the embeddings (layer 0) and after each layer.
    fn forward_observed<'e, T>(
        &self,
        encodings: impl IntoIterator<Item = &'e Encoding>,
        outputs: OutputRows,
        observe: impl FnMut(usize, &[f32]),
        head: impl FnOnce(&ExecContext, &Batch, &[f32]) -> Result<T>,
    ) -> Result<T> {
        let batch = batch(encodings)?;
        let mut scratch = self.scratch.take();
        let exec = self.engine.context();
        let rows = self
            .encoder
            .forward(&exec, &batch, outputs, &mut scratch, observe)?;
        head(&exec, &batch, rows)
    }

    /// Tokenizes texts, each with the prompt in front if there is one, and calls `run` with batches of them.
    ///
    /// # Errors
    /// Those of `run`. An `Input` error names the index of the text at fault.
    pub(super) fn for_each_batch<'a, I>(
        &self,
        inputs: &'a [I],
        prompt: Option<&str>,
        mut run: impl FnMut(&[(Input<'a>, Encoding)]) -> Result<()>,
    ) -> Result<()>
    where
        &'a I: Into<Input<'a>>,
    {
        let tokenize = |(index, input): (usize, &'a I)| {
            let input = input.into();
            let encoding = self.tokenize_with_prompt(prompt, input);
            Ok((input, encoding.map_err(|error| with_index(error, index))?))
        };
        let mut first = 0;
        let tokens = |(_, encoding): &(Input<'a>, Encoding)| encoding.len();
        for texts in self.token_batches(inputs.iter().enumerate().map(tokenize), tokens) {
            let texts = texts?;
            run(&texts).map_err(|error| self.name_culprit(error, &texts, first))?;
            first += texts.len();
        }
        Ok(())
    }

    /// Groups items into batches that are computed together: as many items as the threads' token budget allows, at least one.
    pub(super) fn token_batches<T>(
        &self,
        items: impl IntoIterator<Item = Result<T>>,
        tokens: impl Fn(&T) -> usize,
    ) -> impl Iterator<Item = Result<Vec<T>>> {
        token_batches(TOKENS_PER_THREAD * self.threads(), items, tokens)
    }

    /// Adds to an `Input` error of a batch the index of the text at fault. The batch's first text has the index `first`.
    fn name_culprit(&self, error: Error, texts: &[(Input<'_>, Encoding)], first: usize) -> Error {
        if !matches!(error, Error::Input { .. }) {
            return error;
        }
        let fails = |(text, _): &_| matches!(self.predict(*text), Err(Error::Input { .. }));
        match texts.iter().position(fails) {
            Some(index) => with_index(error, first + index),
            None => error,
        }
    }

    /// Makes an array of rows of `width` values.
    pub(super) fn array(&self, values: Vec<f32>, width: usize) -> Result<Array2<f32>> {
        let rows = values.len() / width.max(1);
        Array2::from_shape_vec((rows, width), values).map_err(|error| Error::Input {
            reason: error.to_string(),
        })
    }

    /// Error for a model whose task is not `wanted`.
    pub(super) fn wrong_task(&self, wanted: &'static str) -> Error {
        Error::WrongTask {
            wanted,
            found: self.task().name(),
        }
    }
}

/// Groups items into batches of at most `max_tokens` tokens, but of at least one item. An error ends the batch.
fn token_batches<T>(
    max_tokens: usize,
    items: impl IntoIterator<Item = Result<T>>,
    tokens: impl Fn(&T) -> usize,
) -> impl Iterator<Item = Result<Vec<T>>> {
    let mut items = items.into_iter().fuse();
    // The item that did not fit into the batch before.
    let mut left = None;
    std::iter::from_fn(move || {
        let mut batch: Vec<T> = left.take().into_iter().collect();
        let mut sum: usize = batch.iter().map(&tokens).sum();
        for item in items.by_ref() {
            let item = match item {
                Ok(item) => item,
                Err(error) => return Some(Err(error)),
            };
            sum += tokens(&item);
            if sum > max_tokens && !batch.is_empty() {
                left = Some(item);
                break;
            }
            batch.push(item);
        }
        (!batch.is_empty()).then_some(Ok(batch))
    })
}

/// Refuses encodings without tokens, and those with unequal numbers of ids and type ids.
fn check(encodings: &[Encoding]) -> Result<()> {
    for (index, encoding) in encodings.iter().enumerate() {
        let (ids, types) = (encoding.ids.len(), encoding.type_ids.len());
        if ids == 0 || ids != types {
            return Err(Error::Input {
                reason: format!("input {index}: {types} type ids for {ids} tokens"),
            });
        }
    }
    Ok(())
}

/// Makes a batch of texts. Refuses a text without a token, which only a tokenizer without special tokens can produce.
pub(super) fn batch<'e>(encodings: impl IntoIterator<Item = &'e Encoding>) -> Result<Batch> {
    let batch = Batch::new(encodings);
    if batch.starts.windows(2).any(|text| text[0] == text[1]) {
        return Err(Error::Input {
            reason: "there is no token in the text, and the tokenizer puts none around it"
                .to_owned(),
        });
    }
    Ok(batch)
}

/// Adds the index of the input at fault to an error.
pub(super) fn with_index(error: Error, index: usize) -> Error {
    match error {
        Error::Input { reason } => Error::Input {
            reason: format!("input {index}: {reason}"),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_as_many_items_as_fit_and_at_least_one() {
        let batches_of = |lengths: &[usize]| -> Vec<Vec<usize>> {
            let lengths = lengths.iter().copied().map(Ok);
            let batches = token_batches(100, lengths, |&length| length);
            batches.collect::<Result<_>>().unwrap()
        };
        let whole = 100;
        assert!(batches_of(&[]).is_empty());
        assert_eq!(batches_of(&[whole, 1, 2]), [vec![whole], vec![1, 2]]);
        assert_eq!(
            batches_of(&[1, whole - 1, 2]),
            [vec![1, whole - 1], vec![2]]
        );
        assert_eq!(
            batches_of(&[whole + 1, 3 * whole, 0]),
            [vec![whole + 1], vec![3 * whole], vec![0]]
        );
    }

    #[test]
    fn an_error_ends_a_batch() {
        let texts = [
            Ok(1),
            Err(Error::Input {
                reason: "no".to_owned(),
            }),
        ];
        let mut all = token_batches(100, texts, |&length| length);
        assert!(matches!(all.next(), Some(Err(Error::Input { .. }))));
        assert!(all.next().is_none());
    }
}
