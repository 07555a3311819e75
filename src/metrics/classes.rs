//! Metrics of classification: accuracy, F1 and Matthews' correlation.

use std::collections::BTreeMap;

use super::{Counts, MicroMacro, ratio};

/// Computes the fraction of (expected, predicted) pairs that agree. 0 if there are no pairs.
///
/// ```
/// assert_eq!(bertless::metrics::accuracy(&[("a", "a"), ("b", "a")]), 0.5);
/// ```
pub fn accuracy<T: PartialEq>(pairs: &[(T, T)]) -> f64 {
    let right = pairs
        .iter()
        .filter(|(expected, predicted)| expected == predicted);
    ratio(right.count() as f64, pairs.len() as f64)
}

/// Computes the macro-averaged F1 of (expected, predicted) pairs: the mean of `2 TP / (2 TP + FP + FN)` over all labels that
/// are expected or predicted at least once, as `f1_score(average="macro")` of scikit-learn.
///
/// ```
/// // F1 of "a" is 2/3, of "b" 0.
/// let f1 = bertless::metrics::macro_f1(&[("a", "a"), ("b", "a")]);
/// assert!((f1 - 1.0 / 3.0).abs() < 1e-12);
/// ```
pub fn macro_f1<T: Ord>(pairs: &[(T, T)]) -> f64 {
    let counts = by_label(pairs);
    let sum: f64 = counts.values().map(|counts| counts.scores().f1).sum();
    ratio(sum, counts.len() as f64)
}

/// Computes Matthews' correlation coefficient of (expected, predicted) pairs, for any number of labels (Gorodkin 2004).
///
/// It is `(c s - p.t) / sqrt((s^2 - p.p) (s^2 - t.t))` for `s` pairs of which `c` agree, where the vectors `p` and `t` count how
/// often each label is predicted and expected. 0 if either side has only one label.
///
/// ```
/// assert_eq!(bertless::metrics::matthews(&[(0, 0), (1, 1), (1, 1)]), 1.0);
/// assert_eq!(bertless::metrics::matthews(&[(0, 1), (1, 0)]), -1.0);
/// ```
pub fn matthews<T: Ord>(pairs: &[(T, T)]) -> f64 {
    let counts = by_label(pairs);
    let sum = |of: &dyn Fn(&Counts) -> usize| counts.values().map(of).sum::<usize>() as f64;
    let all = pairs.len() as f64;
    let right = sum(&|counts| counts.right);
    let both = sum(&|counts| counts.predicted * counts.expected);
    let predicted = sum(&|counts| counts.predicted * counts.predicted);
    let expected = sum(&|counts| counts.expected * counts.expected);
    let below = ((all * all - predicted) * (all * all - expected)).sqrt();
    ratio(right * all - both, below)
}

/// Computes the micro- and macro-averaged F1 of multi-label predictions. Each row has one decision for each label.
///
/// A label that is never expected nor predicted has an F1 of 0 in the macro average. Decisions missing at the end of a shorter
/// row count as `false`.
///
/// ```
/// let rows = [(vec![true, true, false], vec![true, false, false])];
/// let f1 = bertless::metrics::multi_label_f1(&rows);
/// assert!((f1.micro - 2.0 / 3.0).abs() < 1e-12 && (f1.macro_ - 1.0 / 3.0).abs() < 1e-12);
/// ```
pub fn multi_label_f1(pairs: &[(Vec<bool>, Vec<bool>)]) -> MicroMacro {
    let mut counts: Vec<Counts> = Vec::new();
    let (mut all, yes) = (Counts::default(), |row: &[bool], label: usize| {
        usize::from(row.get(label) == Some(&true))
    });
    for (expected, predicted) in pairs {
        let labels = expected.len().max(predicted.len());
        counts.resize(counts.len().max(labels), Counts::default());
        for (label, label_counts) in counts.iter_mut().enumerate() {
            let (expected, predicted) = (yes(expected, label), yes(predicted, label));
            for counts in [label_counts, &mut all] {
                counts.expected += expected;
                counts.predicted += predicted;
                counts.right += expected * predicted;
            }
        }
    }
    let sum: f64 = counts.iter().map(|counts| counts.scores().f1).sum();
    MicroMacro {
        micro: all.scores().f1,
        macro_: ratio(sum, counts.len() as f64),
    }
}

fn by_label<T: Ord>(pairs: &[(T, T)]) -> BTreeMap<&T, Counts> {
    let mut counts: BTreeMap<&T, Counts> = BTreeMap::new();
    for (expected, predicted) in pairs {
        counts.entry(expected).or_default().expected += 1;
        counts.entry(predicted).or_default().predicted += 1;
        if expected == predicted {
            counts.entry(expected).or_default().right += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected and predicted labels. The values in the tests were computed by scikit-learn.
    const PAIRS: [(u8, u8); 10] = [
        (0, 0),
        (1, 2),
        (2, 2),
        (2, 2),
        (0, 1),
        (1, 1),
        (0, 0),
        (2, 0),
        (1, 1),
        (0, 3),
    ];

    #[test]
    fn three_labels_and_a_fourth_that_is_never_right() {
        assert_eq!(accuracy(&PAIRS), 0.6);
        assert!((macro_f1(&PAIRS) - 0.476_190_476_190_476_2).abs() < 1e-12);
        assert!((matthews(&PAIRS) - 0.435_194_139_889_244_6).abs() < 1e-12);
    }

    #[test]
    fn one_label_only_has_no_correlation() {
        assert_eq!(matthews(&[(0, 1), (0, 0), (0, 1)]), 0.0);
        assert_eq!(matthews(&[(1, 1), (1, 1)]), 0.0);
    }

    #[test]
    fn nothing_at_all_is_zero_and_never_a_nan() {
        let none: [(u8, u8); 0] = [];
        assert_eq!(
            (accuracy(&none), macro_f1(&none), matthews(&none)),
            (0.0, 0.0, 0.0)
        );
        let f1 = multi_label_f1(&[]);
        assert_eq!((f1.micro, f1.macro_), (0.0, 0.0));
    }

    #[test]
    fn sets_of_labels() {
        let row = |bits: [u8; 4]| bits.map(|bit| bit == 1).to_vec();
        let rows = [
            (row([1, 0, 1, 0]), row([1, 0, 0, 0])),
            (row([0, 1, 0, 0]), row([0, 1, 1, 0])),
            (row([1, 1, 0, 0]), row([1, 0, 0, 0])),
            (row([0, 0, 0, 0]), row([0, 1, 0, 0])),
        ];
        let f1 = multi_label_f1(&rows);
        assert!((f1.micro - 0.6).abs() < 1e-12);
        assert!((f1.macro_ - 0.375).abs() < 1e-12);
    }
}
