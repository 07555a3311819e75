//! Raw outputs of a model: hidden states and logits.

use ndarray::Array2;

use super::Model;
use super::call::{Call, Output};
use super::predict_options::PredictOptions;
use crate::batch::{AsInput, Encoding, OutputRows};
use crate::error::{Error, Result};
use crate::tasks::check_finite;
use crate::tasks::heads::{Head, SequenceHead};

impl Model {
    /// Computes the last hidden states of a text or a pair: (tokens, hidden_size).
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict).
    pub fn last_hidden_state(&self, input: impl AsInput) -> Result<Array2<f32>> {
        let options = PredictOptions::default();
        let encoding = self.tokenize(input)?;
        let call = self.call(&options)?;
        let rows = call.forward_all([&encoding], |_, _, rows| Ok(rows.to_vec()))?;
        check_finite("a hidden state", &rows)?;
        array(rows, self.encoder.hidden_size())
    }

    /// Computes the last hidden states, (tokens, hidden_size), of texts that are tokenized already. Those of a text do
    /// not depend on the other texts, bit for bit.
    ///
    /// Reads only `ids` and `type_ids` of an encoding. A text may have as many tokens as the model has
    /// [positions](Self::max_positions), even if [`max_length`](Self::max_length) is less.
    ///
    /// ```no_run
    /// # fn main() -> bertless::Result<()> {
    /// let model = bertless::Model::load("path/to/a/model")?;
    /// let states = model.last_hidden_states(&[bertless::Encoding::from_ids(vec![101, 7592, 102])])?;
    /// assert_eq!(states[0].nrows(), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Input` for a text without a token or with unequal numbers of ids and type ids, `EmbeddingOutOfRange` for an id,
    /// a type id or a length that the model's tables have no row for, `NonFinite` if the weights lead to NaN or
    /// infinity.
    pub fn last_hidden_states(&self, encodings: &[Encoding]) -> Result<Vec<Array2<f32>>> {
        check(encodings)?;
        let options = PredictOptions::default();
        let call = self.call(&options)?;
        let hidden = self.encoder.hidden_size();
        let mut states = Vec::with_capacity(encodings.len());
        for texts in self.token_batches(encodings, |encoding| encoding.len()) {
            call.forward_all(texts, |_, batch, rows| {
                check_finite("a hidden state", rows)?;
                for text in batch.starts.windows(2) {
                    let text_rows = &rows[text[0] * hidden..text[1] * hidden];
                    states.push(array(text_rows.to_vec(), hidden)?);
                }
                Ok(())
            })?;
        }
        Ok(states)
    }

    /// Computes all hidden states of a text or a pair: after the embeddings, then after each layer, each (tokens,
    /// hidden_size).
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict).
    pub fn hidden_states(&self, input: impl AsInput) -> Result<Vec<Array2<f32>>> {
        let options = PredictOptions::default();
        let encoding = self.tokenize(input)?;
        let call = self.call(&options)?;
        let mut states = Vec::new();
        let observe = |_: usize, rows: &[f32]| states.push(rows.to_vec());
        call.forward([&encoding], OutputRows::All, observe, |_, _, _| Ok(()))?;
        let array = |rows: Vec<f32>| {
            check_finite("a hidden state", &rows)?;
            array(rows, self.encoder.hidden_size())
        };
        states.into_iter().map(array).collect()
    }

    /// Computes the head's logits for a text or a pair: (1, labels) for a classifier, (tokens, labels) for a token
    /// classifier, (tokens, 2) for a question answerer, (tokens, vocabulary) for a masked-language model.
    ///
    /// # Errors
    /// `WrongTask` for a model without a head; otherwise those of [`predict`](Self::predict).
    pub fn logits(&self, input: impl AsInput) -> Result<Array2<f32>> {
        let options = PredictOptions::default();
        let call = self.call(&options)?;
        let encoding = self.tokenize(input)?;
        let (logits, width) = match &self.head {
            Head::None => return Err(self.wrong_task("logits")),
            Head::Sequence(head) => {
                let logits = call.text_logits(head, [&encoding])?;
                (logits, self.labels().len())
            }
            Head::Tokens(head) => (call.token_logits([&encoding])?, head.outputs()),
            Head::MaskedLm(_) => {
                let logits = call.mlm_logits([&encoding], |_| true)?;
                (logits, self.config.encoder.vocab_size)
            }
        };
        check_finite("a logit", &logits)?;
        array(logits, width)
    }

    /// Computes a classifier's logits for texts or pairs: (texts, labels). Those of a text do not depend on the other
    /// texts, bit for bit.
    ///
    /// # Errors
    /// `WrongTask` for other models; otherwise those of [`predict_batch`](Self::predict_batch).
    pub fn logits_batch<I: AsInput>(
        &self,
        inputs: impl IntoIterator<Item = I>,
    ) -> Result<Array2<f32>> {
        let Head::Sequence(_) = &self.head else {
            return Err(self.wrong_task("labels of texts"));
        };
        let call = self.call_for(Output::Logits, &self.options.calls)?;
        let mut logits = Vec::new();
        for texts in call.batches_or_error(inputs) {
            logits.extend(call.outputs(&texts?)?);
        }
        check_finite("a logit", &logits)?;
        array(logits, self.labels().len())
    }

    /// Computes a classifier's logits, (texts, labels), of texts that are tokenized already, as for
    /// [`last_hidden_states`](Self::last_hidden_states). Those of a text do not depend on the other texts, bit for bit.
    ///
    /// # Errors
    /// `WrongTask` for other models; otherwise those of `last_hidden_states`.
    pub fn logits_of_encodings(&self, encodings: &[Encoding]) -> Result<Array2<f32>> {
        let Head::Sequence(head) = &self.head else {
            return Err(self.wrong_task("labels of texts"));
        };
        check(encodings)?;
        let options = PredictOptions::default();
        let call = self.call(&options)?;
        let mut logits = Vec::with_capacity(encodings.len() * self.labels().len());
        for texts in self.token_batches(encodings, |encoding| encoding.len()) {
            logits.extend(call.text_logits(head, texts)?);
        }
        check_finite("a logit", &logits)?;
        array(logits, self.labels().len())
    }

    /// Tokenizes an input and truncates it to the model's limit. Refuses a text without a token.
    pub(super) fn tokenize(&self, input: impl AsInput) -> Result<Encoding> {
        let truncation = crate::tokenizer::Truncation::to(self.max_length);
        let encoding = self.tokenizer.encode(input, Some(&truncation))?;
        refuse_empty(&encoding)?;
        Ok(encoding)
    }
}

