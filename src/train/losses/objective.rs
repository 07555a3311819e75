//! Losses of the tasks.

use super::{
    BinaryCrossEntropy, CrossEntropy, Loss, PairLoss, answer_spans, cosine_similarity,
    mean_squared_error, multiple_negatives_ranking, soft_targets,
};
use crate::tasks::argmax;
use crate::train::data::{Example, Target};
use crate::train::recipe::Training;
use crate::train::task::{Criterion, TaskKind, TaskSpec};

/// Scale of cosines, as in sentence-transformers.
const RANKING_SCALE: f64 = 20.0;

/// The loss of a task against its own targets or against a teacher's outputs.
#[derive(Clone, Debug)]
pub(crate) struct Objective {
    pub(crate) task: &'static TaskSpec,
    cross_entropy: CrossEntropy,
    binary: BinaryCrossEntropy,
    /// Width of a row of the network's output.
    width: usize,
}

impl Objective {
    pub(crate) fn new(task: TaskKind, training: &Training, width: usize) -> Self {
        Self {
            task: task.spec(),
            cross_entropy: CrossEntropy {
                smoothing: training.label_smoothing,
                weights: training.class_weights.clone(),
            },
            binary: BinaryCrossEntropy {
                weights: training.class_weights.clone(),
            },
            width,
        }
    }

    /// Computes the loss of the network's output against the examples' targets. `starts` is the row offset of each text, with
    /// the second texts after all first ones. Examples without a target have no loss and do not count in the mean.
    pub(crate) fn hard_loss(
        &self,
        output: &[f32],
        starts: &[usize],
        examples: &[&Example],
    ) -> Loss {
        let is_known = |example: &&Example| example.target != Target::None;
        let known = examples.iter().filter(|example| is_known(example)).count();
        if known == examples.len()
            || matches!(
                self.task.criterion,
                Criterion::MultipleNegatives | Criterion::None
            )
        {
            return self.labelled_loss(output, starts, examples);
        }
        let share = known as f64 / examples.len() as f64;
        if self.task.is_per_token() {
            return self.labelled_loss(output, starts, examples).scaled(share);
        }
        // A row per text: the examples with targets form a batch of their own.
        let texts = output.len() / (self.width * examples.len());
        let rows: Vec<usize> = (0..texts * examples.len())
            .filter(|row| is_known(&examples[row % examples.len()]))
            .collect();
        let row_of = |row: &usize| &output[row * self.width..][..self.width];
        let some: Vec<f32> = rows.iter().flat_map(row_of).copied().collect();
        let examples: Vec<&Example> = examples.iter().copied().filter(|e| is_known(e)).collect();
        let mut loss = Loss::none(output.len());
        if known > 0 {
            let known_loss = self.labelled_loss(&some, &[], &examples).scaled(share);
            loss.value = known_loss.value;
            for (row, gradient) in rows
                .iter()
                .zip(known_loss.gradient.chunks_exact(self.width))
            {
                loss.gradient[row * self.width..][..self.width].copy_from_slice(gradient);
            }
        }
        loss
    }

    fn labelled_loss(&self, output: &[f32], starts: &[usize], examples: &[&Example]) -> Loss {
        match self.task.criterion {
            Criterion::CrossEntropy => {
                let class = |example: &&Example| match example.target {
                    Target::Class(class) => Some(class),
                    _ => None,
                };
                let targets: Vec<Option<usize>> = examples.iter().map(class).collect();
                self.cross_entropy.loss(output, &targets)
            }
            Criterion::BinaryCrossEntropy => {
                let mut targets = Vec::with_capacity(output.len());
                for example in examples {
                    match &example.target {
                        Target::Classes(classes) => targets.extend_from_slice(classes),
                        _ => targets.resize(targets.len() + self.width, 0.0),
                    }
                }
                self.binary.loss(output, &targets, self.width)
            }
            Criterion::MeanSquaredError => mean_squared_error(output, &scores(examples)),
            Criterion::TokenCrossEntropy => {
                let mut targets = Vec::with_capacity(starts[starts.len() - 1]);
                for example in examples {
                    match &example.target {
                        Target::Tags(tags) => targets.extend_from_slice(tags),
                        _ => targets.resize(targets.len() + example.first.len(), None),
                    }
                }
                self.cross_entropy.loss(output, &targets)
            }
            Criterion::AnswerSpans => {
                let span = |example: &&Example| match example.target {
                    Target::Span(span) => span,
                    _ => None,
                };
                let spans: Vec<_> = examples.iter().map(span).collect();
                answer_spans(output, starts, &spans)
            }
            Criterion::CosineSimilarity => {
                let (first, second) = output.split_at(output.len() / 2);
                joined(cosine_similarity(
                    first,
                    second,
                    self.width,
                    &scores(examples),
                ))
            }
            Criterion::MultipleNegatives => {
                let (first, second) = output.split_at(output.len() / 2);
                joined(multiple_negatives_ranking(
                    first,
                    second,
                    self.width,
                    RANKING_SCALE,
                ))
            }
            Criterion::None => Loss::none(output.len()),
        }
    }

