//! Losses of classification: one label of many, or any number of labels.

use super::{Loss, log_softmax};

/// Cross-entropy of rows of logits, (rows, classes), with one target class each.
///
/// The loss of a row with class y is `(1 - s) w_y nll_y + s / classes * sum over c of w_c nll_c` with `nll = -log softmax`, the
/// class weights w and the label smoothing s. The mean divides the sum by that of the w_y, as
/// `torch.nn.functional.cross_entropy` does.
#[derive(Clone, Debug, Default)]
pub(crate) struct CrossEntropy {
    /// Label smoothing, from 0 to 1: the fraction of the target that is spread over all classes.
    pub(crate) smoothing: f64,
    /// Weight of each class; `None` means 1 for each.
    pub(crate) weights: Option<Vec<f64>>,
}

impl CrossEntropy {
    /// Computes the mean over the rows that have a class. Rows of `None` (special tokens, later pieces of words) do not count.
    /// Without any row that counts the loss is 0.
    pub(crate) fn loss(&self, logits: &[f32], targets: &[Option<usize>]) -> Loss {
        let mut loss = Loss::none(logits.len());
        let weight = |class: usize| self.weights.as_ref().map_or(1.0, |weights| weights[class]);
        let total: f64 = targets.iter().flatten().map(|&class| weight(class)).sum();
        if total == 0.0 {
            return loss;
        }
        let classes = logits.len() / targets.len();
        assert_eq!(logits.len(), targets.len() * classes, "rows of {classes}");
        let spread = self.smoothing / classes as f64;
        let rows = logits.chunks_exact(classes);
        let gradients = loss.gradient.chunks_exact_mut(classes);
        for ((row, gradient), target) in rows.zip(gradients).zip(targets) {
            let Some(target) = *target else { continue };
            let logs = log_softmax(row, 1.0);
            // The weighted target distribution: the weight of each class's log-probability.
            let share = |class: usize| {
                let hit = if class == target {
                    1.0 - self.smoothing
                } else {
                    0.0
                };
                hit * weight(class) + spread * weight(class)
            };
            let sum: f64 = (0..classes).map(share).sum();
            for (class, (log, gradient)) in logs.iter().zip(gradient).enumerate() {
                loss.value -= share(class) * log / total;
                *gradient = ((sum * log.exp() - share(class)) / total) as f32;
            }
        }
        loss
    }
}

/// Binary cross-entropy of logits, (rows, labels), with any number of target labels.
///
/// The loss is the mean over all rows and labels, as `torch.nn.functional.binary_cross_entropy_with_logits`; `weights` is its `pos_weight`,
/// the weight of a label where it holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct BinaryCrossEntropy {
    /// Weight of each label; `None` means 1 for each.
    pub(crate) weights: Option<Vec<f64>>,
}

impl BinaryCrossEntropy {
    /// Computes the mean. `targets`, from 0 to 1, has the shape of `logits`; fractions, such as a teacher's probabilities, are
    /// allowed.
    pub(crate) fn loss(&self, logits: &[f32], targets: &[f32], labels: usize) -> Loss {
        assert_eq!(logits.len(), targets.len());
        let mut loss = Loss::none(logits.len());
        let count = logits.len().max(1) as f64;
        for (at, (&logit, &target)) in logits.iter().zip(targets).enumerate() {
            let (logit, target) = (f64::from(logit), f64::from(target));
            let weight = self
                .weights
                .as_ref()
                .map_or(1.0, |weights| weights[at % labels]);
            // log(1 + e^-|x|), from which both -log sigmoid(x) and -log sigmoid(-x) follow without overflow.
            let log = (-logit.abs()).exp().ln_1p();
            let (yes, no) = (log + (-logit).max(0.0), log + logit.max(0.0));
            loss.value += (weight * target * yes + (1.0 - target) * no) / count;
            let sigmoid = (-yes).exp();
            let slope = weight * target * (sigmoid - 1.0) + (1.0 - target) * sigmoid;
            loss.gradient[at] = (slope / count) as f32;
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Golden, differences, pseudo_random};
    use super::*;

    fn targets(golden: &Golden) -> Vec<Option<usize>> {
        let targets = golden.whole("targets").into_iter();
        targets.map(|target| usize::try_from(target).ok()).collect()
    }

    fn weights(golden: &Golden) -> Option<Vec<f64>> {
        Some(
            golden
                .floats("weights")
                .into_iter()
                .map(f64::from)
                .collect(),
        )
    }

    #[test]
    fn cross_entropy_is_that_of_pytorch() {
        let golden = Golden::of("cross_entropy");
        let loss = CrossEntropy::default();
        golden.check(
            &loss.loss(&golden.floats("logits"), &targets(&golden)),
            1e-6,
        );
        let golden = Golden::of("cross_entropy_smoothed_weighted");
        let loss = CrossEntropy {
            smoothing: 0.1,
            weights: weights(&golden),
        };
        golden.check(
            &loss.loss(&golden.floats("logits"), &targets(&golden)),
            1e-6,
        );
    }

    #[test]
    fn its_gradient_is_its_slope() {
        let logits = pseudo_random(12, 1);
        let targets = [Some(2), None, Some(0), Some(2)];
        let loss = CrossEntropy {
            smoothing: 0.2,
            weights: Some(vec![0.5, 1.0, 2.0]),
        };
        let gradient = loss.loss(&logits, &targets).gradient;
        assert_eq!(gradient[3..6], [0.0; 3]);
        differences(&logits, &gradient, |logits| {
            loss.loss(logits, &targets).value
        });
    }

    #[test]
    fn nothing_to_learn_is_no_loss() {
        let none = CrossEntropy::default().loss(&[1.0, 2.0], &[None]);
        assert_eq!((none.value, none.gradient), (0.0, vec![0.0; 2]));
        assert_eq!(CrossEntropy::default().loss(&[], &[]), Loss::none(0));
    }

    #[test]
    fn binary_cross_entropy_is_that_of_pytorch() {
        for name in ["binary_cross_entropy", "binary_cross_entropy_weighted"] {
            let golden = Golden::of(name);
            let loss = BinaryCrossEntropy {
                weights: name
                    .ends_with("weighted")
                    .then(|| weights(&golden).unwrap()),
            };
            let (logits, targets) = (golden.floats("logits"), golden.floats("targets"));
            let found = loss.loss(&logits, &targets, 3);
            golden.check(&found, 1e-6);
            differences(&logits, &found.gradient, |logits| {
                loss.loss(logits, &targets, 3).value
            });
        }
        let far = BinaryCrossEntropy::default().loss(&[-500.0, 500.0], &[0.0, 1.0], 2);
        assert!(far.value < 1e-200, "{}", far.value);
    }
}
