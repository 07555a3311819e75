//! Token ids, hidden states and logits, compared with transformers.

use bertless::{Dtype, ModelOptions};

use super::{assert_close, fixtures, input};

const ALL: [&str; 9] = [
    "base",
    "classify",
    "multilabel",
    "regression",
    "cross",
    "nli",
    "tokens",
    "question",
    "mask",
];

#[test]
fn tokens_are_the_reference_s() {
    for fixture in fixtures(&ALL) {
        let model = fixture.model();
        for (index, row) in fixture.inputs.iter().enumerate() {
            let Some(ids) = fixture.numbers(&format!("{index}.ids")) else {
                continue;
            };
            let what = format!("{}, text {index}", fixture.name);
            let truncation = bertless::Truncation::to(model.max_length());
            let encoding = model
                .tokenizer()
                .encode(input(row), Some(&truncation))
                .unwrap();
            assert_eq!(encoding.ids, ids, "{what}");
            let type_ids = fixture.numbers(&format!("{index}.type_ids")).unwrap();
            assert_eq!(encoding.type_ids, type_ids, "{what}");
            if let Some(truncated) = row["truncated"].as_bool() {
                assert_eq!(encoding.truncated, truncated, "{what}");
            }
        }
    }
}

#[test]
fn hidden_states_agree_layer_by_layer() {
    let mut compared = 0;
    for fixture in fixtures(&ALL) {
        let model = fixture.model();
        for (index, row) in fixture.inputs.iter().enumerate() {
            if fixture.floats(&format!("{index}.hidden.0")).is_none() {
                continue;
            }
            let states = model.hidden_states(input(row)).unwrap();
            for (layer, state) in states.iter().enumerate() {
                let what = format!("{}, text {index}, layer {layer}", fixture.name);
                let expected = fixture
                    .floats(&format!("{index}.hidden.{layer}"))
                    .expect(&what);
                assert_close(state.iter().copied(), &expected, &what);
                compared += 1;
            }
            assert!(
                fixture
                    .floats(&format!("{index}.hidden.{}", states.len()))
                    .is_none()
            );
            let last = model.last_hidden_state(input(row)).unwrap();
            assert_eq!(Some(&last), states.last());
        }
    }
    assert!(compared > 180, "only {compared} layers were compared");
}

/// Weights and what is multiplied with them are off by up to 2^-9 of themselves, their products by twice that, in either
/// direction; norms and residuals pass it on. So the root mean square of the differences is a share like that of the root
/// mean square of the numbers, 1.3e-2 at most behind two layers of random weights; a wrong turn gives a tenth and more.
const TOLERANCE_IN_BF16: f64 = 0.03;

#[test]
fn hidden_states_in_bf16_are_near() {
    let (mut compared, mut worst) = (0, 0f64);
    for fixture in fixtures(&["base"]) {
        let model = fixture.model_with(ModelOptions::new().dtype(Dtype::Bf16));
        for (index, row) in fixture.inputs.iter().enumerate() {
            let states = model.hidden_states(input(row)).unwrap();
            for (layer, state) in states.iter().enumerate() {
                let expected = fixture.floats(&format!("{index}.hidden.{layer}"));
                let Some(expected) = expected else {
                    continue;
                };
                assert_eq!(state.len(), expected.len());
                let square = |sum: f64, x: f64| sum + x * x;
                let pairs = state.iter().zip(&expected);
                let off = pairs.map(|(a, b)| f64::from(a - b)).fold(0.0, square);
                let all = expected.iter().map(|&x| f64::from(x)).fold(0.0, square);
                let share = (off / all).sqrt();
                let what = format!("{}, text {index}, layer {layer}", fixture.name);
                assert!(share <= TOLERANCE_IN_BF16, "{what}: {share:e}");
                // Embeddings are the same, layers are not.
                assert!(layer == 0 || share > 1e-5, "{what}: {share:e}");
                worst = worst.max(share);
                compared += 1;
            }
        }
    }
    println!("hidden states in bf16: {worst:e} of their own size, at most");
    assert!(compared > 50, "only {compared} layers were compared");
}

#[test]
fn logits_agree() {
    let mut compared = 0;
    for fixture in fixtures(&ALL[1..]) {
        let model = fixture.model();
        for (index, row) in fixture.inputs.iter().enumerate() {
            let Some(expected) = fixture.floats(&format!("{index}.logits")) else {
                continue;
            };
            let logits = model.logits(input(row)).unwrap();
            let what = format!("{}, text {index}", fixture.name);
            assert_close(logits.iter().copied(), &expected, &what);
            compared += 1;
        }
    }
    assert!(compared > 200, "only {compared} logits were compared");
}
