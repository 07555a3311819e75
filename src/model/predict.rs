//! Predictions: runs the model's task on texts.

use super::Model;
use super::call::{Call, Prepared};
use super::predict_options::PredictOptions;
use crate::batch::{AsInput, Encoding, Input};
use crate::config::Task;
use crate::error::{Error, Result};
use crate::tasks::answering::{self, Window};
use crate::tasks::entities::{self, Decoding};
use crate::tasks::heads::Head;
use crate::tasks::{
    Answer, AnswerOptions, Embedding, Entities, Fill, Prediction, classification, fill_mask,
};
use crate::tokenizer::{Truncation, TruncationStrategy};

/// Default number of predictions per mask, as in transformers.
const TOKENS_PER_MASK: usize = 5;

/// Number of logits per token of a question answerer: one for the start of an answer, one for its end.
const ANSWER_LOGITS: usize = 2;

impl Model {
    /// Runs the model's task on a text or a pair.
    ///
    /// A text that is longer than [`max_length`](Self::max_length) is cut off at its end, and the answer says so. The
    /// context of a question is read to its end, in windows.
    ///
    /// # Errors
    /// `Input` if the task needs another form of input, `EmbeddingOutOfRange` if tokenizer and weights do not belong
    /// together, `NonFinite` if the weights lead to NaN or infinity, `Io` if word embeddings are read from a file that
    /// has changed.
    pub fn predict(&self, input: impl AsInput) -> Result<Prediction> {
        self.predict_with(input, &self.options.calls)
    }

    /// Runs the model's task on a text or a pair, with options.
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict); `Option` for options that do not fit the model; `Cancelled` and
    /// `DeadlineExceeded` if the options have a token or a deadline.
    pub fn predict_with(
        &self,
        input: impl AsInput,
        options: &PredictOptions,
    ) -> Result<Prediction> {
        let call = self.call(options)?;
        call.predict_one(&call.prepare(input)?)
    }

    /// Runs the model's task on many texts or pairs, and returns the answers in the order of the inputs. Each answer
    /// is, bit for bit, the one that [`predict`](Self::predict) gives for its input alone.
    ///
    /// Texts are tokenized and computed a few at a time, so memory grows with the answers only.
    ///
    /// ```
    /// # fn main() -> bertless::Result<()> {
    /// # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/bert-classify");
    /// let model = bertless::Model::load(dir)?;
    /// let texts = vec!["one text".to_owned(), "another text".to_owned()];
    /// let predictions = model.predict_batch(&texts)?;
    /// assert_eq!(predictions[1], model.predict("another text")?);
    ///
    /// // Pairs, from any iterator.
    /// let pairs = texts.iter().map(|text| ("A premise.", text));
    /// assert_eq!(model.predict_batch(pairs)?.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict) for the first input that has one; an `Input` error has the index of the
    /// input at fault. [`predict_each`](Self::predict_each) goes on.
    pub fn predict_batch<I: AsInput>(
        &self,
        inputs: impl IntoIterator<Item = I>,
    ) -> Result<Vec<Prediction>> {
        self.predict_batch_with(inputs, &self.options.calls)
    }

    /// Runs the model's task on many texts or pairs, with options.
    ///
    /// # Errors
    /// Those of [`predict_batch`](Self::predict_batch) and [`predict_with`](Self::predict_with).
    pub fn predict_batch_with<I: AsInput>(
        &self,
        inputs: impl IntoIterator<Item = I>,
        options: &PredictOptions,
    ) -> Result<Vec<Prediction>> {
        let call = self.call(options)?;
        let mut predictions: Vec<Prediction> = Vec::new();
        for texts in call.batches_or_error(inputs) {
            for answer in call.predict(&texts?)? {
                let index = predictions.len();
                predictions.push(answer.map_err(|error| error.at_index(index))?);
            }
        }
        Ok(predictions)
    }

    /// Runs the model's task on many texts or pairs, and returns an answer or an error for each. One bad input does not
    /// cost the answers of the others.
    ///
    /// ```
    /// # fn main() -> bertless::Result<()> {
    /// # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/bert-mask");
    /// let model = bertless::Model::load(dir)?;
    /// let answers = model.predict_each(["a [MASK] film", "no mask"]);
    /// assert!(answers[0].is_ok());
    /// assert!(answers[1].is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn predict_each<I: AsInput>(
        &self,
        inputs: impl IntoIterator<Item = I>,
    ) -> Vec<Result<Prediction>> {
        self.predict_each_with(inputs, &self.options.calls)
    }

    /// Runs the model's task on many texts or pairs, with options, and returns an answer or an error for each.
    ///
    /// Options that do not fit the model are an error for each input, and so is a call that ends early for those inputs
    /// that were not computed.
    pub fn predict_each_with<I: AsInput>(
        &self,
        inputs: impl IntoIterator<Item = I>,
        options: &PredictOptions,
    ) -> Vec<Result<Prediction>> {
        let Ok(call) = self.call(options) else {
            let refused = |input| self.predict_with(input, options);
            return inputs.into_iter().map(refused).collect();
        };
        let mut answers: Vec<Result<Prediction>> = Vec::new();
        for items in call.batches(inputs) {
            // Errors keep their places among the texts that are computed.
            let mut errors = Vec::with_capacity(items.len());
            let mut texts = Vec::with_capacity(items.len());
            for item in items {
                match item {
                    Ok(text) => {
                        errors.push(None);
                        texts.push(text);
                    }
                    Err(error) => errors.push(Some(error)),
                }
            }
            let predicted = call.predict(&texts).unwrap_or_else(|_| {
                // The fault may be one text's. Computed alone, each gets its own answer or error.
                texts.iter().map(|text| call.predict_one(text)).collect()
            });
            let mut predicted = predicted.into_iter();
            answers.extend(errors.into_iter().filter_map(|error| match error {
                Some(error) => Some(Err(error)),
                None => predicted.next(),
            }));
        }
        answers
    }
}

