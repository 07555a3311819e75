//! Range checks of a recipe's values.

use super::{Distillation, Recipe, Start, Training};
use crate::error::{Error, Result};
use crate::train::task::Criterion;

impl Recipe {
    /// Checks that all values are in the range that training accepts.
    pub(super) fn check(&self, file: &str) -> Result<()> {
        let Training {
            epochs,
            batch_size,
            micro_batches,
            learning_rate,
            weight_decay,
            warmup_ratio,
            max_grad_norm,
            dropout,
            max_length,
            label_smoothing,
            eval_steps,
            early_stopping_patience,
            save_steps,
            logging_steps,
            ..
        } = self.training;
        let task = self.task.spec();
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let at_least_0 = |x: f64| x >= 0.0 && x.is_finite();
        let above_0 = |x: f64| x > 0.0 && x.is_finite();
        let labels = self.data.labels.iter().flatten();
        let labels: Vec<&str> = labels.map(|label| label.trim()).collect();
        let weights = self.training.class_weights.as_deref().unwrap_or(&[1.0]);
        let mut checks = vec![
            ("output", !self.output.as_os_str().is_empty(), "is empty"),
            (
                "data.labels",
                (1..labels.len()).all(|at| !labels[..at].contains(&labels[at])),
                "names a label twice",
            ),
            (
                "data.labels",
                labels.iter().all(|label| !label.is_empty()),
                "names a label without a name",
            ),
            (
                "data.train",
                !(self.data.train.is_empty() && self.data.unlabelled.is_empty()),
                "names no table",
            ),
            (
                "data.unlabelled",
                self.data.unlabelled.is_empty() || self.distils(),
                "is only for what a teacher teaches",
            ),
            (
                "distillation",
                task.criterion != Criterion::None || self.distils(),
                "is missing: embeddings are learned from a teacher",
            ),
            (
                "data.scale",
                above_0(self.data.scale.into()),
                "is not above 0",
            ),
            ("training.epochs", epochs > 0, "is not 1 or more"),
            ("training.batch-size", batch_size > 0, "is not 1 or more"),
            (
                "training.batch-size",
                batch_size > 1 || task.criterion != Criterion::MultipleNegatives,
                "is too few: a pair is ranked among those of its batch",
            ),
            (
                "training.micro-batches",
                micro_batches > 0,
                "is not 1 or more",
            ),
            (
                "training.learning-rate",
                above_0(learning_rate),
                "is not above 0",
            ),
            (
                "training.weight-decay",
                at_least_0(weight_decay),
                "is less than 0",
            ),
            (
                "training.warmup-ratio",
                share(warmup_ratio),
                "is not from 0 to 1",
            ),
            (
                "training.max-grad-norm",
                above_0(max_grad_norm),
                "is not above 0",
            ),
            (
                "training.dropout",
                (0.0..1.0).contains(&dropout),
                "is not from 0 to less than 1",
            ),
            (
                "training.max-length",
                max_length.is_none_or(|tokens| tokens > 2),
                "has no room for a word",
            ),
            (
                "training.label-smoothing",
                share(label_smoothing),
                "is not from 0 to 1",
            ),
            (
                "training.eval-steps",
                eval_steps != Some(0),
                "is not 1 or more",
            ),
            (
                "training.early-stopping-patience",
                early_stopping_patience != Some(0),
                "is not 1 or more",
            ),
            (
                "training.class-weights",
                weights.iter().all(|&x| at_least_0(x)) && weights.iter().any(|&x| x > 0.0),
                "has none above 0, or one below",
            ),
            ("training.save-steps", save_steps > 0, "is not 1 or more"),
            (
                "training.logging-steps",
                logging_steps > 0,
                "is not 1 or more",
            ),
        ];
        if let Some(distillation) = &self.distillation {
            let Distillation {
                temperature,
                hard,
                soft,
                pseudo,
                hidden,
                attention,
                relations,
                ..
            } = *distillation;
            let weights = [hard, soft, pseudo, hidden, attention, relations];
            let inside = [hidden, attention, relations].iter().any(|&x| x > 0.0);
            let learns = weights.iter().all(|&x| at_least_0(x)) && weights.iter().any(|&x| x > 0.0);
            checks.extend([
                (
                    "distillation.teacher",
                    distillation.teacher.is_some() || !inside,
                    "is missing: without it there are no hidden states, attention or relations to learn",
                ),
                (
                    "distillation.teacher",
                    distillation.teacher.is_some() || !task.is_embedding(),
                    "is missing: tables have no embeddings",
                ),
                (
                    "distillation.teacher",
                    distillation.teacher.is_some()
                        || !distillation.learns_outputs()
                        || !task.is_per_token(),
                    "is missing: tables have no logits of words",
                ),
                (
                    "distillation",
                    task.criterion != Criterion::None || distillation.learns_outputs() || inside,
                    "learns nothing: tables have no embeddings",
                ),
                (
                    "distillation.temperature",
                    above_0(temperature),
                    "is not above 0",
                ),
                (
                    "distillation",
                    learns,
                    "has no weight above 0, or one below",
                ),
                (
                    "distillation.relation-heads",
                    distillation.relation_heads > 0,
                    "is not 1 or more",
                ),
            ]);
        }
        if let Some(student) = &self.student {
            let count = student.layers;
            let start = match &student.start {
                Start::Layers(layers) => layers.len(),
                _ => 0,
            };
            let fits = count.is_none_or(|count| start <= count);
            checks.extend([
                ("student.layers", count != Some(0), "is not 1 or more"),
                (
                    "student.start",
                    fits,
                    "names more layers than student.layers",
                ),
                (
                    "student.tokens",
                    student.tokens != Some(0),
                    "is not 1 or more",
                ),
            ]);
        }
        match checks.into_iter().find(|(_, holds, _)| !holds) {
            None => Ok(()),
            Some((key, _, reason)) => Err(Error::Config {
                file: file.to_owned(),
                key: key.to_owned(),
                reason: reason.to_owned(),
            }),
        }
    }
}
