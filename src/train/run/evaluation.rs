//! Evaluation: metrics of a network on held-out examples.

use crate::error::{Error, Result};
use crate::metrics;
use crate::tasks::argmax;
use crate::train::data::{Example, Labels, Target};
use crate::train::task::{TargetType, TaskSpec};

/// Metric names and values; the first one selects the best model.
pub(crate) type Metrics = Vec<(String, f64)>;

/// Pairs of target and prediction, by kind of target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Predictions {
    classes: Vec<(usize, usize)>,
    sets: Vec<(Vec<bool>, Vec<bool>)>,
    scores: Vec<(f64, f64)>,
    tags: Vec<(Vec<String>, Vec<String>)>,
    spans: Vec<(usize, usize)>,
}

impl Predictions {
    /// Adds the network's output for some examples. `starts` has the row offset of each text; the second texts of pairs
    /// follow all first ones.
    pub(crate) fn add(
        &mut self,
        task: &TaskSpec,
        labels: &Labels,
        output: &[f32],
        starts: &[usize],
        examples: &[&Example],
    ) {
        let rows = if task.is_per_token() {
            starts[starts.len() - 1]
        } else {
            starts.len() - 1
        };
        let width = output.len() / rows.max(1);
        let row = |at: usize| &output[at * width..(at + 1) * width];
        for (at, example) in examples.iter().enumerate() {
            match &example.target {
                Target::None => {}
                Target::Class(class) => self.classes.push((*class, argmax(row(at)))),
                Target::Classes(classes) => {
                    let expected = classes.iter().map(|&holds| holds > 0.5).collect();
                    let found = row(at).iter().map(|&logit| logit > 0.0).collect();
                    self.sets.push((expected, found));
                }
                Target::Score(score) => {
                    let found = if task.is_embedding() {
                        cosine(row(at), row(at + examples.len()))
                    } else {
                        f64::from(row(at)[0])
                    };
                    self.scores.push((f64::from(*score), found));
                }
                Target::Tags(tags) => {
                    let name = |class: usize| labels.names()[class].clone();
                    let known = tags
                        .iter()
                        .enumerate()
                        .filter_map(|(token, tag)| Some((token, (*tag)?)));
                    let both = known
                        .map(|(token, tag)| (name(tag), name(argmax(row(starts[at] + token)))));
                    self.tags.push(both.unzip());
                }
                Target::Span(span) => {
                    let Some((first, last)) = *span else { continue };
                    let best = |column: usize| {
                        let text = starts[at]..starts[at + 1];
                        let scores: Vec<f32> = text.map(|token| row(token)[column]).collect();
                        argmax(&scores)
                    };
                    self.spans.extend([(first, best(0)), (last, best(1))]);
                }
            }
        }
    }

    /// Computes the metrics of a task; empty if there are no predictions.
    pub(crate) fn metrics(&self, task: &TaskSpec) -> Metrics {
        let values = match task.target {
            TargetType::Class if !self.classes.is_empty() => vec![
                metrics::accuracy(&self.classes),
                metrics::macro_f1(&self.classes),
                metrics::matthews(&self.classes),
            ],
            TargetType::Classes if !self.sets.is_empty() => {
                let f1 = metrics::multi_label_f1(&self.sets);
                vec![f1.micro, f1.macro_]
            }
            TargetType::Tags if !self.tags.is_empty() => {
                let pairs = |(expected, found): &(Vec<String>, Vec<String>)| {
                    let both = expected.iter().cloned().zip(found.iter().cloned());
                    both.collect::<Vec<_>>()
                };
                let tags: Vec<(String, String)> = self.tags.iter().flat_map(pairs).collect();
                vec![metrics::span_f1(&self.tags).f1, metrics::accuracy(&tags)]
            }
            TargetType::Span if !self.spans.is_empty() => vec![metrics::accuracy(&self.spans)],
            // Constant predictions have no correlation.
            _ if !self.scores.is_empty() => vec![
                metrics::spearman(&self.scores).unwrap_or(0.0),
                metrics::pearson(&self.scores).unwrap_or(0.0),
            ],
            _ => Vec::new(),
        };
        let names = task.metrics.iter().map(|&name| name.to_owned());
        names.zip(values).collect()
    }
}

