//! Question answering: each context is read in windows, and windows of one or many questions are computed together.

use super::Model;
use super::pass::with_index;
use crate::batch::{Encoding, Input};
use crate::config::Task;
use crate::error::{Error, Result};
use crate::tasks::answering::{self, Window};
use crate::tasks::{Answer, AnswerOptions};
use crate::tokenizer::{Truncation, TruncationStrategy};

/// Number of logits per token: one for the start of an answer, one for its end.
const LOGITS: usize = 2;

/// A tokenized question and its context.
struct Question<'a> {
    context: &'a str,
    windows: Vec<Encoding>,
}

impl Question<'_> {
    /// Number of tokens of all windows together.
    fn tokens(&self) -> usize {
        self.windows.iter().map(Encoding::len).sum()
    }

    /// Decodes the logits of all windows, (tokens, 2), to an answer.
    fn answer(&self, mut logits: &[f32], options: &AnswerOptions) -> Result<Answer> {
        let window = |encoding| {
            let window_logits;
            (window_logits, logits) = logits.split_at(LOGITS * Encoding::len(encoding));
            Window {
                encoding,
                logits: window_logits,
            }
        };
        let windows: Vec<Window<'_>> = self.windows.iter().map(window).collect();
        let (answers, no_answer_score) = answering::decode(&windows, self.context, options)?;
        let best = answers.first().cloned().ok_or_else(|| Error::Input {
            reason: "there is no word in the context that could be an answer".to_owned(),
        })?;
        Ok(Answer {
            answer: best.answer,
            score: best.score,
            start: best.start,
            end: best.end,
            bytes: best.bytes,
            no_answer_score,
            answers,
            n_tokens: self.tokens(),
            truncated: false,
        })
    }
}

impl Model {
    /// Finds the span of `context` that answers `question`.
    ///
    /// # Errors
    /// `WrongTask` if the model is not a question answerer, `Input` if the context has no word, `Option` if the
    /// question leaves no room for the context.
    pub fn answer(&self, question: &str, context: &str) -> Result<Answer> {
        if self.task() != Task::QuestionAnswering {
            return Err(self.wrong_task("question answering"));
        }
        self.answer_pair(Input::Pair(question, context))
    }

    /// Answers a question about a context, which are the two texts of `input`.
    pub(super) fn answer_pair(&self, input: Input<'_>) -> Result<Answer> {
        let options = self.answer_options();
        let question = self.tokenize_pair(input, &options)?;
        question.answer(&self.window_logits(&question.windows)?, &options)
    }

    /// Answers many questions about their contexts, in the order of `inputs`.
    pub(super) fn answer_pairs<'a>(
        &self,
        inputs: impl Iterator<Item = Input<'a>>,
    ) -> Result<Vec<Answer>> {
        let options = self.answer_options();
        let tokenize = |(index, input)| {
            let question = self.tokenize_pair(input, &options);
            question.map_err(|error| with_index(error, index))
        };
        let mut answers = Vec::new();
        for questions in self.token_batches(inputs.enumerate().map(tokenize), Question::tokens) {
            let questions = questions?;
            let windows = questions.iter().flat_map(|question| &question.windows);
            let logits = self.window_logits(windows)?;
            let mut logits = logits.as_slice();
            for question in &questions {
                let question_logits;
                (question_logits, logits) = logits.split_at(LOGITS * question.tokens());
                let answer = question.answer(question_logits, &options);
                answers.push(answer.map_err(|error| with_index(error, answers.len()))?);
            }
        }
        Ok(answers)
    }

    fn answer_options(&self) -> AnswerOptions {
        let mut options = self.options.answers.clone();
        options.top_k = self.options.top_k.unwrap_or(options.top_k);
        options
    }

    /// Tokenizes a question and its context and cuts them into windows.
    fn tokenize_pair<'a>(&self, input: Input<'a>, options: &AnswerOptions) -> Result<Question<'a>> {
        let Input::Pair(question, context) = input else {
            return Err(Error::Input {
                reason: "question answering takes a pair: a question and a context".to_owned(),
            });
        };
        let question = self.tokenizer.encode(question, None)?.len();
        let taken =
            question + self.tokenizer.special_tokens(true) - self.tokenizer.special_tokens(false);
        let (max_length, stride) = options.windows(self.max_length, taken);
        let truncation = Truncation {
            max_length,
            strategy: TruncationStrategy::OnlySecond,
            stride,
        };
        Ok(Question {
            context,
            windows: self.tokenizer.encode_windows(input, &truncation)?,
        })
    }

    /// Computes the logits, (tokens, 2), of windows; those of one window follow those of the window before.
    fn window_logits<'e>(
        &self,
        windows: impl IntoIterator<Item = &'e Encoding>,
    ) -> Result<Vec<f32>> {
        let mut logits = Vec::new();
        for batch in self.token_batches(windows.into_iter().map(Ok), |window| window.len()) {
            logits.extend(self.token_logits(batch?)?);
        }
        Ok(logits)
    }
}
