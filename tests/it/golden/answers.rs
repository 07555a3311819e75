//! Predictions of all tasks, compared with the pipelines of transformers.

use bertless::{
    Aggregation, Answer, AnswerOptions, Classification, ModelOptions, PredictOptions, Prediction,
    Thresholds, ZeroShotOptions,
};
use serde_json::Value;

use super::{assert_score, fixtures, input};

/// Scores nearer to each other than this may stand in either order: rounding decides, and levels round differently.
const TIE: f64 = 1e-6;

fn assert_scores(got: &Classification, expected: &Value, what: &str) {
    let expected = expected.as_array().unwrap();
    assert_eq!(got.scores.len(), expected.len(), "{what}");
    let score = |expected: &Value| expected["score"].as_f64().unwrap();
    for (got, here) in got.scores.iter().zip(expected) {
        let same = expected
            .iter()
            .find(|other| text(&other["label"]) == got.label);
        let same = same.unwrap_or_else(|| panic!("{what}: {}", got.label));
        assert_score(got.score, &same["score"], what);
        assert!(
            same["label"] == here["label"] || (score(same) - score(here)).abs() < TIE,
            "{what}: {} stands where {here} should",
            got.label
        );
    }
    assert!(got.scores.is_sorted_by(|a, b| a.score >= b.score), "{what}");
    assert_eq!(
        (&got.label, got.score),
        (&got.scores[0].label, got.scores[0].score),
        "{what}"
    );
}

/// A label as text: some are numbers.
fn text(label: &Value) -> String {
    match label {
        Value::String(name) => name.clone(),
        other => other.to_string(),
    }
}

#[test]
fn classifications() {
    for fixture in fixtures(&["classify", "multilabel", "regression", "cross", "nli"]) {
        let model = fixture.model();
        let inputs: Vec<_> = fixture.inputs.iter().map(input).collect();
        let predictions = model.predict_batch(&inputs).unwrap();
        for (prediction, row) in predictions.iter().zip(&fixture.inputs) {
            let what = format!("{}: {}", fixture.name, row["first"]);
            let Prediction::Classification(answer) = prediction else {
                panic!("{what}: {prediction:?}");
            };
            assert_scores(answer, &row["scores"], &what);
            assert_eq!(
                answer.n_tokens as u64,
                row["n_tokens"].as_u64().unwrap(),
                "{what}"
            );
            assert_eq!(Some(answer.truncated), row["truncated"].as_bool(), "{what}");
            assert_eq!(
                answer.labels.is_some(),
                fixture.task == "multilabel",
                "{what}"
            );
        }
    }
}

#[test]
fn several_labels_hold_by_their_thresholds() {
    for fixture in fixtures(&["multilabel"]) {
        let all = ModelOptions::new().calls(PredictOptions::new().thresholds(Thresholds::all(0.0)));
        let none =
            ModelOptions::new().calls(PredictOptions::new().thresholds(Thresholds::all(1.0)));
        for (options, holding) in [(all, 3), (none, 0)] {
            let prediction = fixture.model_with(options).predict("a good film").unwrap();
            let Prediction::Classification(answer) = prediction else {
                panic!("{prediction:?}");
            };
            assert_eq!(answer.labels.unwrap().len(), holding);
        }
    }
}

#[test]
fn zero_shot() {
    for fixture in fixtures(&["nli"]) {
        let model = fixture.model();
        // Of labels without names, transformers takes the last one, and says so.
        let unnamed = fixture.name == "labels-nli-unnamed";
        assert_eq!(
            model.entailment_label().is_none(),
            unnamed,
            "{}",
            fixture.name
        );
        let entailment_label = unnamed.then(|| "2".to_owned());
        let labels = ["sports", "politics", "music"];
        let mut compared = 0;
        for row in fixture
            .inputs
            .iter()
            .filter(|row| row["zero_shot"].is_array())
        {
            let text = row["first"].as_str().unwrap();
            for (key, multi_label) in [("zero_shot", false), ("zero_shot_multi", true)] {
                let options = ZeroShotOptions {
                    multi_label,
                    entailment_label: entailment_label.clone(),
                    ..Default::default()
                };
                let answer = model
                    .zero_shot_with(text, labels, &PredictOptions::new().zero_shot(options))
                    .unwrap();
                assert_scores(&answer, &row[key], &format!("{}: {text}", fixture.name));
                compared += 1;
            }
        }
        assert!(compared >= 10);
    }
}

