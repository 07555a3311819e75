//! Zero-shot classification: asks an entailment model whether a text entails "This example is {label}." (Yin et al.
//! 2019).

use super::{Classification, LabelScore, check_finite, descending};
use crate::config::HeadConfig;
use crate::error::{Error, Result};
use crate::kernels::Cpu;
use crate::kernels::softmax::softmax;

/// Options of zero-shot classification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZeroShotOptions {
    /// Hypothesis, with `{}` as the placeholder of the label.
    pub template: String,
    /// Whether several labels may hold; each label is then scored by itself.
    pub multi_label: bool,
    /// Name or id of the model's label that means entailment. `None` selects the label whose name begins with "entail".
    pub entailment_label: Option<String>,
}

impl Default for ZeroShotOptions {
    fn default() -> Self {
        Self {
            template: "This example is {}.".to_owned(),
            multi_label: false,
            entailment_label: None,
        }
    }
}

impl ZeroShotOptions {
    /// Returns the hypothesis for a label.
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

/// Returns the id of the label that means entailment: the one that the options name, else the one that the model's
/// files name.
///
/// # Errors
/// `Option` for a label that the model does not have, `Input` if neither options nor files name one.
pub(crate) fn entailment(head: &HeadConfig, options: &ZeroShotOptions) -> Result<usize> {
    let labels = &head.labels;
    let Some(chosen) = &options.entailment_label else {
        return head.entailment.ok_or_else(|| Error::input(format!(
                "zero-shot needs a model of entailment, and none of this one's labels begins with \"entail\": {}; if one of \
                 them means it, the option entailment_label takes its name or its id",
                first_labels(labels)
            )));
    };
    let mut named = (0..labels.len()).filter(|&id| labels[id] == *chosen);
    let wrong = |reason: String| Error::Option {
        name: "entailment_label",
        reason,
    };
    match (named.next(), named.next()) {
        (Some(id), None) => Ok(id),
        (Some(first), Some(second)) => Err(wrong(format!(
            "labels {first} and {second} are both called {chosen:?}: name one by its id"
        ))),
        (None, _) => chosen
            .parse()
            .ok()
            .filter(|&id| id < labels.len())
            .ok_or_else(|| {
                wrong(format!(
                    "{chosen:?} is neither a label of the model ({}) nor an id from 0 to {}",
                    first_labels(labels),
                    labels.len().saturating_sub(1)
                ))
            }),
    }
}

/// Whether the labels have no names of their own: each is `LABEL_` and its id, or its id alone.
pub(crate) fn are_unnamed(labels: &[String]) -> bool {
    let mut numbered = labels.iter().enumerate();
    numbered.all(|(id, label)| label.strip_prefix("LABEL_").unwrap_or(label) == id.to_string())
}

/// Lists the first few labels, in at most 200 characters.
fn first_labels(labels: &[String]) -> String {
    const FEW: usize = 8;
    let list = labels[..labels.len().min(FEW)].join(", ");
    let mut cut: String = list.chars().take(200).collect();
    if labels.len() > FEW || cut.len() < list.len() {
        cut.push_str(" ...");
    }
    cut
}

/// Decodes the logits of all hypotheses, (candidate labels, the model's labels), to an answer.
pub(crate) fn decode(
    logits: &[f32],
    model_labels: usize,
    entailment: usize,
    labels: &[&str],
    options: &ZeroShotOptions,
    cpu: Cpu,
) -> Result<Classification> {
    check_finite("a logit of the classifier", logits)?;
    // If entailment is the first label, contradiction is the last; otherwise contradiction is the first.
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
            id,
            score: scores[id],
        })
        .collect();
    let best = scores
        .first()
        .ok_or_else(|| Error::input("zero-shot needs at least one label"))?;
    Ok(Classification {
        label: best.label.clone(),
        id: best.id,
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
    use crate::config::{ScoreFunction, Task};

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
    fn a_template_without_a_place_for_the_label() {
        let options = ZeroShotOptions {
            template: "It is so.".to_owned(),
            ..ZeroShotOptions::default()
        };
        assert!(matches!(options.hypothesis("x"), Err(Error::Option { .. })));
    }

    fn head(labels: &[&str], entailment: Option<usize>) -> HeadConfig {
        HeadConfig {
            architecture: String::new(),
            task: Task::Classification,
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            score: ScoreFunction::Softmax,
            rank: ScoreFunction::Sigmoid,
            multi_label: false,
            entailment,
            tie_word_embeddings: true,
        }
    }

    #[test]
    fn the_label_that_means_entailment() {
        let chosen = |labels: &[&str], named, label: Option<&str>| {
            let options = ZeroShotOptions {
                entailment_label: label.map(str::to_owned),
                ..ZeroShotOptions::default()
            };
            entailment(&head(labels, named), &options)
        };
        let labels = ["no", "1", "yes", "yes"];
        assert_eq!(chosen(&labels, Some(2), None).unwrap(), 2);
        assert_eq!(chosen(&labels, Some(2), Some("no")).unwrap(), 0);
        assert_eq!(chosen(&labels, None, Some("3")).unwrap(), 3);
        assert_eq!(chosen(&["1", "0"], None, Some("0")).unwrap(), 1); // a name takes precedence over an id
        for (wrong, says) in [
            ("4", "no, 1, yes, yes"),
            ("-1", "0 to 3"),
            ("Yes", "Yes"),
            ("", "neither"),
            ("yes", "labels 2 and 3"),
        ] {
            let error = chosen(&labels, Some(2), Some(wrong)).unwrap_err();
            assert!(matches!(error, Error::Option { .. }), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
        let error = chosen(&labels, None, None).unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error}");
        let many: Vec<String> = (0..1000).map(|id| format!("label {id}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let long = "x".repeat(1000);
        for labels in [&many[..], &[&long]] {
            let error = chosen(labels, None, None).unwrap_err().to_string();
            assert!(error.len() < 450, "{error}");
        }
    }

    #[test]
    fn labels_without_names() {
        let unnamed = |labels: &[&str]| are_unnamed(&head(labels, None).labels);
        assert!(unnamed(&["LABEL_0", "LABEL_1"]) && unnamed(&["0", "1"]));
        for named in [&["LABEL_1", "LABEL_0"][..], &["LABEL_0", "no"], &["1", "2"]] {
            assert!(!unnamed(named), "{named:?}");
        }
    }
}
