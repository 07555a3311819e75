//! Answers, each on its own: what is wrong with one text fails that text alone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bertless::{Input, Model, Prediction};
use serde::{Serialize, Serializer};

use crate::refusal::Refusal;

/// What becomes of one text or pair: the model's answer, or `{"error": {"status", "reason"}}`.
#[derive(Debug, PartialEq)]
pub struct Answer(pub Result<Prediction, Refusal>);

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(prediction) => prediction.serialize(serializer),
            Err(refusal) => Failure { error: refusal }.serialize(serializer),
        }
    }
}

/// `{"error": {"status", "reason"}}`.
#[derive(Serialize)]
pub struct Failure<'a> {
    pub error: &'a Refusal,
}

/// Answers in the order of the inputs.
///
/// All are computed together. Only if that fails is each asked for alone, to find out which of them it was.
pub fn answers(model: &Model, inputs: Vec<Result<Input<'_>, Refusal>>) -> Vec<Answer> {
    answers_by(inputs, |inputs| model.predict_batch(inputs))
}

fn answers_by(
    inputs: Vec<Result<Input<'_>, Refusal>>,
    predict: impl Fn(&[Input<'_>]) -> bertless::Result<Vec<Prediction>>,
) -> Vec<Answer> {
    // The model's memory for computing is taken by a call and comes back only if it ends well, so a panic leaves nothing
    // behind that could be seen.
    let guarded = |inputs: &[Input<'_>]| match catch_unwind(AssertUnwindSafe(|| predict(inputs))) {
        Ok(predictions) => predictions.map_err(Refusal::from),
        Err(_) => Err(Refusal::failed("the model panicked over this text")),
    };
    let good: Vec<Input<'_>> = inputs
        .iter()
        .filter_map(|input| input.as_ref().ok().copied())
        .collect();
    let mut together = match good.len() {
        0 | 1 => None,
        _ => guarded(&good).ok().map(Vec::into_iter),
    };
    let alone = |input: Input<'_>| {
        guarded(&[input])?
            .pop()
            .ok_or_else(|| Refusal::failed("the model said nothing"))
    };
    let answer = |input: Result<Input<'_>, Refusal>| {
        let input = input?;
        match together.as_mut().and_then(Iterator::next) {
            Some(prediction) => Ok(prediction),
            None => alone(input),
        }
    };
    inputs.into_iter().map(answer).map(Answer).collect()
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

    #[test]
    fn one_bad_text_fails_alone() {
        let texts = ["a", "poison", "bb", "", "refused", "cccc"];
        let input = |text: &'static str| match text {
            "" => Err(Refusal::unanswerable("empty")),
            text => Ok(Input::Text(text)),
        };
        let answers = answers_by(texts.map(input).into(), predict);
        let tokens = |answer: &Answer| match &answer.0 {
            Ok(prediction) => Ok(prediction.n_tokens()),
            Err(refusal) => Err(refusal.status),
        };
        let found: Vec<_> = answers.iter().map(tokens).collect();
        assert_eq!(found, [Ok(1), Err(500), Ok(2), Err(422), Err(422), Ok(4)]);
    }

    #[test]
    fn good_texts_are_asked_together() {
        let calls = std::cell::Cell::new(0);
        let counted = |inputs: &[Input<'_>]| {
            calls.set(calls.get() + 1);
            predict(inputs)
        };
        let empty = Err(Refusal::unanswerable("empty"));
        let answers = answers_by(
            vec![Ok(Input::Text("a")), empty, Ok(Input::Text("b"))],
            counted,
        );
        assert_eq!((answers.len(), calls.get()), (3, 1));
    }
}