#[test]
fn entities_by_every_strategy() {
    let mut found = 0;
    for fixture in fixtures(&["tokens"]) {
        for (name, aggregation) in [
            ("none", Aggregation::None),
            ("simple", Aggregation::Simple),
            ("first", Aggregation::First),
            ("average", Aggregation::Average),
            ("max", Aggregation::Max),
        ] {
            let model = fixture.model_with(
                ModelOptions::new().calls(PredictOptions::new().aggregation(aggregation)),
            );
            for row in &fixture.inputs {
                let what = format!("{}, {name}: {}", fixture.name, row["first"]);
                let prediction = model.predict(input(row)).unwrap();
                let Prediction::Entities(answer) = prediction else {
                    panic!("{what}: {prediction:?}");
                };
                let expected = row["entities"][name].as_array().unwrap();
                assert_eq!(answer.entities.len(), expected.len(), "{what}");
                for (got, expected) in answer.entities.iter().zip(expected) {
                    assert_eq!(got.label, expected["label"].as_str().unwrap(), "{what}");
                    let place = (got.start as u64, got.end as u64);
                    assert_eq!(Some(place.0), expected["start"].as_u64(), "{what}");
                    assert_eq!(Some(place.1), expected["end"].as_u64(), "{what}");
                    assert_score(got.score, &expected["score"], &what);
                    let text = row["first"].as_str().unwrap();
                    assert_eq!(got.text, text[got.bytes.clone()], "{what}");
                    found += 1;
                }
            }
        }
    }
    assert!(found > 500, "only {found} entities");
}

fn assert_answers(got: &Answer, expected: &Value, what: &str) {
    let answers = expected["answers"].as_array().unwrap();
    assert_eq!(got.answers.len(), answers.len(), "{what}");
    for (got, expected) in got.answers.iter().zip(answers) {
        assert_eq!(got.answer, expected["answer"].as_str().unwrap(), "{what}");
        assert_eq!(Some(got.start as u64), expected["start"].as_u64(), "{what}");
        assert_eq!(Some(got.end as u64), expected["end"].as_u64(), "{what}");
        assert_score(got.score, &expected["score"], what);
    }
    assert_eq!(
        (&got.answer, got.score),
        (&got.answers[0].answer, got.answers[0].score)
    );
    assert_score(got.no_answer_score, &expected["no_answer_score"], what);
}

#[test]
fn answers_of_questions() {
    for fixture in fixtures(&["question"]) {
        let three = AnswerOptions {
            top_k: 3,
            ..Default::default()
        };
        let or_none = AnswerOptions {
            allow_no_answer: true,
            ..three.clone()
        };
        let unaligned = AnswerOptions {
            align_to_words: false,
            ..three.clone()
        };
        for (key, options) in [
            ("best", three),
            ("best_or_none", or_none),
            ("unaligned", unaligned),
        ] {
            let model = fixture
                .model_with(ModelOptions::new().calls(PredictOptions::new().answers(options)));
            for row in &fixture.inputs {
                let what = format!("{}, {key}: {}", fixture.name, row["first"]);
                let prediction = model.predict(input(row)).unwrap();
                let Prediction::Answer(answer) = prediction else {
                    panic!("{what}: {prediction:?}");
                };
                assert_answers(&answer, &row[key], &what);
                assert_eq!(
                    Some(answer.n_tokens as u64),
                    row["n_tokens"].as_u64(),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn words_for_masks() {
    for fixture in fixtures(&["mask"]) {
        let model = fixture.model();
        for row in fixture.inputs.iter().filter(|row| row["masks"].is_array()) {
            let text = row["first"].as_str().unwrap();
            let what = format!("{}: {text}", fixture.name);
            let prediction = model.predict(text).unwrap();
            let Prediction::Fill(answer) = prediction else {
                panic!("{what}: {prediction:?}");
            };
            let expected = row["masks"].as_array().unwrap();
            assert_eq!(answer.masks.len(), expected.len(), "{what}");
            for (got, expected) in answer.masks.iter().zip(expected) {
                assert_eq!(got.len(), 5);
                for (got, expected) in got.iter().zip(expected.as_array().unwrap()) {
                    assert_eq!(Some(u64::from(got.id)), expected["id"].as_u64(), "{what}");
                    assert_score(got.score, &expected["score"], &what);
                    assert_eq!(
                        model.tokenizer().id_to_token(got.id),
                        Some(got.token.as_str())
                    );
                }
            }
        }
        let error = model.predict("no mask here").unwrap_err();
        assert!(matches!(error, bertless::Error::Input { .. }), "{error}");
    }
}
