//! What a student learns from a teacher beside its answers: hidden states, attention, relations.

use super::losses::{Heads, Measure, mean_squared_error, projected_mean_squared_error, relation};
use super::network::{Network, OutputGradients, Tape, Wanted};
use super::objective::Objective;
use super::ops::dropout::Dropout;
use super::parameters::{Gradients, Id, Parameter, Parameters};
use super::random::Random;
use super::recipe::Distillation;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::kernels::Compute;

/// What names of projections start with: they learn with the student and are no part of it.
pub(crate) const PROJECTION: &str = "projection.";

/// A network that does not learn, and how much each of its parts counts.
#[derive(Debug)]
pub(crate) struct Teacher {
    network: Network,
    parameters: Parameters,
    tape: Tape,
    weights: Distillation,
    /// The teacher's number of each of the student's tokens, where those are fewer.
    kept: Option<Vec<u32>>,
    /// Of the student's hidden states, projections to the teacher's width; none where both are as wide.
    projections: Vec<Option<Id>>,
}

/// The student's part of a pass.
pub(crate) struct Pass<'a> {
    pub(crate) compute: &'a Compute,
    pub(crate) batch: &'a Batch,
    pub(crate) network: &'a Network,
    pub(crate) parameters: &'a Parameters,
    pub(crate) tape: &'a Tape,
    /// By how much all gradients are multiplied.
    pub(crate) weight: f64,
}

impl Teacher {
    /// Projections are added to the student's parameters.
    ///
    /// # Errors
    /// `Option` for a teacher from which such a student cannot learn such parts.
    pub(crate) fn new(
        (network, parameters): (Network, Parameters),
        weights: &Distillation,
        kept: Option<Vec<u32>>,
        student: (&Network, &mut Parameters),
        seed: u64,
    ) -> Result<Self> {
        let (own, teacher) = (student.0.config(), network.config());
        let refuse = |reason: String| Error::Option {
            name: "teacher",
            reason,
        };
        if weights.soft > 0.0 && student.0.outputs() != network.outputs() {
            let (own, teacher) = (student.0.outputs(), network.outputs());
            return Err(refuse(format!(
                "it puts out {teacher} numbers, and the student {own}"
            )));
        }
        if (kept.is_none() && own.vocab_size != teacher.vocab_size)
            || own.positions > teacher.positions
        {
            return Err(refuse(
                "it has another vocabulary than the student, or fewer positions".to_owned(),
            ));
        }
        if weights.attention > 0.0 && own.heads != teacher.heads {
            return Err(refuse(format!(
                "it has {} heads of attention, and the student {}",
                teacher.heads, own.heads
            )));
        }
        let heads = weights.relation_heads;
        if weights.relations > 0.0 && (own.hidden % heads != 0 || teacher.hidden % heads != 0) {
            return Err(refuse(format!(
                "{heads} relation heads do not divide both widths"
            )));
        }
        let mut projections = Vec::new();
        if weights.hidden > 0.0 {
            for state in 0..=own.layers {
                projections.push(match own.hidden == teacher.hidden {
                    true => None,
                    false => {
                        let shape = vec![teacher.hidden, own.hidden];
                        let mut random = Random::new(seed, u64::MAX - state as u64);
                        let scale = 1.0 / (own.hidden as f64).sqrt();
                        let numbers = 0..teacher.hidden * own.hidden;
                        Some(student.1.add(Parameter {
                            name: format!("{PROJECTION}{state}"),
                            shape,
                            values: numbers.map(|_| (scale * random.normal()) as f32).collect(),
                            decays: true,
                        }))
                    }
                });
            }
        }
        Ok(Self {
            network,
            parameters,
            tape: Tape::default(),
            weights: weights.clone(),
            kept,
            projections,
        })
    }

