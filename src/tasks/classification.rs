//! Sequence classification, regression, and the scores of cross-encoders.

use std::collections::BTreeMap;

use super::{Classification, LabelScore, argmax, check_finite, descending};
use crate::config::{HeadConfig, ScoreFunction, Task};
use crate::error::{Error, Result};
use crate::kernels::Cpu;
use crate::kernels::softmax::softmax;

/// Scores, from 0 to 1, from which on labels of a multi-label model hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// Threshold of every label that is not in `labels`.
    pub default: f32,
    /// Thresholds of single labels, by label name.
    pub labels: BTreeMap<String, f32>,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            default: 0.5,
            labels: BTreeMap::new(),
        }
    }
}

impl Thresholds {
    /// Sets one threshold for all labels.
    pub fn all(threshold: f32) -> Self {
        Self {
            default: threshold,
            ..Self::default()
        }
    }

    /// Refuses thresholds for a model that is not a multi-label classifier, for a label that the model does not have,
    /// and outside of 0 to 1.
    pub(crate) fn check(&self, head: &HeadConfig) -> Result<()> {
        let wrong = |reason: String| Error::Option {
            name: "thresholds",
            reason,
        };
        if !head.multi_label {
            let found = match head.task {
                Task::Classification => "labels that exclude each other",
                other => other.name(),
            };
            return Err(wrong(format!(
                "only multi-label classifiers have thresholds, and this is a model for {found}"
            )));
        }
        if let Some(label) = self
            .labels
            .keys()
            .find(|label| !head.labels.contains(label))
        {
            return Err(wrong(format!(
                "the model has no label {label:?}, only {}",
                head.labels.join(", ")
            )));
        }
        let mut all = self.labels.values().chain([&self.default]);
        match all.find(|threshold| !(0.0..=1.0).contains(*threshold)) {
            None => Ok(()),
            Some(threshold) => Err(wrong(format!("{threshold} is not a number from 0 to 1"))),
        }
    }

    fn threshold(&self, label: &str) -> f32 {
        self.labels.get(label).copied().unwrap_or(self.default)
    }
}

/// Turns the logits of one text into scores, in place.
pub(crate) fn score(function: ScoreFunction, cpu: Cpu, logits: &mut [f32]) {
    match function {
        ScoreFunction::Identity => {}
        ScoreFunction::Softmax => softmax(cpu, logits),
        ScoreFunction::Sigmoid => {
            let sigmoid = |x: f32| 1.0 / (1.0 + (-f64::from(x)).exp());
            logits.iter_mut().for_each(|x| *x = sigmoid(*x) as f32);
        }
    }
}

/// Decodes the logits of one text, (labels), to an answer. The caller sets its number of tokens.
pub(crate) fn classify(
    mut logits: Vec<f32>,
    head: &HeadConfig,
    thresholds: Option<&Thresholds>,
    cpu: Cpu,
) -> Result<Classification> {
    check_finite("a logit of the classifier", &logits)?;
    score(head.score, cpu, &mut logits);
    let scores = logits;
    let best = argmax(&scores);
    let order = descending(&scores);
    let default = Thresholds::default();
    let thresholds = thresholds.unwrap_or(&default);
    let labels = head.multi_label.then(|| {
        let holds = |&&id: &&usize| scores[id] >= thresholds.threshold(&head.labels[id]);
        let holding = order.iter().filter(holds);
        holding.map(|&id| head.labels[id].clone()).collect()
    });
    Ok(Classification {
        label: head.labels[best].clone(),
        id: best,
        score: scores[best],
        labels,
        scores: order
            .iter()
            .map(|&id| LabelScore {
                label: head.labels[id].clone(),
                id,
                score: scores[id],
            })
            .collect(),
        n_tokens: 0,
        truncated: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    fn head(score: ScoreFunction, multi_label: bool) -> HeadConfig {
        HeadConfig {
            architecture: String::new(),
            task: Task::Classification,
            labels: ["a", "b", "c"].map(str::to_owned).to_vec(),
            score,
            rank: score,
            multi_label,
            entailment: None,
            tie_word_embeddings: true,
        }
    }

    fn answer(head: &HeadConfig, thresholds: &Thresholds, logits: [f32; 3]) -> Classification {
        classify(logits.to_vec(), head, Some(thresholds), Cpu::detect()).unwrap()
    }

    #[test]
    fn highest_first_and_equal_ones_by_id() {
        let head = head(ScoreFunction::Softmax, false);
        let answer = answer(&head, &Thresholds::default(), [1.0, 2.0, 1.0]);
        let order: Vec<&str> = answer.scores.iter().map(|s| s.label.as_str()).collect();
        assert_eq!(order, ["b", "a", "c"]);
        assert_eq!(answer.label, "b");
        // e / (e + 2)
        assert!((answer.score - 0.576_116_9).abs() < 1e-6);
        assert_eq!(answer.labels, None);
    }

    #[test]
    fn several_labels_hold_by_their_thresholds() {
        let head = head(ScoreFunction::Sigmoid, true);
        let labels = |thresholds: &Thresholds| answer(&head, thresholds, [-1.0, 2.0, 0.0]).labels;
        assert_eq!(labels(&Thresholds::default()).unwrap(), ["b", "c"]);
        let mut thresholds = Thresholds::all(0.2);
        thresholds.labels.insert("b".to_owned(), 0.9);
        assert_eq!(labels(&thresholds).unwrap(), ["c", "a"]);
        assert!(thresholds.check(&head).is_ok());
        thresholds.labels.insert("d".to_owned(), 0.9);
        assert!(matches!(thresholds.check(&head), Err(Error::Option { .. })));
    }

    #[test]
    fn a_regression_keeps_its_value() {
        let head = head(ScoreFunction::Identity, false);
        assert_eq!(
            answer(&head, &Thresholds::default(), [-3.5, -4.0, -9.0]).score,
            -3.5
        );
    }

    #[test]
    fn a_logit_that_is_no_number_is_an_error() {
        let head = head(ScoreFunction::Softmax, false);
        let logits = vec![0.0, f32::NAN, 1.0];
        let answer = classify(logits, &head, None, Cpu::detect());
        assert!(matches!(answer, Err(Error::NonFinite { .. })));
    }
}
