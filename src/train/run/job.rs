//! Training jobs: from a recipe to a trained model.

use std::path::{Path, PathBuf};

use super::adamw::Settings;
use super::card::Card;
use super::log::{Figures, Line, read_log};
use super::prepare::{StudentModel, TrainingTables, check_packed, head, models};
use super::trainable::TrainableNetwork;
use super::trainer::{Observer, Outcome, TrainConfig, TrainSet, train};
use super::{folder, learnable};
use crate::error::{Error, Result};
use crate::kernels::Engine;
use crate::model::engine;
use crate::tokenizer::TokenizerWarning;
use crate::train::atomic::replace_bytes;
use crate::train::data::Batching;
use crate::train::distill::intermediate::PROJECTION;
use crate::train::losses::objective::Objective;
use crate::train::model::network::Tape;
use crate::train::model::vocabulary::Coverage;
use crate::train::recipe::Recipe;

/// A training run that is ready to start or to resume.
#[derive(Debug)]
pub struct Job {
    engine: Engine,
    trainable: TrainableNetwork,
    config: TrainConfig,
    balance: bool,
    coverage: Option<Coverage>,
    warnings: Vec<TokenizerWarning>,
    recipe: Recipe,
}

impl Job {
    /// Reads a recipe with `settings` over it (dotted keys such as `training.learning-rate`, and values), and opens all models and
    /// tables that it names.
    ///
    /// # Errors
    /// `Recipe` and `Config` for an invalid recipe; `Data`, with file and line, for an invalid row; any error of opening the
    /// model; `Option` for what this model cannot learn, and for an output folder that is not a training's.
    pub fn new(
        recipe: Option<&Path>,
        settings: &[(String, String)],
        threads: Option<usize>,
    ) -> Result<Self> {
        Self::of(&Recipe::read(recipe, settings)?, threads)
    }

