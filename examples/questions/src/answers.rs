//! Answers of a model, each with its own success or error: a bad text fails alone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bertless::{Input, Model, PredictOptions, Prediction};
use serde::{Serialize, Serializer};

use crate::{ApiError, Question};

/// Result for one text or pair. Serializes as the model's prediction or as `{"error": {"status", "reason"}}`.
#[derive(Debug, PartialEq)]
pub struct Answer(pub Result<Prediction, ApiError>);

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(prediction) => prediction.serialize(serializer),
            Err(error) => ErrorBody { error }.serialize(serializer),
        }
    }
}

/// Error as a JSON object: `{"error": {"status", "reason"}}`.
#[derive(Serialize)]
pub struct ErrorBody<'a> {
    /// Status and reason.
    pub error: &'a ApiError,
}

/// Totals over several answers, for the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Number of texts and pairs.
    pub texts: usize,
    /// Number of texts and pairs without an answer.
    pub failed: usize,
    /// Number of tokens that the model has read, special tokens included.
    pub tokens: usize,
    /// Number of texts that were truncated to the model's maximum length.
    pub truncated: usize,
}

impl Counts {
    /// Adds up `answers`.
    pub fn of(answers: &[Answer]) -> Self {
        let answered = || answers.iter().flat_map(|answer| &answer.0);
        Self {
            texts: answers.len(),
            failed: answers.len() - answered().count(),
            tokens: answered().map(Prediction::n_tokens).sum(),
            truncated: answered().filter(|answer| answer.truncated()).count(),
        }
    }
}

/// Answers questions in their order. An invalid question keeps its error and does not reach the model.
///
/// Computes all valid questions together. `options` may have a deadline or a cancel token. Questions that are not computed before
/// the deadline or the cancellation have an error.
pub fn answers(
    model: &Model,
    questions: Vec<Result<Question, ApiError>>,
    options: &PredictOptions,
) -> Vec<Answer> {
    answers_by(questions, |inputs| model.predict_each_with(inputs, options))
}

/// Answers questions by `predict`. If it panics, calls it once for each question, so that only those that panic have an error.
fn answers_by(
    questions: Vec<Result<Question, ApiError>>,
    predict: impl Fn(&[Input<'_>]) -> Vec<bertless::Result<Prediction>>,
) -> Vec<Answer> {
    // The model does not reuse a buffer that was in use during a panic.
    let guarded = |inputs: &[Input<'_>]| catch_unwind(AssertUnwindSafe(|| predict(inputs))).ok();
    let good: Vec<Input<'_>> = questions.iter().flatten().map(Question::input).collect();
    let answered = match good.as_slice() {
        [] => Vec::new(),
        inputs => guarded(inputs).map_or_else(
            || {
                let alone = |input: &Input<'_>| guarded(&[*input])?.pop();
                inputs.iter().map(alone).collect()
            },
            |answers| answers.into_iter().map(Some).collect(),
        ),
    };
    let mut answered = answered.into_iter().map(|answer| match answer {
        Some(answer) => answer.map_err(ApiError::from),
        None => Err(ApiError::lost()),
    });
    let answer = |question: &Result<Question, ApiError>| match question {
        Ok(_) => answered.next().unwrap_or_else(|| Err(ApiError::lost())),
        Err(error) => Err(error.clone()),
    };
    questions.iter().map(answer).map(Answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the length of each text as its number of tokens. The text "refused" is an error, "poison" a panic.
    fn predict(inputs: &[Input<'_>]) -> Vec<bertless::Result<Prediction>> {
        let one = |input: &Input<'_>| match input.first() {
            "refused" => Err(bertless::Error::Input {
                index: None,
                reason: "not this one".to_owned(),
            }),
            "poison" => panic!("poisoned"),
            text => {
                let (embedding, n_tokens) = ([0.0; 0], text.len());
                let answer = serde_json::json!({
                    "embedding": embedding, "n_tokens": n_tokens, "truncated": false,
                });
                Ok(serde_json::from_value(answer).unwrap())
            }
        };
        inputs.iter().map(one).collect()
    }

    fn question(text: &str) -> Result<Question, ApiError> {
        match text {
            "" => Err(ApiError::unanswerable("empty")),
            text => Ok(Question::Text(text.to_owned())),
        }
    }

    #[test]
    fn one_bad_text_fails_alone() {
        let texts = ["a", "poison", "bb", "", "refused", "cccc"];
        let tokens = |answer: &Answer| match &answer.0 {
            Ok(prediction) => Ok(prediction.n_tokens()),
            Err(error) => Err(error.status),
        };
        let answers = answers_by(texts.map(question).into(), predict);
        let found: Vec<_> = answers.iter().map(tokens).collect();
        assert_eq!(found, [Ok(1), Err(500), Ok(2), Err(422), Err(422), Ok(4)]);
        let counts = Counts::of(&answers);
        let counts = [counts.texts, counts.failed, counts.tokens, counts.truncated];
        assert_eq!(counts, [6, 3, 7, 0]);
        for (text, status) in [("poison", 500), ("refused", 422)] {
            let answers = answers_by(vec![question(text)], predict);
            assert_eq!(
                answers.iter().map(tokens).collect::<Vec<_>>(),
                [Err(status)]
            );
        }
    }

    #[test]
    fn valid_questions_are_computed_together() {
        let calls = std::cell::Cell::new(0);
        let counted = |inputs: &[Input<'_>]| {
            calls.set(calls.get() + 1);
            predict(inputs)
        };
        let answers = answers_by(["a", "", "b"].map(question).into(), counted);
        assert_eq!((answers.len(), calls.get()), (3, 1));
    }
}
