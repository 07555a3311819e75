//! What a student learns from a teacher: its outputs, and hidden states, attention and relations inside of it.

use super::losses::{
    Heads, Loss, Measure, mean_squared_error, projected_mean_squared_error, relation,
};
use super::network::{HeadKind, Network, OutputGradients, Tape, Wanted};
use super::objective::Objective;
use super::ops::dropout::Dropout;
use super::parameters::{Gradients, Id, Parameter, Parameters};
use super::random::Random;
use super::recipe::Distillation;
use super::targets::Targets;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::kernels::{Compute, Threads};
use crate::weights::Files;

/// What names of projections start with: they learn with the student and are no part of it.
pub(crate) const PROJECTION: &str = "projection.";

/// What is taught, and how much each part of it counts.
#[derive(Debug)]
pub(crate) struct Teacher {
    weights: Distillation,
    /// Outputs that are known ahead of the first step,
    targets: Option<Targets>,
    /// and what has to be computed for each: the inside of the network, or what it says of tokens.
    inside: Option<Inside>,
}

/// A network that does not learn.
#[derive(Debug)]
struct Inside {
    network: Network,
    parameters: Parameters,
    tape: Tape,
    /// The teacher's number of each of the student's tokens, where those are fewer.
    kept: Option<Vec<u32>>,
    /// Of the student's hidden states, projections to the teacher's width; none where both are as wide.
    projections: Vec<Option<Id>>,
}

/// The student's part of a pass.
pub(crate) struct Pass<'a> {
    pub(crate) compute: &'a Compute,
    pub(crate) batch: &'a Batch,
    /// Which examples the batch has.
    pub(crate) examples: &'a [usize],
    pub(crate) network: &'a Network,
    pub(crate) parameters: &'a Parameters,
    pub(crate) tape: &'a Tape,
    /// By how much all gradients are multiplied.
    pub(crate) weight: f64,
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
        let files = Files::folder(folder);
        // The head is its own, never a fresh one; where its answers are known or do not count, it needs none.
        let head = match outputs {
            true => None,
            false => Some(HeadKind::Rows),
        };
        let network = Network::load(&files, head, seed, threads).map_err(|error| match error {
            Error::WeightMissing { name } => Error::Option {
                name: "teacher",
                reason: format!("its checkpoint has no {name}"),
            },
            error => error,
        })?;
        teacher.inside = Some(Inside::new(
            network,
            weights,
            outputs,
            (kept, seed),
            student,
        )?);
        Ok(teacher)
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
                (None, Some(inside)) => inside.tape.output(),
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

impl Inside {
    fn new(
        (network, parameters): (Network, Parameters),
        weights: &Distillation,
        outputs: bool,
        (kept, seed): (Option<Vec<u32>>, u64),
        student: (&Network, &mut Parameters),
    ) -> Result<Self> {
        let (own, teacher) = (student.0.config(), network.config());
        let refuse = |reason: String| Error::Option {
            name: "teacher",
            reason,
        };
        if outputs && student.0.outputs() != network.outputs() {
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
            kept,
            projections,
        })
    }

    /// The pass of the student's batch.
    fn forward(&mut self, pass: &Pass<'_>, wanted: Wanted) -> Result<()> {
        let own = self.kept.as_ref().map(|kept| {
            let mut batch = pass.batch.clone();
            batch.ids.iter_mut().for_each(|id| *id = kept[*id as usize]);
            batch
        });
        let batch = own.as_ref().unwrap_or(pass.batch);
        self.network.forward(
            pass.compute,
            &self.parameters,
            batch,
            (&Dropout::NONE, wanted),
            &mut self.tape,
        )
    }

    fn learn(
        &self,
        weights: &Distillation,
        pass: &Pass<'_>,
        outputs: &mut OutputGradients,
        gradients: &mut Gradients,
    ) -> f64 {
        let mut value = 0.0;
        if weights.hidden > 0.0 {
            value += weights.hidden * self.hidden(pass, weights.hidden, outputs, gradients);
        }
        let layers = pass.network.config().layers;
        if weights.attention > 0.0 {
            let own = weights.attention;
            let heads = pass.network.config().heads;
            let measure = (Measure::Scores, heads);
            for layer in 0..layers {
                value += own * self.relations(pass, layer, &[(0, 1)], measure, own, outputs);
            }
        }
        if weights.relations > 0.0 && layers > 0 {
            let own = weights.relations;
            let kinds = [(0, 0), (1, 1), (2, 2)];
            let measure = (Measure::Distributions, weights.relation_heads);
            value += own * self.relations(pass, layers - 1, &kinds, measure, own, outputs);
        }
        value
    }

    /// The teacher's layer, counted from 1, that belongs to one of the student's; 0 are the embeddings of both.
    fn layer(&self, pass: &Pass<'_>, layer: usize) -> usize {
        layer * self.network.config().layers / pass.network.config().layers.max(1)
    }

    fn hidden(
        &self,
        pass: &Pass<'_>,
        weight: f64,
        outputs: &mut OutputGradients,
        gradients: &mut Gradients,
    ) -> f64 {
        let width = pass.network.config().hidden;
        outputs.hidden.resize(self.projections.len(), Vec::new());
        let (mut value, weight) = (0.0, pass.weight * weight);
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
        (measure, heads): (Measure, usize),
        weight: f64,
        outputs: &mut OutputGradients,
    ) -> f64 {
        let (own, other) = (pass.network.config(), self.network.config());
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