    /// How much the labels of the tables count beside it.
    pub(crate) fn hard(&self) -> f64 {
        self.weights.hard
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

    /// The loss of the student's pass against the teacher's of the same batch, whose gradients go into `outputs`, and those
    /// of projections into `gradients`.
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
        let Pass { compute, batch, .. } = *pass;
        let own = self.kept.as_ref().map(|kept| {
            let mut batch = batch.clone();
            batch.ids.iter_mut().for_each(|id| *id = kept[*id as usize]);
            batch
        });
        let batch = own.as_ref().unwrap_or(batch);
        self.network.forward(
            compute,
            &self.parameters,
            batch,
            (&Dropout::NONE, self.wanted()),
            &mut self.tape,
        )?;
        let mut value = 0.0;
        if self.weights.soft > 0.0 {
            let (output, teacher) = (pass.tape.output(), self.tape.output());
            let loss = objective.of_teacher(output, teacher, self.weights.temperature);
            value += self.weights.soft * loss.value;
            outputs.head.resize(output.len(), 0.0);
            add(
                &mut outputs.head,
                &loss.gradient,
                pass.weight * self.weights.soft,
            );
        }
        if self.weights.hidden > 0.0 {
            value += self.weights.hidden * self.hidden(pass, outputs, gradients);
        }
        let layers = pass.network.config().layers;
        if self.weights.attention > 0.0 {
            for layer in 0..layers {
                let own = self.weights.attention;
                value +=
                    own * self.relations(pass, layer, &[(0, 1)], Measure::Scores, own, outputs);
            }
        }
        if self.weights.relations > 0.0 && layers > 0 {
            let own = self.weights.relations;
            let kinds = [(0, 0), (1, 1), (2, 2)];
            value += own
                * self.relations(
                    pass,
                    layers - 1,
                    &kinds,
                    Measure::Distributions,
                    own,
                    outputs,
                );
        }
        Ok(value)
    }

    /// The teacher's layer, counted from 1, that belongs to one of the student's; 0 are the embeddings of both.
    fn layer(&self, pass: &Pass<'_>, layer: usize) -> usize {
        layer * self.network.config().layers / pass.network.config().layers.max(1)
    }

    fn hidden(
        &self,
        pass: &Pass<'_>,
        outputs: &mut OutputGradients,
        gradients: &mut Gradients,
    ) -> f64 {
        let width = pass.network.config().hidden;
        outputs.hidden.resize(self.projections.len(), Vec::new());
        let (mut value, weight) = (0.0, pass.weight * self.weights.hidden);
        for (state, projection) in self.projections.iter().enumerate() {
            let student = pass.tape.hidden(state);
            let teacher = self.tape.hidden(self.layer(pass, state));
            let (own, gradient) = match projection {
                None => {
                    let loss = mean_squared_error(student, teacher);
                    (loss.value, loss.gradient)
                }
                Some(id) => {
                    let projection = pass.parameters.values(*id);
                    let loss = projected_mean_squared_error(student, width, projection, teacher);
                    add(gradients.of_mut(*id), &loss.weight, weight);
                    (loss.value, loss.gradient)
                }
            };
            value += own;
            outputs.hidden[state].resize(gradient.len(), 0.0);
            add(&mut outputs.hidden[state], &gradient, weight);
        }
        value
    }

    /// Relations of projections (0 for queries, 1 for keys, 2 for values) in one of the student's layers.
    fn relations(
        &self,
        pass: &Pass<'_>,
        layer: usize,
        kinds: &[(usize, usize)],
        measure: Measure,
        weight: f64,
        outputs: &mut OutputGradients,
    ) -> f64 {
        let (own, other) = (pass.network.config(), self.network.config());
        let heads = match measure {
            Measure::Scores => own.heads,
            Measure::Distributions => self.weights.relation_heads,
        };
        let student = pass.tape.projections(layer);
        let teacher = self
            .tape
            .projections(self.layer(pass, layer + 1).max(1) - 1);
        outputs
            .projections
            .resize_with(own.layers, Default::default);
        let mut value = 0.0;
        for &(left, right) in kinds {
            let loss = relation(
                pass.compute,
                measure,
                heads,
                Heads {
                    left: student[left],
                    right: student[right],
                    width: own.hidden,
                },
                Heads {
                    left: teacher[left],
                    right: teacher[right],
                    width: other.hidden,
                },
                &pass.batch.starts,
            );
            value += loss.value;
            for (kind, gradient) in [(left, &loss.first), (right, &loss.second)] {
                let sum = &mut outputs.projections[layer][kind];
                sum.resize(gradient.len(), 0.0);
                add(sum, gradient, pass.weight * weight);
            }
        }
        value
    }
}

/// `sum += weight * x`.
fn add(sum: &mut [f32], x: &[f32], weight: f64) {
    assert_eq!(sum.len(), x.len());
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum += weight as f32 * x;
    }
}