    /// Computes the loss against a teacher's output for the same rows: its distribution where there are labels, else its
    /// values.
    pub(crate) fn soft_loss(&self, output: &[f32], teacher: &[f32], temperature: f64) -> Loss {
        match self.task.criterion {
            Criterion::CrossEntropy | Criterion::TokenCrossEntropy => {
                soft_targets(output, teacher, self.width, temperature)
            }
            Criterion::BinaryCrossEntropy => {
                let sigmoid = |&logit: &f32| 1.0 / (1.0 + (-logit).exp());
                let targets: Vec<f32> = teacher.iter().map(sigmoid).collect();
                self.binary.loss(output, &targets, self.width)
            }
            _ => mean_squared_error(output, teacher),
        }
    }

    /// Computes the loss against the teacher's most likely label as if it were the target, or against its values where there
    /// are no labels.
    pub(crate) fn pseudo_label_loss(&self, output: &[f32], teacher: &[f32]) -> Loss {
        match self.task.criterion {
            Criterion::CrossEntropy | Criterion::TokenCrossEntropy => {
                let rows = teacher.chunks_exact(self.width);
                let targets: Vec<Option<usize>> = rows.map(|row| Some(argmax(row))).collect();
                self.cross_entropy.loss(output, &targets)
            }
            Criterion::BinaryCrossEntropy => {
                let holds = |&logit: &f32| if logit > 0.0 { 1.0 } else { 0.0 };
                let targets: Vec<f32> = teacher.iter().map(holds).collect();
                self.binary.loss(output, &targets, self.width)
            }
            _ => mean_squared_error(output, teacher),
        }
    }
}

fn scores(examples: &[&Example]) -> Vec<f32> {
    let score = |example: &&Example| match example.target {
        Target::Score(score) => score,
        _ => 0.0,
    };
    examples.iter().map(score).collect()
}

/// Concatenates both gradients, in the order of both texts' embeddings.
fn joined(loss: PairLoss) -> Loss {
    let mut gradient = loss.first;
    gradient.extend(loss.second);
    Loss {
        value: loss.value,
        gradient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Encoding;

    #[test]
    fn the_likeliest_label_is_a_target_like_any_other() {
        let objective = Objective::new(TaskKind::Classification, &Training::default(), 2);
        let output = [0.5, -1.0, 2.0, 0.25];
        let found = objective.pseudo_label_loss(&output, &[3.0, 1.0, -9.0, -2.0]);
        let example = |class: usize| Example {
            first: Encoding::from_ids(vec![1]),
            second: None,
            target: Target::Class(class),
        };
        let expected = objective.hard_loss(&output, &[], &[&example(0), &example(1)]);
        assert_eq!(found, expected);
    }

    /// Examples without a target add nothing, and the others count as they would among examples with targets.
    #[test]
    fn unknown_targets_have_no_loss() {
        let example = |target: Target| Example {
            first: Encoding::from_ids(vec![1]),
            second: None,
            target,
        };
        for (task, width, target) in [
            (TaskKind::Classification, 3, Target::Class(1)),
            (
                TaskKind::MultiLabel,
                3,
                Target::Classes(vec![1.0, 0.0, 1.0]),
            ),
            (TaskKind::Regression, 1, Target::Score(0.7)),
            (TaskKind::Similarity, 3, Target::Score(0.7)),
        ] {
            let texts = if task == TaskKind::Similarity { 2 } else { 1 };
            let objective = Objective::new(task, &Training::default(), width);
            let output =
                |row: usize| (0..width).map(move |at| ((row * 7 + at * 3) % 5) as f32 - 1.7);
            let (known, unknown) = (example(target), example(Target::None));
            // The second texts of pairs follow all first ones.
            let both: Vec<f32> = (0..2 * texts).flat_map(output).collect();
            let found = objective.hard_loss(&both, &[], &[&unknown, &known]);
            let alone: Vec<f32> = (0..texts).flat_map(|text| output(2 * text + 1)).collect();
            let expected = objective.hard_loss(&alone, &[], &[&known]).scaled(0.5);
            assert!(expected.value > 0.0);
            assert_eq!(found.value, expected.value, "{task:?}");
            for (row, gradient) in found.gradient.chunks_exact(width).enumerate() {
                match row % 2 {
                    0 => assert!(gradient.iter().all(|&x| x == 0.0)),
                    _ => assert_eq!(gradient, &expected.gradient[row / 2 * width..][..width]),
                }
            }
            let none = objective.hard_loss(&both, &[], &[&unknown, &unknown]);
            assert_eq!((none.value, none.gradient), (0.0, vec![0.0; both.len()]));
        }
    }
}
