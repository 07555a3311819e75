//! The teacher of a distillation: its outputs and its intermediate states.

use super::intermediate::{DistilledStudent, IntermediateDistillation, StudentPass, add};
use super::outputs::TeacherOutputs;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::kernels::Threads;
use crate::tokenizer::Tokenizer;
use crate::train::losses::Loss;
use crate::train::losses::objective::Objective;
use crate::train::model::network::{OutputGradients, Retain};
use crate::train::model::parameters::Gradients;
use crate::train::recipe::Distillation;
use crate::weights::{Access, ModelFiles};

/// A teacher, and the weight of each loss.
#[derive(Debug)]
pub(crate) struct Teacher {
    weights: Distillation,
    /// Outputs that are computed before the first step.
    outputs: Option<TeacherOutputs>,
    /// Teacher network that runs in each step, for its intermediate states or its outputs for tokens.
    intermediate: Option<IntermediateDistillation>,
}

impl Teacher {
    /// Creates a teacher. Loads its network only if a loss needs it in each step; it reads the student's tokens. Adds
    /// projections to the student's parameters where widths differ.
    ///
    /// # Errors
    /// `Option` for a teacher that such a student cannot learn from in the way that the recipe asks for.
    pub(crate) fn new(
        weights: &Distillation,
        outputs: Option<TeacherOutputs>,
        student: DistilledStudent<'_>,
        threads: &Threads,
        seed: u64,
    ) -> Result<Self> {
        let mut teacher = Self {
            weights: weights.clone(),
            outputs,
            intermediate: None,
        };
        let needs_outputs = weights.learns_outputs() && teacher.outputs.is_none();
        let (Some(folder), true) = (
            &weights.teacher,
            needs_outputs || teacher.retain() == Retain::All,
        ) else {
            return Ok(teacher);
        };
        let intermediate =
            IntermediateDistillation::new(weights, folder, needs_outputs, student, threads, seed);
        teacher.intermediate = Some(intermediate.map_err(|error| match error {
            Error::Io { .. } if folder.is_file() => Error::Option {
                name: "teacher",
                reason: format!(
                    "{} is a packed file, and a teacher that is asked at each step (for token classification, question \
                     answering, attention or relations) must be the folder of a model",
                    folder.display()
                ),
            },
            error => error,
        })?);
        Ok(teacher)
    }

    /// Checks that a teacher that runs in each step has the student's tokens, before pruning, and its labels, because both
    /// exchange only ids.
    ///
    /// # Errors
    /// `Option` for a teacher with other tokens or labels; any error of reading its files.
    pub(crate) fn check(&self, tokenizer: &Tokenizer, labels: &[String]) -> Result<()> {
        let (Some(folder), Some(_)) = (&self.weights.teacher, &self.intermediate) else {
            return Ok(());
        };
        let wrong = |name, reason: &str| {
            Err(Error::Option {
                name,
                reason: reason.to_owned(),
            })
        };
        let files = ModelFiles::open(folder, Access::Read)?;
        let other = Tokenizer::open(&files, "", false)?;
        let size = tokenizer.vocab_size().max(other.vocab_size()) as u32;
        if (0..size).any(|id| tokenizer.id_to_token(id) != other.id_to_token(id)) {
            return wrong(
                "teacher",
                "it has other tokens than the model that the student starts from",
            );
        }
        let asks = self.weights.learns_outputs() && self.outputs.is_none();
        if asks && !labels.is_empty() && Config::read(&files)?.head.labels != labels {
            return wrong("labels", "they are not those of the teacher, in its order");
        }
        Ok(())
    }

    /// Returns the weight of the loss against the tables' own targets.
    pub(crate) fn hard(&self) -> f64 {
        self.weights.hard
    }

    /// Computes the outputs that are needed before the first step. Calls `done(done, total)` with numbers of texts.
    ///
    /// # Errors
    /// Those of [`TeacherOutputs::compute`].
    pub(crate) fn prepare(
        &mut self,
        width: usize,
        done: &mut dyn FnMut(usize, usize),
    ) -> Result<()> {
        match &mut self.outputs {
            Some(outputs) => outputs.compute(width, done),
            None => Ok(()),
        }
    }

    /// Takes over the outputs of an equal teacher for the same texts.
    pub(crate) fn reuse_outputs(&mut self, other: Self) {
        self.outputs = other.outputs;
    }

    /// Returns which results of the forward passes the losses read.
    pub(crate) fn retain(&self) -> Retain {
        let Distillation {
            hidden,
            attention,
            relations,
            ..
        } = self.weights;
        if hidden > 0.0 || attention > 0.0 || relations > 0.0 {
            Retain::All
        } else {
            Retain::Head
        }
    }

    /// Computes the loss of the student's pass against the teacher's for the same batch. Writes its gradients to `d_outputs`, and
    /// adds those of the projections to `gradients`.
    ///
    /// # Errors
    /// Those of the teacher's forward pass.
    pub(crate) fn loss(
        &mut self,
        pass: &StudentPass<'_>,
        objective: &Objective,
        d_outputs: &mut OutputGradients,
        gradients: &mut Gradients,
    ) -> Result<f64> {
        let retain = self.retain();
        let Self {
            weights,
            outputs,
            intermediate,
        } = self;
        if let Some(intermediate) = intermediate {
            intermediate.forward(pass, retain)?;
        }
        let mut value = 0.0;
        if weights.learns_outputs() {
            let output = pass.tape.output();
            let known = outputs.as_ref().map(|outputs| outputs.of(pass.examples));
            let teacher = match (&known, &intermediate) {
                (Some(known), _) => &known[..],
                (None, Some(intermediate)) => intermediate.output().unwrap_or_default(),
                (None, None) => &[],
            };
            d_outputs.head.resize(output.len(), 0.0);
            let mut learn = |loss: Loss, loss_weight: f64| {
                value += loss_weight * loss.value;
                add(
                    &mut d_outputs.head,
                    &loss.gradient,
                    pass.weight * loss_weight,
                );
            };
            if weights.soft > 0.0 {
                let temperature = weights.temperature;
                learn(
                    objective.soft_loss(output, teacher, temperature),
                    weights.soft,
                );
            }
            if weights.pseudo > 0.0 {
                learn(objective.pseudo_label_loss(output, teacher), weights.pseudo);
            }
        }
        if let Some(intermediate) = intermediate {
            value += intermediate.loss(weights, pass, d_outputs, gradients);
        }
        Ok(value)
    }
}