impl Model {
    /// Finds the span of `context` that answers `question`.
    ///
    /// # Errors
    /// `WrongTask` if the model is not a question answerer, `Input` if the context has no word, `Option` if the
    /// question leaves no room for the context.
    pub fn answer(&self, question: &str, context: &str) -> Result<Answer> {
        self.answer_with(question, context, &self.options.calls)
    }

    /// Finds the span of `context` that answers `question`, with options.
    ///
    /// # Errors
    /// Those of [`answer`](Self::answer) and [`predict_with`](Self::predict_with).
    pub fn answer_with(
        &self,
        question: &str,
        context: &str,
        options: &PredictOptions,
    ) -> Result<Answer> {
        match self.task() {
            Task::QuestionAnswering => match self.predict_with((question, context), options)? {
                Prediction::Answer(answer) => Ok(answer),
                _ => Err(self.wrong_task("question answering")),
            },
            _ => Err(self.wrong_task("question answering")),
        }
    }
}

impl Call<'_> {
    /// Runs the model's task on one text.
    fn predict_one<I: AsInput>(&self, text: &Prepared<I>) -> Result<Prediction> {
        let outputs = self.outputs(std::slice::from_ref(text))?;
        self.decode(text, &outputs)
    }

    /// Runs the model's task on texts that are computed together. Errors of single texts leave the others alone.
    fn predict<I: AsInput>(&self, texts: &[Prepared<I>]) -> Result<Vec<Result<Prediction>>> {
        let outputs = self.outputs(texts)?;
        let mut rest = outputs.as_slice();
        let decode = |text: &Prepared<I>| {
            let outputs;
            (outputs, rest) = rest.split_at(self.output_len(text));
            self.decode(text, outputs)
        };
        Ok(texts.iter().map(decode).collect())
    }

    /// Turns the outputs of a text into an answer.
    fn decode<I: AsInput>(&self, text: &Prepared<I>, outputs: &[f32]) -> Result<Prediction> {
        match &self.model.head {
            Head::None => Ok(Prediction::Embedding(Embedding {
                embedding: outputs.to_vec(),
                n_tokens: text.n_tokens(),
                truncated: text.truncated(),
            })),
            Head::Sequence(_) => self.classification(text, outputs),
            Head::Tokens(_) if self.model.task() == Task::QuestionAnswering => {
                self.answer(text, outputs).map(Prediction::Answer)
            }
            Head::Tokens(_) => self.entities(text, outputs),
            Head::MaskedLm(_) => self.fill(text, outputs),
        }
    }

    fn classification<I>(&self, text: &Prepared<I>, logits: &[f32]) -> Result<Prediction> {
        let mut answer = classification::classify(
            logits.to_vec(),
            &self.model.config.head,
            self.options.thresholds.as_ref(),
            self.model.engine.cpu,
        )?;
        answer.n_tokens = text.n_tokens();
        answer.truncated = text.truncated();
        let top_k = self.options.top_k.unwrap_or(usize::MAX);
        answer.scores.truncate(top_k);
        Ok(Prediction::Classification(answer))
    }

    fn entities<I: AsInput>(&self, text: &Prepared<I>, logits: &[f32]) -> Result<Prediction> {
        let model = self.model;
        let labels = model.labels();
        let decoding = Decoding {
            labels,
            aggregation: self.options.aggregation,
            unk_id: model.tokenizer.unk_id(),
            cpu: model.engine.cpu,
        };
        let input = text.input.as_input().first();
        let mut rest = logits;
        let mut entities = Vec::new();
        for window in &text.windows {
            let logits;
            (logits, rest) = rest.split_at(window.len() * labels.len());
            let token = |id| model.tokenizer.id_to_token(id);
            let found = entities::decode(logits.to_vec(), input, window, &decoding, token)?;
            entities.extend(found);
        }
        if text.windows.len() > 1 {
            entities = entities::merge_overlapping(entities);
        }
        Ok(Prediction::Entities(Entities {
            entities,
            n_tokens: text.n_tokens(),
            truncated: text.truncated(),
        }))
    }

    fn fill<I: AsInput>(&self, text: &Prepared<I>, logits: &[f32]) -> Result<Prediction> {
        let model = self.model;
        let mut logits = logits.chunks_exact(model.config.encoder.vocab_size);
        let top_k = self.options.top_k.unwrap_or(TOKENS_PER_MASK);
        let mut masks = Vec::new();
        for window in &text.windows {
            for (&id, &(start, end)) in window.ids.iter().zip(&window.offsets) {
                if !self.is_mask(id) {
                    continue;
                }
                masks.push(fill_mask::decode(
                    logits.next().unwrap_or_default().to_vec(),
                    top_k,
                    model.engine.cpu,
                    text.input.as_input().first(),
                    start as usize..end as usize,
                    |id| model.tokenizer.id_to_token(id),
                )?);
            }
        }
        Ok(Prediction::Fill(Fill {
            masks,
            n_tokens: text.n_tokens(),
            truncated: text.truncated(),
        }))
    }

    /// Decodes the logits of all windows of a context, (tokens, 2), to an answer.
    fn answer<I: AsInput>(&self, text: &Prepared<I>, mut logits: &[f32]) -> Result<Answer> {
        let window = |encoding| {
            let window_logits;
            (window_logits, logits) = logits.split_at(ANSWER_LOGITS * Encoding::len(encoding));
            Window {
                encoding,
                logits: window_logits,
            }
        };
        let windows: Vec<Window<'_>> = text.windows.iter().map(window).collect();
        let context = text.input.as_input().second().unwrap_or_default();
        let (answers, no_answer_score) =
            answering::decode(&windows, context, &self.answer_options())?;
        let best = answers.first().cloned().ok_or_else(|| {
            Error::input("there is no word in the context that could be an answer")
        })?;
        Ok(Answer {
            answer: best.answer,
            score: best.score,
            start: best.start,
            end: best.end,
            bytes: best.bytes,
            no_answer_score,
            answers,
            n_tokens: text.n_tokens(),
            truncated: false,
        })
    }

    fn answer_options(&self) -> AnswerOptions {
        let mut options = self.options.answers.clone();
        options.top_k = self.options.top_k.unwrap_or(options.top_k);
        options
    }

    /// Tokenizes a question and its context and cuts them into windows.
    pub(super) fn question_windows(&self, input: Input<'_>) -> Result<Vec<Encoding>> {
        let Input::Pair(question, _) = input else {
            return Err(Error::input(
                "question answering takes a pair: a question and a context",
            ));
        };
        let tokenizer = &self.model.tokenizer;
        let question = tokenizer.encode(question, None)?.len();
        let taken = question + tokenizer.special_tokens(true) - tokenizer.special_tokens(false);
        let (max_length, stride) = self.options.answers.windows(self.max_length, taken);
        let truncation = Truncation {
            max_length,
            strategy: TruncationStrategy::OnlySecond,
            stride,
        };
        tokenizer.encode_windows(input, &truncation)
    }
}
