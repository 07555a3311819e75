//! Predictions of a model for texts and pairs: label, score, logits.

use super::write::OutputCell;
use crate::batch::Input;
use crate::config::{HeadConfig, ScoreFunction, Task};
use crate::error::{Error, Result};
use crate::kernels::Cpu;
use crate::model::Model;
use crate::tasks::{Similarity, Thresholds, argmax, classification};
use crate::train::data::LOGIT;

/// A model that can label texts.
pub(super) struct Predictor<'a> {
    model: &'a Model,
    head: &'a HeadConfig,
}

/// The labels of a prediction.
enum PredictedLabel {
    /// No label: the model predicts a score.
    None,
    One(String),
    /// Any number of labels, of a multi-label model.
    Set(Vec<String>),
}

/// The prediction for one row.
pub(super) struct RowPrediction {
    label: PredictedLabel,
    pub(super) score: f32,
    logits: Vec<f32>,
}

impl RowPrediction {
    /// Cells of the prediction, in the order of [`Predictor::columns`].
    pub(super) fn cells(&self) -> impl Iterator<Item = OutputCell<'_>> {
        let label = match &self.label {
            PredictedLabel::None => None,
            PredictedLabel::One(label) => Some(OutputCell::Text(label)),
            PredictedLabel::Set(labels) => Some(OutputCell::Labels(labels)),
        };
        let values = std::iter::once(self.score).chain(self.logits.iter().copied());
        label.into_iter().chain(values.map(OutputCell::Number))
    }
}

impl<'a> Predictor<'a> {
    /// # Errors
    /// `WrongTask` for a model that neither classifies nor embeds.
    pub(super) fn of(model: &'a Model) -> Result<Self> {
        match model.task() {
            Task::Classification | Task::Embedding => Ok(Self {
                model,
                head: model.head(),
            }),
            other => Err(Error::WrongTask {
                wanted: "labels of texts",
                found: other.name(),
            }),
        }
    }

    fn gives_numbers(&self) -> bool {
        self.model.task() == Task::Embedding || self.head.labels.len() == 1
    }

    /// Highest possible score; `None` if scores are unbounded.
    pub(super) fn highest(&self) -> Option<f32> {
        let bounded = match self.model.task() {
            Task::Embedding => self.model.similarity_measure() == Similarity::Cosine,
            _ => self.head.score != ScoreFunction::Identity,
        };
        bounded.then_some(1.0)
    }

    /// Column names of a prediction.
    pub(super) fn columns(&self) -> Vec<String> {
        let score = "score".to_owned();
        let logit = |label: &String| format!("{LOGIT}{label}");
        let logits = self.head.labels.iter().map(logit);
        match (self.model.task(), self.gives_numbers()) {
            (Task::Embedding, _) => vec![score],
            (_, true) => std::iter::once(score).chain(logits).collect(),
            _ => {
                let label = if self.head.multi_label {
                    "labels"
                } else {
                    "label"
                };
                [label.to_owned(), score]
                    .into_iter()
                    .chain(logits)
                    .collect()
            }
        }
    }

    /// Predicts all rows.
    ///
    /// # Errors
    /// Those of [`Model::predict_batch`]; an `Input` error has the index of the row.
    pub(super) fn all(&self, rows: &[(&str, Option<&str>)]) -> Result<Vec<RowPrediction>> {
        if self.model.task() == Task::Embedding {
            let texts = rows
                .iter()
                .flat_map(|(first, second)| [Some(*first), *second]);
            let texts: Vec<&str> = texts.flatten().collect();
            let embeddings = self
                .model
                .embed_batch(&texts)
                .map_err(|error| match error {
                    Error::Input { index, reason } => Error::Input {
                        index: index.map(|text| text / 2),
                        reason,
                    },
                    other => other,
                })?;
            let measure = self.model.similarity_measure();
            let pair = |row: usize| RowPrediction {
                label: PredictedLabel::None,
                score: measure.of(&embeddings[2 * row], &embeddings[2 * row + 1]),
                logits: Vec::new(),
            };
            return Ok((0..rows.len()).map(pair).collect());
        }
        let inputs = rows.iter().map(|(first, second)| match second {
            Some(second) => Input::Pair(first, second),
            None => Input::Text(first),
        });
        let inputs: Vec<Input<'_>> = inputs.collect();
        let logits = self.model.logits_batch(&inputs)?;
        let predictions = logits
            .rows()
            .into_iter()
            .map(|row| self.prediction(row.to_vec()));
        Ok(predictions.collect())
    }

    fn prediction(&self, logits: Vec<f32>) -> RowPrediction {
        let mut scores = logits.clone();
        classification::score(self.head.score, Cpu::detect(), &mut scores);
        let best = argmax(&scores);
        let names = &self.head.labels;
        let label = match (self.gives_numbers(), self.head.multi_label) {
            (true, _) => PredictedLabel::None,
            (_, true) => {
                let least = Thresholds::default().default;
                let held = names
                    .iter()
                    .zip(&scores)
                    .filter(|(_, score)| **score >= least);
                PredictedLabel::Set(held.map(|(name, _)| name.clone()).collect())
            }
            _ => PredictedLabel::One(names[best].clone()),
        };
        RowPrediction {
            label,
            score: scores[best],
            logits,
        }
    }
}
