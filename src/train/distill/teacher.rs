//! What a student learns from a teacher: its outputs, and what is inside of it.

use super::intermediate::{Inside, Pass, add};
use super::outputs::Targets;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::kernels::Threads;
use crate::tokenizer::Tokenizer;
use crate::train::losses::Loss;
use crate::train::losses::objective::Objective;
use crate::train::model::network::{Network, OutputGradients, Wanted};
use crate::train::model::parameters::{Gradients, Parameters};
use crate::train::recipe::Distillation;
use crate::weights::{Access, Files};

/// What is taught, and how much each part of it counts.
#[derive(Debug)]
pub(crate) struct Teacher {
    weights: Distillation,
    /// Outputs that are known ahead of the first step,
    targets: Option<Targets>,
    /// and what has to be computed for each: the inside of the network, or what it says of tokens.
    inside: Option<Inside>,
}

impl Teacher {
    /// The teacher's network is there only if it is needed: reads the student's
    /// tokens, by their numbers in `kept` if those are fewer, and adds projections to the student's parameters.
    ///
    /// # Errors
    /// `Option` for a teacher from which such a student cannot learn such parts.
    pub(crate) fn new(
        weights: &Distillation,
        targets: Option<Targets>,
        student: (&Network, &mut Parameters),
        (kept, threads, seed): (Option<Vec<u32>>, &Threads, u64),
    ) -> Result<Self> {
        let mut teacher = Self {
            weights: weights.clone(),
            targets,
            inside: None,
        };
        let outputs = weights.learns_outputs() && teacher.targets.is_none();
        let (Some(folder), true) = (&weights.teacher, outputs || teacher.wanted() == Wanted::All)
        else {
            return Ok(teacher);
        };
        let inside = Inside::new(weights, (folder, outputs), (kept, threads, seed), student);
        teacher.inside = Some(inside.map_err(|error| match error {
            Error::Io { .. } if folder.is_file() => Error::Option {
                name: "teacher",
                reason: format!(
                    "{} is a packed file, and a teacher that is asked at each step (about tokens, questions, attention or \
                     relations) must be the folder of a model",
                    folder.display()
                ),
            },
            error => error,
        })?);
        Ok(teacher)
    }

    /// That a teacher that is asked at each step reads the student's tokens, before any were pruned, and has its labels, as
    /// both know them by number alone.
    ///
    /// # Errors
    /// `Option` for another one; whatever is wrong with its files.
    pub(crate) fn check(&self, tokenizer: &Tokenizer, labels: &[String]) -> Result<()> {
        let (Some(folder), Some(_)) = (&self.weights.teacher, &self.inside) else {
            return Ok(());
        };
        let wrong = |name, reason: &str| {
            Err(Error::Option {
                name,
                reason: reason.to_owned(),
            })
        };
        let files = Files::open(folder, Access::Read)?;
        let other = Tokenizer::open(&files, "", false)?;
        let size = tokenizer.vocab_size().max(other.vocab_size()) as u32;
        if (0..size).any(|id| tokenizer.id_to_token(id) != other.id_to_token(id)) {
            return wrong(
                "teacher",
                "it has other tokens than the model that the student starts from",
            );
        }
        let asks = self.weights.learns_outputs() && self.targets.is_none();
        if asks && !labels.is_empty() && Config::read(&files)?.head.labels != labels {
            return wrong("labels", "they are not those of the teacher, in its order");
        }
        Ok(())
    }

    /// How much the labels of the tables count beside it.
    pub(crate) fn hard(&self) -> f64 {
        self.weights.hard
    }

    /// Computes the outputs that can be known ahead of the first step; says how many of how many texts are done.
    ///
    /// # Errors
    /// Those of [`Targets::ask`].
    pub(crate) fn prepare(
        &mut self,
        outputs: usize,
        done: &mut dyn FnMut(usize, usize),
    ) -> Result<()> {
        match &mut self.targets {
            Some(targets) => targets.ask(outputs, done),
            None => Ok(()),
        }
    }

    /// Takes the outputs of the same teacher for the same texts.
    pub(crate) fn answers_of(&mut self, other: Self) {
        self.targets = other.targets;
    }

    /// What is looked at of both passes.
    pub(crate) fn wanted(&self) -> Wanted {
        let Distillation {
            hidden,
            attention,
            relations,
            ..
        } = self.weights;
        match hidden > 0.0 || attention > 0.0 || relations > 0.0 {
            true => Wanted::All,
            false => Wanted::Head,
        }
    }

    /// The loss of the student's pass against what the teacher has for the same batch, whose gradients go into `outputs`, and
    /// those of projections into `gradients`.
    ///
    /// # Errors
    /// Those of the teacher's forward pass.
    pub(crate) fn learn(
        &mut self,
        pass: &Pass<'_>,
        objective: &Objective,
        outputs: &mut OutputGradients,
        gradients: &mut Gradients,
    ) -> Result<f64> {
        let wanted = self.wanted();
        let Self {
            weights,
            targets,
            inside,
        } = self;
        if let Some(inside) = inside {
            inside.forward(pass, wanted)?;
        }
        let mut value = 0.0;
        if weights.learns_outputs() {
            let output = pass.tape.output();
            let known = targets.as_ref().map(|targets| targets.of(pass.examples));
            let teacher = match (&known, &inside) {
                (Some(known), _) => &known[..],
                (None, Some(inside)) => inside.output().unwrap_or_default(),
                (None, None) => &[],
            };
            outputs.head.resize(output.len(), 0.0);
            let mut learn = |loss: Loss, own: f64| {
                value += own * loss.value;
                add(&mut outputs.head, &loss.gradient, pass.weight * own);
            };
            if weights.soft > 0.0 {
                let temperature = weights.temperature;
                learn(
                    objective.of_teacher(output, teacher, temperature),
                    weights.soft,
                );
            }
            if weights.pseudo > 0.0 {
                learn(objective.of_likeliest(output, teacher), weights.pseudo);
            }
        }
        if let Some(inside) = inside {
            value += inside.learn(weights, pass, outputs, gradients);
        }
        Ok(value)
    }
}