impl Call<'_> {
    /// Computes a sequence head's logits, (texts, labels), from the first row of each text.
    pub(super) fn text_logits<'e>(
        &self,
        head: &SequenceHead,
        encodings: impl IntoIterator<Item = &'e Encoding>,
    ) -> Result<Vec<f32>> {
        self.forward(
            encodings,
            OutputRows::First,
            |_, _| {},
            |exec, _, rows| Ok(head.forward(exec, rows)),
        )
    }
}

/// Makes an array of rows of `width` values.
pub(super) fn array(values: Vec<f32>, width: usize) -> Result<Array2<f32>> {
    let rows = values.len() / width.max(1);
    Array2::from_shape_vec((rows, width), values).map_err(|error| Error::input(error.to_string()))
}

/// Refuses encodings without tokens, and those with unequal numbers of ids and type ids.
fn check(encodings: &[Encoding]) -> Result<()> {
    for (index, encoding) in encodings.iter().enumerate() {
        let (ids, types) = (encoding.ids.len(), encoding.type_ids.len());
        if ids == 0 || ids != types {
            let error = Error::input(format!("{types} type ids for {ids} tokens"));
            return Err(error.at_index(index));
        }
    }
    Ok(())
}

/// Refuses a text without a token, which only a tokenizer without special tokens can produce.
pub(super) fn refuse_empty(encoding: &Encoding) -> Result<()> {
    if encoding.is_empty() {
        return Err(Error::input(
            "there is no token in the text, and the tokenizer puts none around it",
        ));
    }
    Ok(())
}
