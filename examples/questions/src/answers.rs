//! Answers, each on its own: what is wrong with one text fails that text alone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bertless::{Input, Model, Prediction};
use serde::{Serialize, Serializer};

use crate::{Question, Refusal};

/// What becomes of one text or pair: the model's answer, or `{"error": {"status", "reason"}}`.
#[derive(Debug, PartialEq)]
pub struct Answer(pub Result<Prediction, Refusal>);

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(prediction) => prediction.serialize(serializer),
            Err(refusal) => Refused { error: refusal }.serialize(serializer),
        }
    }
}

/// `{"error": {"status", "reason"}}`.
#[derive(Serialize)]
pub struct Refused<'a> {
    /// Why.
    pub error: &'a Refusal,
}

/// What answers came to, for a line of log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Texts and pairs.
    pub texts: usize,
    /// How many of them were not answered.
    pub failed: usize,
    /// What the model has read, special tokens included.
    pub tokens: usize,
    /// How many texts were longer than the model.
    pub truncated: usize,
}

impl Counts {
    /// Of so many answers.
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

/// Answers in the order of the questions; those that cannot be asked are left out of the work.
///
/// All are computed together. Only if that fails is each asked for alone, to find out which of them it was.
pub fn answers(model: &Model, questions: Vec<Result<Question, Refusal>>) -> Vec<Answer> {
    answers_by(questions, |inputs| model.predict_batch(inputs))
}

fn answers_by(
    questions: Vec<Result<Question, Refusal>>,
    predict: impl Fn(&[Input<'_>]) -> bertless::Result<Vec<Prediction>>,
) -> Vec<Answer> {
    // What a panic leaves behind of the model's memory is not used again.
    let guarded = |inputs: &[Input<'_>]| match catch_unwind(AssertUnwindSafe(|| predict(inputs))) {
        Ok(predictions) => predictions.map_err(Refusal::from),
        Err(_) => Err(Refusal::lost()),
    };
    let good: Vec<Input<'_>> = questions.iter().flatten().map(Question::input).collect();
    let answered: Vec<Result<Prediction, Refusal>> = match good.as_slice() {
        [] => Vec::new(),
        inputs => match guarded(inputs) {
            Ok(predictions) => predictions.into_iter().map(Ok).collect(),
            Err(refusal) if inputs.len() == 1 => vec![Err(refusal)],
            Err(_) => {
                let alone = |input: &Input<'_>| guarded(&[*input])?.pop().ok_or_else(Refusal::lost);
                inputs.iter().map(alone).collect()
            }
        },
    };
    let mut answered = answered.into_iter();
    let answer = |question: &Result<Question, Refusal>| match question {
        Ok(_) => answered.next().unwrap_or_else(|| Err(Refusal::lost())),
        Err(refusal) => Err(refusal.clone()),
    };
    questions.iter().map(answer).map(Answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bertless::Embedding;

    /// Echoes lengths; one text is refused, another one panics.
    fn predict(inputs: &[Input<'_>]) -> bertless::Result<Vec<Prediction>> {
        let one = |input: &Input<'_>| match input.first() {
            "refused" => Err(bertless::Error::Input {
                reason: "not this one".to_owned(),
            }),
            "poison" => panic!("poisoned"),
            text => Ok(Prediction::Embedding(Embedding {
                embedding: Vec::new(),
                n_tokens: text.len(),
                truncated: false,
            })),
        };
        inputs.iter().map(one).collect()
    }

    fn question(text: &str) -> Result<Question, Refusal> {
        match text {
            "" => Err(Refusal::unanswerable("empty")),
            text => Ok(Question::Text(text.to_owned())),
        }
    }

    #[test]
    fn one_bad_text_fails_alone() {
        let texts = ["a", "poison", "bb", "", "refused", "cccc"];
        let tokens = |answer: &Answer| match &answer.0 {
            Ok(prediction) => Ok(prediction.n_tokens()),
            Err(refusal) => Err(refusal.status),
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
    fn good_texts_are_asked_together() {
        let calls = std::cell::Cell::new(0);
        let counted = |inputs: &[Input<'_>]| {
            calls.set(calls.get() + 1);
            predict(inputs)
        };
        let answers = answers_by(["a", "", "b"].map(question).into(), counted);
        assert_eq!((answers.len(), calls.get()), (3, 1));
    }
}
