//! The training loop: batches, steps, evaluations, and the files of a run.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::adamw::{AdamW, Settings, clip_factor, norm};
use super::folder;
use super::log::{Figures, Line, Log, Steps};
use super::schedule::Schedule;
use super::state::{self, Exact, SavedProgress};
use crate::error::{Error, Result};
use crate::kernels::{Engine, ExecContext};
use crate::train::data::{Batching, Epoch};
use crate::train::model::parameters::{Gradients, Parameters};

/// A network with its loss and its data, as the training loop sees it.
pub(crate) trait Trainable {
    fn parameters(&self) -> &Parameters;

    fn parameters_mut(&mut self) -> &mut Parameters;

    /// Computes what is needed before the first step; a resumed run does so again. Calls `done(done, total)` with numbers of
    /// texts.
    fn prepare(&mut self, done: &mut dyn FnMut(usize, usize)) -> Result<()> {
        let _ = done;
        Ok(())
    }

    /// Adds the gradients of `weight` times the mean loss of some examples to `gradients`.
    ///
    /// `dropout_key` selects the random numbers, such as dropout masks.
    fn forward_backward(
        &mut self,
        exec: &ExecContext,
        examples: &[usize],
        dropout_key: u64,
        weight: f64,
        gradients: &mut Gradients,
    ) -> Result<BatchLoss>;

    /// Evaluates the model on held-out examples. Returns metric names and values, higher is better; the first one selects the
    /// best model. Empty if there are no such examples.
    fn evaluate(&mut self, exec: &ExecContext) -> Result<Vec<(String, f64)>>;

    /// Writes the model to a folder.
    fn save(&self, folder: &Path) -> Result<()>;
}

/// The result of a forward and backward pass over some examples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct BatchLoss {
    /// Mean loss, before it is multiplied by the weight.
    pub(crate) loss: f64,
    pub(crate) tokens: usize,
}

/// Settings of a training run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TrainConfig {
    /// Fingerprint of the run, which its state on disk must match.
    pub(crate) fingerprint: String,
    pub(crate) output: PathBuf,
    pub(crate) batching: Batching,
    pub(crate) epochs: u64,
    /// Number of micro-batches that a batch is split into.
    pub(crate) micro_batches: usize,
    pub(crate) adamw: Settings,
    /// Peak learning rate.
    pub(crate) learning_rate: f64,
    /// Fraction of all steps spent in linear warm-up.
    pub(crate) warmup_ratio: f64,
    /// Maximum norm of the gradient.
    pub(crate) max_grad_norm: f64,
    /// Number of steps between evaluations; `None` evaluates after each epoch.
    pub(crate) eval_steps: Option<u64>,
    /// Number of evaluations in a row without improvement after which the run ends.
    pub(crate) early_stopping_patience: Option<u64>,
    /// Number of steps between saves of the state, which is also saved after each evaluation.
    pub(crate) save_steps: u64,
    /// Number of steps between log records; the last step has one, too.
    pub(crate) logging_steps: u64,
}

/// Progress callbacks of a training run. A callback may also stop it.
pub trait Observer {
    /// Called before the first step, as the teacher's outputs are computed: `done` of `of` texts are complete.
    fn taught(&mut self, done: usize, of: usize) {
        let _ = (done, of);
    }

    /// Called after each step. Returning `false` stops the run, which can be resumed later.
    fn step(&mut self, at: At) -> bool {
        let _ = at;
        true
    }

    /// Called after each record is written to the log.
    fn line(&mut self, line: &Line) {
        let _ = line;
    }
}

/// Progress of a run after a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    /// Number of steps taken so far.
    pub step: u64,
    /// Number of steps in the whole run.
    pub steps: u64,
    /// Mean loss of this step.
    pub loss: f64,
    /// Number of tokens in this step.
    pub tokens: usize,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Completed: all steps are taken, or evaluations stopped improving. The best model is saved.
    Over,
    /// Stopped by the observer.
    Stopped,
}

/// Lengths and classes of the training examples, from which batches are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrainSet<'a> {
    /// Number of tokens in each example.
    pub(crate) lengths: &'a [usize],
    /// Class of each example, if classes are balanced.
    pub(crate) classes: Option<&'a [usize]>,
}

