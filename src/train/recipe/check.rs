//! Range checks of a recipe's values.

use super::{Recipe, Start};
use crate::error::{Error, Result};
use crate::train::task::Criterion;

/// A checked key, whether its value is valid, and the reason if it is not.
type Rule = (&'static str, bool, &'static str);

fn at_least_one(key: &'static str, count: Option<u64>) -> Rule {
    (key, count != Some(0), "is not 1 or more")
}

fn above_0(key: &'static str, x: f64) -> Rule {
    (key, x > 0.0 && x.is_finite(), "is not above 0")
}

fn share(key: &'static str, x: f64) -> Rule {
    (key, (0.0..=1.0).contains(&x), "is not from 0 to 1")
}

/// Whether no weight is negative, and at least one is above 0.
fn are_weights(weights: &[f64]) -> bool {
    let valid = weights.iter().all(|&x| x >= 0.0 && x.is_finite());
    valid && weights.iter().any(|&x| x > 0.0)
}

impl Recipe {
    /// Checks that all values are in the range that training accepts.
    pub(super) fn check(&self, file: &str) -> Result<()> {
        let checks = [
            self.check_data(),
            self.check_training(),
            self.check_distillation(),
            self.check_student(),
        ];
        match checks.into_iter().flatten().find(|(_, holds, _)| !holds) {
            None => Ok(()),
            Some((key, _, reason)) => Err(Error::Config {
                file: file.to_owned(),
                key: key.to_owned(),
                reason: reason.to_owned(),
            }),
        }
    }

    fn check_data(&self) -> Vec<Rule> {
        let data = &self.data;
        let labels: Vec<&str> = data.labels.iter().flatten().map(|it| it.trim()).collect();
        let distinct = (1..labels.len()).all(|at| !labels[..at].contains(&labels[at]));
        let named = labels.iter().all(|label| !label.is_empty());
        let has_table = !(data.train.is_empty() && data.unlabelled.is_empty());
        let has_reader = data.unlabelled.is_empty() || self.distils();
        let has_loss = self.task.spec().criterion != Criterion::None || self.distils();
        let missing = "is missing: embeddings are learned from a teacher";
        vec![
            ("output", !self.output.as_os_str().is_empty(), "is empty"),
            ("data.labels", distinct, "names a label twice"),
            ("data.labels", named, "names a label without a name"),
            ("data.train", has_table, "names no table"),
            (
                "data.unlabelled",
                has_reader,
                "is only for what a teacher teaches",
            ),
            ("distillation", has_loss, missing),
            above_0("data.scale", data.scale.into()),
        ]
    }

    fn check_training(&self) -> Vec<Rule> {
        let it = &self.training;
        let ranks = self.task.spec().criterion == Criterion::MultipleNegatives;
        let too_few = "is too few: a pair is ranked among those of its batch";
        let decays = it.weight_decay >= 0.0 && it.weight_decay.is_finite();
        let drops = (0.0..1.0).contains(&it.dropout);
        let has_room = it.max_length.is_none_or(|tokens| tokens > 2);
        let weighs = are_weights(it.class_weights.as_deref().unwrap_or(&[1.0]));
        vec![
            at_least_one("training.epochs", Some(it.epochs)),
            at_least_one("training.batch-size", Some(it.batch_size as u64)),
            ("training.batch-size", it.batch_size > 1 || !ranks, too_few),
            at_least_one("training.micro-batches", Some(it.micro_batches as u64)),
            above_0("training.learning-rate", it.learning_rate),
            ("training.weight-decay", decays, "is less than 0"),
            share("training.warmup-ratio", it.warmup_ratio),
            above_0("training.max-grad-norm", it.max_grad_norm),
            ("training.dropout", drops, "is not from 0 to less than 1"),
            ("training.max-length", has_room, "has no room for a word"),
            share("training.label-smoothing", it.label_smoothing),
            at_least_one("training.eval-steps", it.eval_steps),
            at_least_one(
                "training.early-stopping-patience",
                it.early_stopping_patience,
            ),
            (
                "training.class-weights",
                weighs,
                "has none above 0, or one below",
            ),
            at_least_one("training.save-steps", Some(it.save_steps)),
            at_least_one("training.logging-steps", Some(it.logging_steps)),
        ]
    }

    fn check_distillation(&self) -> Vec<Rule> {
        let Some(it) = &self.distillation else {
            return Vec::new();
        };
        let task = self.task.spec();
        let has_teacher = it.teacher.is_some();
        let intermediate = [it.hidden, it.attention, it.relations];
        let learns_intermediate = intermediate.iter().any(|&x| x > 0.0);
        let learns_any = learns_intermediate || it.learns_outputs();
        let learns = are_weights(&[&intermediate[..], &[it.hard, it.soft, it.pseudo]].concat());
        vec![
            (
                "distillation.teacher",
                has_teacher || !learns_intermediate,
                "is missing: without it there are no hidden states, attention or relations to learn",
            ),
            (
                "distillation.teacher",
                has_teacher || !task.is_embedding(),
                "is missing: tables have no embeddings",
            ),
            (
                "distillation.teacher",
                has_teacher || !it.learns_outputs() || !task.is_per_token(),
                "is missing: tables have no logits of words",
            ),
            (
                "distillation",
                task.criterion != Criterion::None || learns_any,
                "learns nothing: tables have no embeddings",
            ),
            above_0("distillation.temperature", it.temperature),
            (
                "distillation",
                learns,
                "has no weight above 0, or one below",
            ),
            at_least_one(
                "distillation.relation-heads",
                Some(it.relation_heads as u64),
            ),
        ]
    }

    fn check_student(&self) -> Vec<Rule> {
        let Some(student) = &self.student else {
            return Vec::new();
        };
        let fits = match (&student.start, student.layers) {
            (Start::Layers(layers), Some(count)) => layers.len() <= count,
            _ => true,
        };
        vec![
            at_least_one("student.layers", student.layers.map(|it| it as u64)),
            (
                "student.start",
                fits,
                "names more layers than student.layers",
            ),
            at_least_one("student.tokens", student.tokens.map(|it| it as u64)),
        ]
    }
}
