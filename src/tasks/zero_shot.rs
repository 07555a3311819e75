//! Zero-shot classification: does the text entail "This example is {label}."? (Yin et al. 2019)

use super::{Classification, LabelScore, descending, finite};
use crate::error::{Error, Result};
use crate::kernels::Cpu;
use crate::kernels::softmax::softmax;

/// How labels are put to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZeroShotOptions {
    /// The hypothesis, with `{}` where the label goes.
    pub template: String,
    /// Whether several labels may hold: each is then judged by itself.
    pub multi_label: bool,
}

impl Default for ZeroShotOptions {
    fn default() -> Self {
        Self {
            template: "This example is {}.".to_owned(),
            multi_label: false,
        }
    }
}

impl ZeroShotOptions {
    /// The hypothesis about a label.
    pub(crate) fn hypothesis(&self, label: &str) -> Result<String> {
        if !self.template.contains("{}") {
            return Err(Error::Option {
                name: "template",
                reason: format!("{:?} has no {{}} for the label", self.template),
            });
        }
        Ok(self.template.replacen("{}", label, 1))
    }
}

/// The id of the label that says so: the one whose name starts with "entail".
pub(crate) fn entailment(labels: &[String]) -> Result<usize> {
    let entails = |label: &String| label.to_lowercase().starts_with("entail");
    labels.iter().position(entails).ok_or_else(|| Error::Input {
        reason: format!(
            "zero-shot needs a model of entailment, but the labels of this one are {}",
            labels.join(", ")
        ),
    })
}

/// Logits of each hypothesis, (labels asked for, labels of the model), as an answer.
pub(crate) fn decode(
    logits: &[f32],
    model_labels: usize,
    entailment: usize,
    labels: &[&str],
    options: &ZeroShotOptions,
    cpu: Cpu,
) -> Result<Classification> {
    finite("a logit of the classifier", logits)?;
    // Where entailment comes first, contradiction comes last.
    let contradiction = if entailment == 0 { model_labels - 1 } else { 0 };
    let rows = logits.chunks_exact(model_labels);
    let scores: Vec<f32> = if options.multi_label || labels.len() == 1 {
        rows.map(|row| {
            let mut both = [row[contradiction], row[entailment]];
            softmax(cpu, &mut both);
            both[1]
        })
        .collect()
    } else {
        let mut scores: Vec<f32> = rows.map(|row| row[entailment]).collect();
        softmax(cpu, &mut scores);
        scores
    };
    let scores: Vec<LabelScore> = descending(&scores)
        .into_iter()
        .map(|id| LabelScore {
            label: labels[id].to_owned(),
            score: scores[id],
        })
        .collect();
    let best = scores.first().ok_or_else(|| Error::Input {
        reason: "zero-shot needs at least one label".to_owned(),
    })?;
    Ok(Classification {
        label: best.label.clone(),
        score: best.score,
        labels: None,
        scores,
        n_tokens: 0,
        truncated: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_weighed_against_each_other_or_alone() {
        let logits = [3.0, 0.0, 1.0, -1.0, 0.0, 2.0]; // contradiction, neutral, entailment
        let labels = ["x", "y"];
        let decode = |options: &ZeroShotOptions| {
            decode(&logits, 3, 2, &labels, options, Cpu::detect()).unwrap()
        };
        let mut options = ZeroShotOptions::default();
        let answer = decode(&options);
        assert_eq!(answer.label, "y");
        assert!((answer.score - 0.731_058_6).abs() < 1e-6); // 1 / (1 + e^-1)
        options.multi_label = true;
        let answer = decode(&options);
        assert!((answer.scores[0].score - 0.952_574_1).abs() < 1e-6); // 1 / (1 + e^-3)
        assert!((answer.scores[1].score - 0.119_202_9).abs() < 1e-6); // 1 / (1 + e^2)
    }

    #[test]
    fn templates_and_models_that_do_not_fit() {
        let options = ZeroShotOptions {
            template: "It is so.".to_owned(),
            multi_label: false,
        };
        assert!(matches!(options.hypothesis("x"), Err(Error::Option { .. })));
        let labels = ["positive".to_owned(), "negative".to_owned()];
        assert!(matches!(entailment(&labels), Err(Error::Input { .. })));
        assert_eq!(
            entailment(&["CONTRADICTION".to_owned(), "ENTAILMENT".to_owned()]).unwrap(),
            1
        );
    }
}