    /// Creates a job from a recipe that has been read. `threads` is the number of threads, chosen automatically by default.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn of(recipe: &Recipe, threads: Option<usize>) -> Result<Self> {
        let models = models(recipe);
        check_packed(recipe)?;
        folder::check(&recipe.output, &models)?;
        let engine = engine(threads)?;
        let tables = TrainingTables::read(recipe)?;
        let mut fingerprint = tables.fingerprint(&models)?;
        let mut student = StudentModel::open(recipe, &tables, &mut fingerprint)?;
        let labels = tables.labels(recipe)?;
        let (config, tokenizer) = student.configure(recipe, &labels)?;
        let max_length = recipe.training.tokens(config.encoder.max_tokens())?;
        // The fingerprint is of the resolved recipe, so that a recipe that names the default is the same run.
        let mut resolved = recipe.clone();
        resolved.training.max_length = Some(max_length);
        let recipe = &resolved;
        let (examples, dev) = tables.encode(recipe, max_length, &tokenizer, &labels)?;
        let head = head(recipe, &config, &labels)?;
        let (network, mut parameters) = student.network(recipe, &config, head, &engine.threads)?;
        let outputs = tables.teacher_outputs(recipe, max_length, &labels, threads)?;
        let teacher =
            student.attach_teacher(recipe, outputs, &network, &mut parameters, &engine.threads)?;
        if let Some(teacher) = &teacher {
            teacher.check(&student.tokenizer, labels.names())?;
        }
        let unused = student.unused(recipe, &network, head, &engine.threads)?;
        let trainable = TrainableNetwork {
            objective: Objective::new(recipe.task, &recipe.training, network.outputs()),
            network,
            parameters,
            unused,
            checkpoint: student.checkpoint,
            teacher,
            examples,
            dev,
            labels,
            metric: recipe.training.metric.clone(),
            seed: recipe.training.seed,
            dropout: recipe.training.dropout,
            tape: Tape::default(),
        };
        Ok(Self {
            engine,
            trainable,
            config: train_config(recipe, fingerprint.with_recipe(recipe)),
            balance: recipe.data.balance,
            coverage: student.pruned.map(|pruned| pruned.coverage),
            warnings: student.tokenizer.warnings(),
            recipe: recipe.clone(),
        })
    }

    /// Takes over the teacher's outputs from an earlier job, so that the teacher does not run again. Has no effect unless both
    /// recipes are equal apart from seed and output.
    pub fn follow(&mut self, earlier: Self) {
        if self.recipe.alike(&earlier.recipe)
            && let (Some(teacher), Some(other)) =
                (&mut self.trainable.teacher, earlier.trainable.teacher)
        {
            teacher.reuse_outputs(other);
        }
    }

    /// Number of training examples and number of evaluation examples.
    pub fn examples(&self) -> (usize, usize) {
        (self.trainable.examples.len(), self.trainable.dev.len())
    }

    /// Warnings of the initial model's tokenizer; see [`Tokenizer::warnings`](crate::Tokenizer::warnings).
    pub fn warnings(&self) -> &[TokenizerWarning] {
        &self.warnings
    }

    /// Label names of the model in the order of their ids; empty for a task without labels.
    pub fn labels(&self) -> &[String] {
        self.trainable.labels.names()
    }

    /// Number of training examples with each label; for the task `token-classification`, of words. `None` if the tables have no
    /// labels.
    pub fn label_counts(&self) -> Option<Vec<usize>> {
        learnable::counts(&self.trainable.examples, &self.trainable.labels)
    }

    /// Number of trainable parameters of the model.
    pub fn parameters(&self) -> usize {
        let trained = self.trainable.parameters.iter();
        let trained = trained.filter(|parameter| !parameter.name.starts_with(PROJECTION));
        trained.map(|parameter| parameter.values.len()).sum()
    }

    /// Size of the vocabulary before and after pruning, and the fraction of the corpus's tokens that is kept. `None` if the
    /// vocabulary was not pruned.
    pub fn coverage(&self) -> Option<(usize, usize, f64)> {
        let share = |coverage: Coverage| coverage.covered as f64 / coverage.tokens.max(1) as f64;
        self.coverage
            .map(|coverage| (coverage.before, coverage.after, share(coverage)))
    }

    /// Path of the training log, in JSON lines.
    pub fn log(&self) -> PathBuf {
        self.config.output.join(folder::TRAINING).join("log.jsonl")
    }

    /// Trains the model, or resumes an unfinished run. On completion the output folder holds the best model.
    ///
    /// # Errors
    /// `Io`; `State` if another run is active in the folder, if the folder holds a run with other settings or data, or if the
    /// model of a completed run is missing; `NonFinite` if the training diverges.
    pub fn train(&mut self, observer: &mut impl Observer) -> Result<Outcome> {
        let lengths = self.trainable.lengths();
        let classes = if self.balance {
            Some(self.trainable.classes().ok_or_else(|| Error::Option {
                name: "balance",
                reason:
                    "only of examples with one label each can there be as many of each".to_owned(),
            })?)
        } else {
            None
        };
        let train_set = TrainSet {
            lengths: &lengths,
            classes: classes.as_deref(),
        };
        let outcome = train(
            &self.engine,
            &mut self.trainable,
            &self.config,
            train_set,
            observer,
        )?;
        if outcome == Outcome::Over {
            let model = self.config.output.join("model.safetensors");
            if !model.exists() {
                return Err(Error::State {
                    file: model.display().to_string(),
                    reason: format!(
                        "it is gone, and its training is over: remove {} to begin anew",
                        self.config.output.display()
                    ),
                });
            }
            self.write_card()?;
        }
        Ok(outcome)
    }

    /// Metrics of the best model, read from the log. `None` if the log has no evaluation.
    ///
    /// # Errors
    /// `Io`.
    pub fn best(&self) -> Result<Option<Figures>> {
        let best = |line| match line {
            Line::Figures(figures) if figures.best => Some(figures),
            _ => None,
        };
        Ok(read_log(&self.log())?.into_iter().rev().find_map(best))
    }

    /// The recipe of this job.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    fn write_card(&self) -> Result<()> {
        let best = self.best()?;
        let card = Card {
            recipe: &self.recipe,
            encoder: self.trainable.network.config(),
            labels: self.trainable.labels.names(),
            parameters: self.parameters(),
            examples: self.trainable.examples.len(),
            coverage: self.coverage,
            best: best.as_ref(),
        };
        replace_bytes(
            &self.config.output.join("README.md"),
            card.text().as_bytes(),
        )
    }
}

fn train_config(recipe: &Recipe, fingerprint: String) -> TrainConfig {
    let training = &recipe.training;
    TrainConfig {
        fingerprint,
        output: recipe.output.clone(),
        batching: Batching {
            size: training.batch_size,
            seed: training.seed,
            by_length: true,
        },
        epochs: training.epochs,
        micro_batches: training.micro_batches,
        adamw: Settings {
            weight_decay: training.weight_decay,
            ..Settings::default()
        },
        learning_rate: training.learning_rate,
        warmup_ratio: training.warmup_ratio,
        max_grad_norm: training.max_grad_norm,
        eval_steps: training.eval_steps,
        early_stopping_patience: training.early_stopping_patience,
        save_steps: training.save_steps,
        logging_steps: training.logging_steps,
    }
}

#[cfg(test)]
mod tests;
