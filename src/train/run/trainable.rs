//! A network with its examples, as the training loop sees it: forward, loss, backward, evaluation.

use std::path::Path;

use super::evaluation::{self, Predictions};
use super::trainer::{BatchLoss, Trainable};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::kernels::ExecContext;
use crate::train::data::{Example, Labels, Target};
use crate::train::distill::intermediate::{PROJECTION, StudentPass};
use crate::train::distill::teacher::Teacher;
use crate::train::losses::objective::Objective;
use crate::train::model::checkpoint::CheckpointFiles;
use crate::train::model::network::{Network, OutputGradients, Retain, Tape};
use crate::train::model::ops::dropout::Dropout;
use crate::train::model::parameters::{Gradients, Parameter, Parameters};

/// Number of examples in a batch of an evaluation.
const EVAL_BATCH: usize = 32;

/// A network with its objective and its examples.
#[derive(Debug)]
pub(crate) struct TrainableNetwork {
    pub(crate) network: Network,
    pub(crate) parameters: Parameters,
    /// Parameters that are saved unchanged.
    pub(crate) unused: Vec<Parameter>,
    pub(crate) checkpoint: CheckpointFiles,
    pub(crate) objective: Objective,
    pub(crate) teacher: Option<Teacher>,
    pub(crate) examples: Vec<Example>,
    pub(crate) dev: Vec<Example>,
    pub(crate) labels: Labels,
    /// Metric that selects the best model; `None` for the task's first.
    pub(crate) metric: Option<String>,
    pub(crate) seed: u64,
    /// Dropout rate.
    pub(crate) dropout: f32,
    pub(crate) tape: Tape,
}

impl TrainableNetwork {
    /// Number of tokens in each example.
    pub(crate) fn lengths(&self) -> Vec<usize> {
        let second = |example: &Example| example.second.as_ref().map_or(0, |second| second.len());
        let length = |example: &Example| example.first.len() + second(example);
        self.examples.iter().map(length).collect()
    }

    /// Class of each example; `None` unless all examples have one.
    pub(crate) fn classes(&self) -> Option<Vec<usize>> {
        let class = |example: &Example| match example.target {
            Target::Class(class) => Some(class),
            _ => None,
        };
        self.examples.iter().map(class).collect()
    }
}

/// Makes a batch of the first texts of examples, followed by the second ones.
fn batch(examples: &[&Example]) -> Batch {
    let firsts = examples.iter().map(|example| &example.first);
    let seconds = examples
        .iter()
        .filter_map(|example| example.second.as_ref());
    Batch::new(firsts.chain(seconds))
}

impl Trainable for TrainableNetwork {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn prepare(&mut self, done: &mut dyn FnMut(usize, usize)) -> Result<()> {
        match &mut self.teacher {
            Some(teacher) => teacher.prepare(self.network.outputs(), done),
            None => Ok(()),
        }
    }

    fn forward_backward(
        &mut self,
        exec: &ExecContext,
        numbers: &[usize],
        dropout_key: u64,
        weight: f64,
        gradients: &mut Gradients,
    ) -> Result<BatchLoss> {
        let examples: Vec<&Example> = numbers.iter().map(|&at| &self.examples[at]).collect();
        let batch = batch(&examples);
        let dropout = Dropout {
            seed: self.seed,
            step: dropout_key,
            hidden: self.dropout,
            attention: self.dropout,
            head: self.dropout,
        };
        let retain = self.teacher.as_ref().map_or(Retain::Head, Teacher::retain);
        let Self {
            network,
            parameters,
            tape,
            objective,
            ..
        } = self;
        network.forward(exec, parameters, &batch, &dropout, retain, tape)?;

        let mut outputs = OutputGradients::default();
        let mut loss = 0.0;
        let hard = self.teacher.as_ref().map_or(1.0, Teacher::hard);
        if hard > 0.0 {
            let hard_loss = objective.hard_loss(tape.output(), &batch.starts, &examples);
            loss += hard * hard_loss.value;
            outputs.head = hard_loss.scaled(hard * weight).gradient;
        }
        if let Some(teacher) = &mut self.teacher {
            let pass = StudentPass {
                exec,
                batch: &batch,
                examples: numbers,
                network,
                parameters,
                tape,
                weight,
            };
            loss += teacher.loss(&pass, objective, &mut outputs, gradients)?;
        }
        network.backward(exec, parameters, &batch, tape, &outputs, gradients);
        Ok(BatchLoss {
            loss,
            tokens: batch.rows(),
        })
    }

    fn evaluate(&mut self, exec: &ExecContext) -> Result<Vec<(String, f64)>> {
        let task = self.objective.task;
        let mut predictions = Predictions::default();
        let all: Vec<&Example> = self.dev.iter().collect();
        // Evaluates without rounding, as the saved model will run.
        let network = self.network.without_rounding();
        for examples in all.chunks(EVAL_BATCH) {
            let batch = batch(examples);
            let Self {
                parameters, tape, ..
            } = self;
            network.forward(exec, parameters, &batch, &Dropout::NONE, Retain::Head, tape)?;
            predictions.add(task, &self.labels, tape.output(), &batch.starts, examples);
        }
        let mut figures = predictions.metrics(task);
        if let (Some(metric), false) = (&self.metric, figures.is_empty()) {
            figures[..=evaluation::metric_index(task, metric)?].rotate_right(1);
        }
        Ok(figures)
    }

    /// # Errors
    /// `Io`; `NonFinite` for weights that are not finite, because no model could be opened with them.
    fn save(&self, folder: &Path) -> Result<()> {
        let trained = || {
            let all = self.parameters.iter();
            all.filter(|parameter| !parameter.name.starts_with(PROJECTION))
        };
        let is_finite = |parameter: &&Parameter| parameter.values.iter().all(|x| x.is_finite());
        if let Some(wrong) = trained().find(|parameter| !is_finite(parameter)) {
            return Err(Error::NonFinite {
                what: format!("weight {} after this training", wrong.name),
            });
        }
        self.checkpoint.write(folder, trained().chain(&self.unused))
    }
}
