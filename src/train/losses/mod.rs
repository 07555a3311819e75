//! Loss functions of logits, embeddings or hidden states, with their gradients.
//!
//! A loss is computed in f64 from f32 and is a mean, as in PyTorch, so that it does not grow with the batch; its gradient is
//! that of the mean. This module does not depend on the network, parameters or steps: the caller hands the gradient to a
//! backward pass. A slice of rows is row-major, (rows, width).

mod classes;
pub(crate) mod objective;
mod projection;
mod ranking;
mod regression;
mod relations;
mod soft;
mod spans;

pub(crate) use classes::{BinaryCrossEntropy, CrossEntropy};
pub(crate) use projection::projected_mean_squared_error;
pub(crate) use ranking::multiple_negatives_ranking;
pub(crate) use regression::{cosine_similarity, mean_squared_error};
pub(crate) use relations::{Measure, ProjectionPair, relation};
pub(crate) use soft::soft_targets;
pub(crate) use spans::answer_spans;

/// A loss, and its gradient with respect to its input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loss {
    pub(crate) value: f64,
    /// Gradient, in the shape of the input.
    pub(crate) gradient: Vec<f32>,
}

/// The loss of two inputs, such as the embeddings of both texts of pairs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PairLoss {
    pub(crate) value: f64,
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
}

impl Loss {
    /// Returns a loss of zero for an input of `len` floats.
    fn none(len: usize) -> Self {
        Self {
            value: 0.0,
            gradient: vec![0.0; len],
        }
    }

    /// Multiplies value and gradient by `weight`.
    #[must_use]
    pub(crate) fn scaled(mut self, weight: f64) -> Self {
        self.value *= weight;
        for slope in &mut self.gradient {
            *slope *= weight as f32;
        }
        self
    }
}

/// Computes the logarithms of the softmax of `scores / temperature`.
fn log_softmax(scores: &[f32], temperature: f64) -> Vec<f64> {
    let scaled = scores.iter().map(|&score| f64::from(score) / temperature);
    let mut logs: Vec<f64> = scaled.collect();
    let max = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - max).exp()).sum();
    let all = max + sum.ln();
    logs.iter_mut().for_each(|log| *log -= all);
    logs
}

/// Shared helpers of the tests: values of PyTorch, and differences.
#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Values of one loss that fixtures/train_goldens_losses.py wrote.
    pub(super) struct Golden(BTreeMap<String, serde_json::Value>);

    impl Golden {
        pub(super) fn of(name: &str) -> Self {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/train/losses.json");
            let text = std::fs::read_to_string(path).unwrap();
            let mut all: BTreeMap<String, BTreeMap<String, serde_json::Value>> =
                serde_json::from_str(&text).unwrap();
            Self(all.remove(name).unwrap_or_else(|| panic!("no {name}")))
        }

        pub(super) fn number(&self, key: &str) -> f64 {
            self.0[key].as_f64().unwrap()
        }

        pub(super) fn floats(&self, key: &str) -> Vec<f32> {
            serde_json::from_value(self.0[key].clone()).unwrap()
        }

        pub(super) fn whole(&self, key: &str) -> Vec<i64> {
            serde_json::from_value(self.0[key].clone()).unwrap()
        }

        /// Asserts that a loss equals PyTorch's, to `tolerance`.
        pub(super) fn check(&self, loss: &Loss, tolerance: f64) {
            self.check_value(loss.value, tolerance);
            self.check_gradient("gradient", &loss.gradient, tolerance);
        }

        pub(super) fn check_value(&self, value: f64, tolerance: f64) {
            let expected = self.number("loss");
            let error = (value - expected).abs() / expected.abs().max(1e-3);
            assert!(error < tolerance, "loss {value}, PyTorch has {expected}");
        }

        pub(super) fn check_gradient(&self, key: &str, gradient: &[f32], tolerance: f64) {
            close(gradient, &self.floats(key), tolerance);
        }
    }

    /// Asserts that slices agree, relative to the greatest value.
    pub(super) fn close(found: &[f32], expected: &[f32], tolerance: f64) {
        assert_eq!(found.len(), expected.len());
        let most = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
        assert!(most > 0.0, "nothing to compare with");
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = f64::from((found - expected).abs() / most);
            assert!(
                error < tolerance,
                "number {at}: {found}, expected {expected} ({error:e} of {most})"
            );
        }
    }

    /// Asserts that a gradient agrees with central differences of the loss.
    pub(super) fn differences(input: &[f32], gradient: &[f32], loss: impl Fn(&[f32]) -> f64) {
        const STEP: f32 = 1.0 / 512.0;
        let slope = |at: usize| {
            let at_step = |step: f32| {
                let mut moved = input.to_vec();
                moved[at] += step;
                (loss(&moved), f64::from(moved[at]))
            };
            let ((above, high), (below, low)) = (at_step(STEP), at_step(-STEP));
            ((above - below) / (high - low)) as f32
        };
        let slopes: Vec<f32> = (0..input.len()).map(slope).collect();
        close(gradient, &slopes, 2e-4);
    }

    /// Returns pseudo-random floats between -2 and 2.
    pub(super) fn pseudo_random(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_769).wrapping_add(12_345);
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 22) as f32 - 2.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn half_a_loss_has_half_the_gradient() {
        let loss = |value, gradient: [f32; 2]| Loss {
            value,
            gradient: gradient.to_vec(),
        };
        let half = loss(1.0, [1.0, -2.0]).scaled(0.5);
        assert_eq!(half, loss(0.5, [0.5, -1.0]));
    }

    #[test]
    fn large_scores_have_logarithms() {
        let logs = log_softmax(&[1000.0, 0.0, -1000.0], 1.0);
        assert_eq!(logs, [0.0, -1000.0, -2000.0]);
    }
}
