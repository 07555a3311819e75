//! Which loss belongs to which task.

use super::data::{Example, Target};
use super::losses::{
    BinaryCrossEntropy, CrossEntropy, Loss, PairLoss, answer_spans, cosine_similarity,
    mean_squared_error, multiple_negatives_ranking, soft_targets,
};
use super::recipe::{TaskKind, Training};

/// What sentence-transformers scales cosines by.
const RANKING_SCALE: f64 = 20.0;

/// The loss of a task's own targets, and of a teacher's outputs in their place.
#[derive(Clone, Debug)]
pub(crate) struct Objective {
    pub(crate) task: TaskKind,
    cross_entropy: CrossEntropy,
    binary: BinaryCrossEntropy,
    /// Numbers of a row of the network's output.
    width: usize,
}

impl Objective {
    pub(crate) fn new(task: TaskKind, training: &Training, width: usize) -> Self {
        Self {
            task,
            cross_entropy: CrossEntropy {
                smoothing: training.smoothing,
                weights: training.weights.clone(),
            },
            binary: BinaryCrossEntropy {
                weights: training.weights.clone(),
            },
            width,
        }
    }

    /// Of the network's output for some examples; `starts` says which rows are whose, with the second texts behind all first
    /// ones.
    pub(crate) fn of_targets(
        &self,
        output: &[f32],
        starts: &[usize],
        examples: &[&Example],
    ) -> Loss {
        match self.task {
            TaskKind::Classification => {
                let class = |example: &&Example| match example.target {
                    Target::Class(class) => Some(class),
                    _ => None,
                };
                let targets: Vec<Option<usize>> = examples.iter().map(class).collect();
                self.cross_entropy.loss(output, &targets)
            }
            TaskKind::MultiLabel => {
                let mut targets = Vec::with_capacity(output.len());
                for example in examples {
                    match &example.target {
                        Target::Classes(classes) => targets.extend_from_slice(classes),
                        _ => targets.resize(targets.len() + self.width, 0.0),
                    }
                }
                self.binary.loss(output, &targets, self.width)
            }
            TaskKind::Regression => mean_squared_error(output, &scores(examples)),
            TaskKind::Tokens => {
                let mut targets = Vec::with_capacity(starts[starts.len() - 1]);
                for example in examples {
                    match &example.target {
                        Target::Tags(tags) => targets.extend_from_slice(tags),
                        _ => targets.resize(targets.len() + example.first.len(), None),
                    }
                }
                self.cross_entropy.loss(output, &targets)
            }
            TaskKind::Questions => {
                let span = |example: &&Example| match example.target {
                    Target::Span(span) => span,
                    _ => None,
                };
                let spans: Vec<_> = examples.iter().map(span).collect();
                answer_spans(output, starts, &spans)
            }
            TaskKind::Similarity => {
                let (first, second) = output.split_at(output.len() / 2);
                joined(cosine_similarity(
                    first,
                    second,
                    self.width,
                    &scores(examples),
                ))
            }
            TaskKind::Ranking => {
                let (first, second) = output.split_at(output.len() / 2);
                joined(multiple_negatives_ranking(
                    first,
                    second,
                    self.width,
                    RANKING_SCALE,
                ))
            }
            TaskKind::Embedding => Loss {
                value: 0.0,
                gradient: vec![0.0; output.len()],
            },
        }
    }

    /// Of a teacher's output for the same rows: its distribution where there are labels, else its numbers.
    pub(crate) fn of_teacher(&self, output: &[f32], teacher: &[f32], temperature: f64) -> Loss {
        match self.task {
            TaskKind::Classification | TaskKind::Tokens => {
                soft_targets(output, teacher, self.width, temperature)
            }
            TaskKind::MultiLabel => {
                let sigmoid = |&logit: &f32| 1.0 / (1.0 + (-logit).exp());
                let targets: Vec<f32> = teacher.iter().map(sigmoid).collect();
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

/// Both gradients one after the other, as both texts' embeddings are.
fn joined(loss: PairLoss) -> Loss {
    let mut gradient = loss.first;
    gradient.extend(loss.second);
    Loss {
        value: loss.value,
        gradient,
    }
}