/// Trains, or resumes the last run with this configuration. A run that is killed at any moment and resumed ends with the same
/// bits. The output folder holds the best model; its subfolder `training` holds the state, the log and the lock file.
///
/// # Errors
/// Those of the model; `Io`; `State` for a state that cannot be resumed or a folder in which another run is active;
/// `NonFinite` for a gradient that is not finite.
pub(crate) fn train(
    engine: &Engine,
    model: &mut impl Trainable,
    config: &TrainConfig,
    train_set: TrainSet<'_>,
    observer: &mut impl Observer,
) -> Result<Outcome> {
    let (folder, _lock) = folder::open(&config.output)?;
    let mut run = Run::begin(model, config, train_set, &folder)?;
    if run.progress.over {
        return Ok(Outcome::Over);
    }
    model.prepare(&mut |done, of| observer.taught(done, of))?;
    run.since = Instant::now();
    while run.progress.epoch < config.epochs {
        let epoch = config
            .batching
            .epoch(run.progress.epoch, train_set.lengths, train_set.classes);
        let outcome = run.epoch(engine, model, &epoch, observer)?;
        if let Some(outcome) = outcome {
            return Ok(outcome);
        }
    }
    run.end(model)
}

/// A run in progress.
struct Run<'a> {
    config: &'a TrainConfig,
    state: PathBuf,
    log: Log,
    adamw: AdamW,
    gradients: Gradients,
    schedule: Schedule,
    progress: SavedProgress,
    /// Number of tokens since the last log record. Neither this nor `since` is saved: no result depends on them.
    tokens: usize,
    /// Time of the last log record, without the time of evaluations and saves.
    since: Instant,
}

impl<'a> Run<'a> {
    fn begin(
        model: &mut impl Trainable,
        config: &'a TrainConfig,
        train_set: TrainSet<'_>,
        folder: &Path,
    ) -> Result<Self> {
        let batches = config
            .batching
            .batches(train_set.lengths.len(), train_set.classes) as u64;
        let steps = batches * config.epochs;
        let mut adamw = AdamW::new(model.parameters(), config.adamw);
        let state = folder.join("state.safetensors");
        let progress = state::load(
            &state,
            &config.fingerprint,
            model.parameters_mut(),
            &mut adamw,
        )?;
        let progress = progress.unwrap_or_else(|| SavedProgress {
            run: config.fingerprint.clone(),
            ..SavedProgress::default()
        });
        Ok(Self {
            config,
            state,
            log: Log::open(&folder.join("log.jsonl"), progress.log)?,
            adamw,
            gradients: model.parameters().gradients(),
            schedule: Schedule {
                rate: config.learning_rate,
                warmup: (config.warmup_ratio * steps as f64).ceil() as u64,
                steps,
            },
            progress,
            tokens: 0,
            since: Instant::now(),
        })
    }

    /// Trains the rest of an epoch. Returns an outcome if the run ends in it.
    fn epoch(
        &mut self,
        engine: &Engine,
        model: &mut impl Trainable,
        epoch: &Epoch,
        observer: &mut impl Observer,
    ) -> Result<Option<Outcome>> {
        let batches = epoch.len() as u64;
        while self.progress.batch < batches {
            let batch = &epoch[self.progress.batch as usize];
            let exec = engine.context();
            let (at, rate, norm) = self.step(&exec, model, batch)?;
            self.progress.batch += 1;
            if self.progress.step.is_multiple_of(self.config.logging_steps) || at.step == at.steps {
                self.write_steps(batches, rate, norm, observer)?;
            }
            let ends = self.progress.batch == batches;
            if ends {
                self.progress.batch = 0;
                self.progress.epoch += 1;
            }
            let due = match self.config.eval_steps {
                Some(every) => self.progress.step.is_multiple_of(every) || at.step == at.steps,
                None => ends,
            };
            if due && self.evaluate(&exec, model, observer)? {
                return self.end(model).map(Some);
            }
            if due || self.progress.step.is_multiple_of(self.config.save_steps) {
                self.save(model)?;
            }
            if !observer.step(at) {
                return Ok(Some(Outcome::Stopped));
            }
            if ends {
                break;
            }
        }
        Ok(None)
    }

