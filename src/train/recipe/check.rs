//! Values that no recipe can have.

use super::{Distillation, Recipe, Training};
use crate::error::{Error, Result};

impl Recipe {
    /// Values that no training can have.
    pub(super) fn check(&self, file: &str) -> Result<()> {
        let Training {
            epochs,
            batch,
            accumulate,
            rate,
            decay,
            warmup,
            clip,
            dropout,
            max_length,
            smoothing,
            measure_every,
            save_every,
            log_every,
            ..
        } = self.training;
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let at_least_0 = |x: f64| x >= 0.0 && x.is_finite();
        let above_0 = |x: f64| x > 0.0 && x.is_finite();
        let mut checks = vec![
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
                "data.scale",
                above_0(self.data.scale.into()),
                "is not above 0",
            ),
            ("training.epochs", epochs > 0, "is 0"),
            ("training.batch", batch > 0, "is 0"),
            ("training.accumulate", accumulate > 0, "is 0"),
            ("training.rate", above_0(rate), "is not above 0"),
            ("training.decay", at_least_0(decay), "is less than 0"),
            ("training.warmup", share(warmup), "is not from 0 to 1"),
            ("training.clip", above_0(clip), "is not above 0"),
            (
                "training.dropout",
                (0.0..1.0).contains(&dropout),
                "is not from 0 to less than 1",
            ),
            (
                "training.max-length",
                max_length > 2,
                "has no room for a word",
            ),
            ("training.smoothing", share(smoothing), "is not from 0 to 1"),
            ("training.measure-every", measure_every != Some(0), "is 0"),
            ("training.save-every", save_every > 0, "is 0"),
            ("training.log-every", log_every > 0, "is 0"),
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
                    distillation.teacher.is_some() || !self.task.is_of_embeddings(),
                    "is missing: tables have no embeddings",
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
                    "is 0",
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