/// Returns the index of a task's metric by its name. `macro_f1`, as `bertless evaluate` prints it, is accepted for `macro-f1`.
///
/// # Errors
/// `Option` for a name that the task does not have.
pub(crate) fn metric_index(task: &TaskSpec, metric: &str) -> Result<usize> {
    let names = task.metrics;
    let same = |name: &&str| *name == metric.replace('_', "-");
    names.iter().position(same).ok_or_else(|| Error::Option {
        name: "metric",
        reason: format!("{metric:?} is none of {}", names.join(", ")),
    })
}

fn cosine(first: &[f32], second: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    dot(first, second) / (dot(first, first) * dot(second, second)).sqrt().max(1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Encoding;
    use crate::train::task::TaskKind;

    fn metrics(task: TaskKind, output: &[f32], starts: &[usize], targets: &[Target]) -> Metrics {
        let example = |target: &Target| Example {
            first: Encoding::default(),
            second: None,
            target: target.clone(),
        };
        let examples: Vec<Example> = targets.iter().map(example).collect();
        let labels = Labels::new(["O", "B-X"].map(str::to_owned).to_vec());
        let mut predictions = Predictions::default();
        predictions.add(
            task.spec(),
            &labels,
            output,
            starts,
            &examples.iter().collect::<Vec<_>>(),
        );
        predictions.metrics(task.spec())
    }

    fn first(metrics: &Metrics) -> (&str, f64) {
        (&metrics[0].0, metrics[0].1)
    }

    #[test]
    fn each_task_has_its_figure() {
        let classes = [Target::Class(1), Target::Class(1), Target::None];
        let found = metrics(
            TaskKind::Classification,
            &[0.0, 1.0, 2.0, 1.0, 0.0, 0.0],
            &[0, 4, 5, 9],
            &classes,
        );
        assert_eq!(first(&found), ("accuracy", 0.5));
        let sets = [Target::Classes(vec![1.0, 0.0])];
        let found = metrics(TaskKind::MultiLabel, &[0.5, 0.5], &[0, 3], &sets);
        assert!((first(&found).1 - 2.0 / 3.0).abs() < 1e-12);
        let tags = [
            Target::Tags(vec![None, Some(1), None]),
            Target::Tags(vec![Some(0)]),
        ];
        let found = metrics(
            TaskKind::TokenClassification,
            &[9.0, 0.0, 0.0, 9.0, 9.0, 0.0, 0.0, 1.0],
            &[0, 3, 4],
            &tags,
        );
        assert_eq!(found[1], ("accuracy".to_owned(), 0.5));
        assert!((first(&found).1 - 2.0 / 3.0).abs() < 1e-12);
        let spans = [Target::Span(Some((0, 1))), Target::Span(None)];
        let found = metrics(
            TaskKind::QuestionAnswering,
            &[1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            &[0, 2, 3],
            &spans,
        );
        assert_eq!(first(&found), ("accuracy", 0.5));
    }

    #[test]
    fn pairs_have_their_first_texts_ahead_of_their_second() {
        // Cosines 1, 0 and -1.
        let output = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 3.0, -1.0, 0.0];
        let scores = [3.0, 2.0, 1.0].map(Target::Score);
        let found = metrics(
            TaskKind::Similarity,
            &output,
            &[0, 1, 2, 3, 4, 5, 6],
            &scores,
        );
        assert!((first(&found).1 - 1.0).abs() < 1e-12, "{found:?}");
        assert_eq!(
            metrics(
                TaskKind::MultipleNegatives,
                &[1.0, 1.0],
                &[0, 1, 2],
                &[Target::None]
            ),
            []
        );
    }
}
