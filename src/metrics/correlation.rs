//! Metrics of regression and similarity: correlations.

/// Computes Pearson's correlation of (expected, predicted) pairs: the covariance over the product of the standard deviations.
///
/// `None` if it is undefined: for fewer than two pairs, or if one side is constant or not finite.
///
/// ```
/// let r = bertless::metrics::pearson(&[(1.0, 10.0), (2.0, 20.0), (3.0, 30.0)]);
/// assert!((r.unwrap() - 1.0).abs() < 1e-12);
/// ```
pub fn pearson(pairs: &[(f64, f64)]) -> Option<f64> {
    let count = pairs.len() as f64;
    let (sum_x, sum_y) = pairs
        .iter()
        .fold((0.0, 0.0), |(x, y), pair| (x + pair.0, y + pair.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    // Deviations from the mean in a second pass: plain sums of squares would lose the significant digits.
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (x, y) = (x - mean_x, y - mean_y);
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    let r = xy / (xx.sqrt() * yy.sqrt());
    r.is_finite().then(|| r.clamp(-1.0, 1.0))
}

/// Computes Spearman's rank correlation of (expected, predicted) pairs: Pearson's correlation of their ranks. Equal values
/// share the mean of their ranks.
///
/// `None` if it is undefined: for fewer than two pairs, or if one side is constant or has a NaN.
///
/// ```
/// let r = bertless::metrics::spearman(&[(1.0, 1.0), (2.0, 8.0), (3.0, 27.0)]);
/// assert!((r.unwrap() - 1.0).abs() < 1e-12);
/// ```
pub fn spearman(pairs: &[(f64, f64)]) -> Option<f64> {
    if pairs.iter().any(|(x, y)| x.is_nan() || y.is_nan()) {
        return None;
    }
    let x = ranks(pairs.iter().map(|pair| pair.0));
    let y = ranks(pairs.iter().map(|pair| pair.1));
    let ranked: Vec<(f64, f64)> = x.into_iter().zip(y).collect();
    pearson(&ranked)
}

/// Returns the rank of each value, counted from one. Equal values share the mean of their ranks.
fn ranks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = values.enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut ranks = vec![0.0; order.len()];
    let mut before = 0;
    for ties in order.chunk_by(|a, b| a.1 == b.1) {
        let rank = before as f64 + (ties.len() + 1) as f64 / 2.0;
        for (index, _) in ties {
            ranks[*index] = rank;
        }
        before += ties.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs with ties. The values in the tests were computed by scipy.
    const PAIRS: [(f64, f64); 7] = [
        (1.0, 2.1),
        (2.5, 1.9),
        (2.5, 3.3),
        (0.0, -0.5),
        (4.2, 3.3),
        (5.0, 9.75),
        (3.1, 2.0),
    ];

    #[test]
    fn values_and_ranks_with_ties() {
        assert!((pearson(&PAIRS).unwrap() - 0.811_083_841_124_262_5).abs() < 1e-12);
        assert!((spearman(&PAIRS).unwrap() - 0.736_363_636_363_636_4).abs() < 1e-12);
    }

    #[test]
    fn far_from_zero_no_digit_is_lost() {
        let moved = PAIRS.map(|(x, y)| (x + 1e6, y - 1e6));
        assert!((pearson(&moved).unwrap() - pearson(&PAIRS).unwrap()).abs() < 1e-9);
    }

    #[test]
    fn minus_zero_ties_with_zero() {
        assert_eq!(
            ranks([0.0, -0.0, 1.0, -1.0].into_iter()),
            [2.5, 2.5, 4.0, 1.0]
        );
    }

    #[test]
    fn not_defined() {
        for pairs in [
            &[][..],
            &[(1.0, 2.0)],
            &[(1.0, 2.0), (1.0, 3.0)],
            &[(1.0, f64::NAN), (2.0, 3.0)],
        ] {
            assert_eq!((pearson(pairs), spearman(pairs)), (None, None), "{pairs:?}");
        }
        assert_eq!(pearson(&[(1.0, f64::INFINITY), (2.0, 3.0)]), None);
    }
}