    /// Takes one step on a batch. Returns its loss, the learning rate and the gradient's norm.
    fn step(
        &mut self,
        exec: &ExecContext,
        model: &mut impl Trainable,
        batch: &[usize],
    ) -> Result<(At, f64, f64)> {
        let part = batch.len().div_ceil(self.config.micro_batches);
        let (mut loss, mut tokens) = (0.0, 0);
        for (index, examples) in batch.chunks(part).enumerate() {
            let weight = examples.len() as f64 / batch.len() as f64;
            let dropout_key = self.progress.step * self.config.micro_batches as u64 + index as u64;
            let learned =
                model.forward_backward(exec, examples, dropout_key, weight, &mut self.gradients)?;
            loss += weight * learned.loss;
            tokens += learned.tokens;
        }
        let norm = norm(exec, &self.gradients);
        let step = self.progress.step;
        if !norm.is_finite() {
            return Err(Error::NonFinite {
                what: format!("the gradient of step {}", step + 1),
            });
        }
        let rate = self.schedule.rate_at(step);
        let factor = clip_factor(norm, self.config.max_grad_norm);
        let parameters = model.parameters_mut();
        self.adamw
            .step(exec, parameters, &self.gradients, rate, factor);
        self.gradients.clear();
        self.progress.step += 1;
        let (Exact(sum), count) = self.progress.losses;
        self.progress.losses = (Exact(sum + loss), count + 1);
        self.tokens += tokens;
        let at = At {
            step: self.progress.step,
            steps: self.schedule.steps,
            loss,
            tokens,
        };
        Ok((at, rate, norm))
    }

    fn write_steps(
        &mut self,
        batches: u64,
        rate: f64,
        norm: f64,
        observer: &mut impl Observer,
    ) -> Result<()> {
        let (Exact(sum), count) = std::mem::take(&mut self.progress.losses);
        let seconds = self.since.elapsed().as_secs_f64();
        let line = Line::Steps(Steps {
            step: self.progress.step,
            epoch: self.progress.epoch as f64 + self.progress.batch as f64 / batches as f64,
            loss: sum / count as f64,
            rate,
            norm,
            tokens_per_second: std::mem::take(&mut self.tokens) as f64 / seconds,
        });
        self.since = Instant::now();
        observer.line(&line);
        self.log.write(&line)
    }

    /// Evaluates the model and saves it if it is the best so far. Returns whether the patience is exhausted, so that the run ends.
    fn evaluate(
        &mut self,
        exec: &ExecContext,
        model: &mut impl Trainable,
        observer: &mut impl Observer,
    ) -> Result<bool> {
        let begun = Instant::now();
        let figures = model.evaluate(exec)?;
        let Some(&(_, figure)) = figures.first() else {
            return Ok(false);
        };
        let best = self
            .progress
            .best
            .is_none_or(|(Exact(best), _)| figure > best);
        if best {
            model.save(&self.config.output)?;
            self.progress.best = Some((Exact(figure), self.progress.step));
            self.progress.worse = 0;
        } else {
            self.progress.worse += 1;
        }
        let line = Line::Figures(Figures {
            step: self.progress.step,
            figures,
            best,
        });
        observer.line(&line);
        self.log.write(&line)?;
        // Throughput excludes the time of evaluations.
        self.since += begun.elapsed();
        Ok(self
            .config
            .early_stopping_patience
            .is_some_and(|patience| self.progress.worse >= patience))
    }

    fn save(&mut self, model: &impl Trainable) -> Result<()> {
        let begun = Instant::now();
        self.progress.log = self.log.sync()?;
        state::save(&self.state, model.parameters(), &self.adamw, &self.progress)?;
        self.since += begun.elapsed();
        Ok(())
    }

    /// Ends the run: saves the model if it was never evaluated, and marks the state as completed.
    fn end(&mut self, model: &impl Trainable) -> Result<Outcome> {
        if self.progress.best.is_none() {
            model.save(&self.config.output)?;
        }
        self.progress.log = self.log.sync()?;
        self.progress.over = true;
        state::save_over(&self.state, &self.progress)?;
        Ok(Outcome::Over)
    }
}

#[cfg(test)]
mod tests;
