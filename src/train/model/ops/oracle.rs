//! Reference implementations of the operations in f64, written as their formulas, and comparisons with them.

use crate::train::random::mix;

/// Returns pseudo-random floats between -1 and 1, the same at each call.
pub(crate) fn random(seed: u64, len: usize) -> Vec<f32> {
    let number = |at| mix(mix(seed) ^ at as u64);
    (0..len)
        .map(|at| (number(at) >> 40) as f32 / (1 << 23) as f32 - 1.0)
        .collect()
}

pub(crate) fn widen(elements: &[f32]) -> Vec<f64> {
    elements.iter().map(|&x| x.into()).collect()
}

/// Compares an operation with its oracle, which takes N slices: inputs and parameters.
pub(crate) struct GradientCheck<'a, const N: usize, F> {
    d_out: &'a [f32],
    oracle: F,
}

impl<'a, const N: usize, F: Fn([&[f64]; N]) -> Vec<f64>> GradientCheck<'a, N, F> {
    /// Creates a check. `d_out` is the gradient of a loss with respect to the output.
    pub(crate) fn of(d_out: &'a [f32], oracle: F) -> Self {
        Self { d_out, oracle }
    }

    pub(crate) fn forward(&self, parts: [&[f32]; N], out: &[f32]) {
        let parts = parts.map(widen);
        let expected = (self.oracle)(std::array::from_fn(|at| &parts[at][..]));
        assert_close("what comes out", out, &expected, 1e-6);
    }

    /// Compares the gradient of each input with central differences of the oracle.
    pub(crate) fn backward(&self, parts: [&[f32]; N], found: [&[f32]; N]) {
        let mut parts = parts.map(widen);
        for (part, found) in found.iter().enumerate() {
            // Of long slices a sample is enough.
            let stride = found.len().div_ceil(400).max(1);
            let mut chosen = Vec::new();
            let mut expected = Vec::new();
            for at in (0..found.len()).step_by(stride) {
                let here = parts[part][at];
                let mut loss = |x: f64| {
                    parts[part][at] = x;
                    let out = (self.oracle)(std::array::from_fn(|at| &parts[at][..]));
                    parts[part][at] = here;
                    let terms = out.iter().zip(self.d_out);
                    terms.map(|(out, &d)| out * f64::from(d)).sum::<f64>()
                };
                const STEP: f64 = 1e-4;
                expected.push((loss(here + STEP) - loss(here - STEP)) / (2.0 * STEP));
                chosen.push(found[at]);
            }
            assert_close(
                &format!("the gradient of part {part}"),
                &chosen,
                &expected,
                2e-6,
            );
        }
    }
}

/// Asserts that each value is close to the expected one, relative to the largest of them.
pub(crate) fn assert_close(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-2, |most: f64, x| most.max(x.abs()));
    for (at, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs() / largest;
        assert!(
            error <= tolerance,
            "{what}, number {at}: {found}, expected {expected}"
        );
    }
}

/// Computes `x weight^T + bias`.
pub(crate) fn linear(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let inputs = weight.len() / bias.len();
    let row = |row: &[f64]| -> Vec<f64> {
        let channels = weight.chunks(inputs).zip(bias);
        channels
            .map(|(weight, bias)| bias + row.iter().zip(weight).map(|(x, w)| x * w).sum::<f64>())
            .collect()
    };
    x.chunks(inputs).flat_map(row).collect()
}

pub(crate) fn layer_norm(x: &[f64], weight: &[f64], bias: &[f64], eps: f64) -> Vec<f64> {
    let width = weight.len();
    let row = |row: &[f64]| -> Vec<f64> {
        let mean = row.iter().sum::<f64>() / width as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
        let scale = 1.0 / (variance + eps).sqrt();
        let elements = row.iter().zip(weight).zip(bias);
        elements
            .map(|((x, weight), bias)| (x - mean) * scale * weight + bias)
            .collect()
    };
    x.chunks(width).flat_map(row).collect()
}

/// Computes attention. `factor(row, key)`, the mask of the probabilities, is 1 where nothing is dropped; query rows are
/// numbered `row * heads + head`. `query_starts` has the offset of each text's queries, `starts` that of its keys.
pub(crate) fn attention(
    [query, key, value]: [&[f64]; 3],
    query_starts: &[usize],
    starts: &[usize],
    heads: usize,
    factor: impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    let rows = starts[starts.len() - 1];
    let hidden = key.len() / rows;
    let width = hidden / heads;
    let mut out = vec![0.0; query.len()];
    for (queries, keys) in query_starts.windows(2).zip(starts.windows(2)) {
        for head in 0..heads {
            let part = |of: &[f64], row: usize| of[row * hidden + head * width..][..width].to_vec();
            for row in queries[0]..queries[1] {
                let q = part(query, row);
                let scores = (keys[0]..keys[1]).map(|other| {
                    let dot: f64 = q.iter().zip(part(key, other)).map(|(q, k)| q * k).sum();
                    (dot / (width as f64).sqrt()).exp()
                });
                let scores: Vec<f64> = scores.collect();
                let sum: f64 = scores.iter().sum();
                for (at, score) in scores.iter().enumerate() {
                    let share = score / sum * factor(row * heads + head, at);
                    let out = &mut out[row * hidden + head * width..][..width];
                    for (out, value) in out.iter_mut().zip(part(value, keys[0] + at)) {
                        *out += share * value;
                    }
                }
            }
        }
    }
    out
}
