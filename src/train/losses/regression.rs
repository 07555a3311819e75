//! Losses of real values: scores, embeddings, hidden states.

use super::{Loss, PairLoss};

/// Computes the mean of `(x - target)^2` over all values: for regression, and for embeddings or hidden states of the teacher's width
/// (Reimers and Gurevych 2020; Jiao et al. 2020). As `torch.nn.functional.mse_loss`.
pub(crate) fn mean_squared_error(x: &[f32], targets: &[f32]) -> Loss {
    assert_eq!(x.len(), targets.len());
    let mut loss = Loss::none(x.len());
    let count = x.len().max(1) as f64;
    for ((x, target), gradient) in x.iter().zip(targets).zip(&mut loss.gradient) {
        let difference = f64::from(*x) - f64::from(*target);
        loss.value += difference * difference;
        *gradient = (2.0 * difference / count) as f32;
    }
    loss.value /= count;
    loss
}

/// Computes the mean of `(cos(first, second) - score)^2` over pairs of embeddings, (pairs, width) each: the cosine-similarity regression of
/// Sentence-BERT (Reimers and Gurevych 2019).
pub(crate) fn cosine_similarity(
    first: &[f32],
    second: &[f32],
    width: usize,
    scores: &[f32],
) -> PairLoss {
    assert_eq!(first.len(), scores.len() * width);
    assert_eq!(second.len(), first.len());
    let mut loss = PairLoss {
        value: 0.0,
        first: Vec::with_capacity(first.len()),
        second: Vec::with_capacity(first.len()),
    };
    let pairs = first.chunks_exact(width).zip(second.chunks_exact(width));
    for ((first, second), &score) in pairs.zip(scores) {
        let (first, second) = (UnitVector::of(first), UnitVector::of(second));
        let cosine = first.dot(&second);
        let difference = cosine - f64::from(score);
        loss.value += difference * difference / scores.len() as f64;
        let slope = 2.0 * difference / scores.len() as f64;
        loss.first
            .extend(first.backward(&second.direction, slope, cosine));
        loss.second
            .extend(second.backward(&first.direction, slope, cosine));
    }
    loss
}

/// A vector, split into direction and length.
#[derive(Clone, Debug)]
pub(super) struct UnitVector {
    pub(super) direction: Vec<f64>,
    length: f64,
}

impl UnitVector {
    /// Splits a vector. A length below 1e-8 is taken as 1e-8, as in PyTorch's `cosine_similarity`.
    pub(super) fn of(vector: &[f32]) -> Self {
        let squares: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let length = squares.sqrt().max(1e-8);
        Self {
            direction: vector.iter().map(|&x| f64::from(x) / length).collect(),
            length,
        }
    }

    pub(super) fn dot(&self, other: &Self) -> f64 {
        let products = self.direction.iter().zip(&other.direction);
        products.map(|(a, b)| a * b).sum()
    }

    /// Returns the gradient of the vector, given that of its direction as `slope` times `towards`. `along` is the component of
    /// `towards` along the direction, which normalization removes.
    pub(super) fn backward<'a>(
        &'a self,
        towards: &'a [f64],
        slope: f64,
        along: f64,
    ) -> impl Iterator<Item = f32> + 'a {
        let both = self.direction.iter().zip(towards);
        both.map(move |(direction, towards)| {
            (slope * (towards - along * direction) / self.length) as f32
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Golden, differences, pseudo_random};
    use super::*;

    #[test]
    fn mean_squared_error_is_that_of_pytorch() {
        let golden = Golden::of("mean_squared_error");
        let (x, targets) = (golden.floats("x"), golden.floats("targets"));
        let loss = mean_squared_error(&x, &targets);
        golden.check(&loss, 1e-6);
        differences(&x, &loss.gradient, |x| {
            mean_squared_error(x, &targets).value
        });
        assert_eq!(mean_squared_error(&[], &[]).value, 0.0);
    }

    #[test]
    fn cosine_similarity_is_that_of_pytorch() {
        let golden = Golden::of("cosine_similarity");
        let (first, second) = (golden.floats("first"), golden.floats("second"));
        let scores = golden.floats("scores");
        let loss = cosine_similarity(&first, &second, 5, &scores);
        golden.check_value(loss.value, 1e-6);
        golden.check_gradient("first_gradient", &loss.first, 1e-6);
        golden.check_gradient("second_gradient", &loss.second, 1e-6);
    }

    #[test]
    fn its_gradients_are_its_slopes() {
        let (first, second) = (pseudo_random(6, 3), pseudo_random(6, 4));
        let scores = [0.9, -0.2];
        let loss = cosine_similarity(&first, &second, 3, &scores);
        differences(&first, &loss.first, |first| {
            cosine_similarity(first, &second, 3, &scores).value
        });
        differences(&second, &loss.second, |second| {
            cosine_similarity(&first, second, 3, &scores).value
        });
    }
}
