//! Ranking loss of matching pairs against all other pairs of the batch.

use super::regression::UnitVector;
use super::{CrossEntropy, PairLoss};

/// Computes the multiple-negatives ranking loss (Henderson et al. 2017): cross-entropy of `scale cos(first_i, second_j)` over all j, with class
/// i. Embeddings are (pairs, width) each; sentence-transformers scales by 20.
pub(crate) fn multiple_negatives_ranking(
    first: &[f32],
    second: &[f32],
    width: usize,
    scale: f64,
) -> PairLoss {
    assert_eq!(first.len(), second.len());
    let units = |rows: &[f32]| -> Vec<UnitVector> {
        rows.chunks_exact(width).map(UnitVector::of).collect()
    };
    let (firsts, seconds) = (units(first), units(second));
    let row = |first: &UnitVector| -> Vec<f64> {
        seconds.iter().map(|second| first.dot(second)).collect()
    };
    let cosines: Vec<Vec<f64>> = firsts.iter().map(row).collect();
    let scores = cosines
        .iter()
        .flatten()
        .map(|cosine| (scale * cosine) as f32);
    let scores: Vec<f32> = scores.collect();
    let targets: Vec<Option<usize>> = (0..firsts.len()).map(Some).collect();
    let loss = CrossEntropy::default().loss(&scores, &targets);

    let slope = |i: usize, j: usize| scale * f64::from(loss.gradient[i * firsts.len() + j]);
    // Gradient of a vector from all its cosines: the weighted sum of the others' directions, and its component along the
    // vector.
    let backward =
        |vector: &UnitVector, others: &[UnitVector], cosines: &dyn Fn(usize) -> (f64, f64)| {
            let (mut towards, mut along) = (vec![0.0; width], 0.0);
            for (at, other) in others.iter().enumerate() {
                let (slope, cosine) = cosines(at);
                along += slope * cosine;
                for (towards, x) in towards.iter_mut().zip(&other.direction) {
                    *towards += slope * x;
                }
            }
            vector.backward(&towards, 1.0, along).collect::<Vec<f32>>()
        };
    let of_first = |i: usize| backward(&firsts[i], &seconds, &|j| (slope(i, j), cosines[i][j]));
    let of_second = |j: usize| backward(&seconds[j], &firsts, &|i| (slope(i, j), cosines[i][j]));
    PairLoss {
        value: loss.value,
        first: (0..firsts.len()).flat_map(of_first).collect(),
        second: (0..seconds.len()).flat_map(of_second).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Golden, differences, pseudo_random};
    use super::*;

    #[test]
    fn ranking_is_that_of_pytorch() {
        let golden = Golden::of("multiple_negatives_ranking");
        let (first, second) = (golden.floats("first"), golden.floats("second"));
        let loss = multiple_negatives_ranking(&first, &second, 5, 20.0);
        golden.check_value(loss.value, 1e-6);
        golden.check_gradient("first_gradient", &loss.first, 2e-6);
        golden.check_gradient("second_gradient", &loss.second, 2e-6);
    }

    #[test]
    fn gradients_are_slopes() {
        // A small scale: the scores go through f32, whose steps a large one would show.
        let (first, second) = (pseudo_random(9, 5), pseudo_random(9, 6));
        let value = |a: &[f32], b: &[f32]| multiple_negatives_ranking(a, b, 3, 1.0).value;
        let loss = multiple_negatives_ranking(&first, &second, 3, 1.0);
        differences(&first, &loss.first, |first| value(first, &second));
        differences(&second, &loss.second, |second| value(&first, second));
    }
}
