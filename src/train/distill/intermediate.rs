//! Distillation of intermediate states: a teacher's hidden states, attention and relations.

use std::path::Path;

use super::outputs::blame_teacher;
use crate::batch::{Batch, OutputRows};
use crate::config::{Config, EncoderConfig};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::kernels::gemm::Dtype;
use crate::kernels::{ExecContext, Threads};
use crate::layers::Scratch;
use crate::train::losses::{
    Measure, ProjectionPair, mean_squared_error, projected_mean_squared_error, relation,
};
use crate::train::model::network::{HeadKind, Network, OutputGradients, Retain, Tape};
use crate::train::model::ops::dropout::Dropout;
use crate::train::model::parameters::{Gradients, ParamId, Parameter, Parameters};
use crate::train::random::Random;
use crate::train::recipe::Distillation;
use crate::weights::{Access, ModelFiles, Residency, Store};

/// Prefix of the projections' parameter names. Projections are trained with the student but are not part of it.
pub(crate) const PROJECTION: &str = "projection.";

/// A forward pass of the student.
pub(crate) struct StudentPass<'a> {
    pub(crate) exec: &'a ExecContext,
    pub(crate) batch: &'a Batch,
    /// Indices of the examples in the batch.
    pub(crate) examples: &'a [usize],
    pub(crate) network: &'a Network,
    pub(crate) parameters: &'a Parameters,
    pub(crate) tape: &'a Tape,
    /// Factor of all gradients: the weight of this pass's examples in the batch.
    pub(crate) weight: f64,
}

/// A student whose teacher is loaded.
pub(crate) struct DistilledStudent<'a> {
    pub(crate) network: &'a Network,
    /// Parameters, to which projections are added where widths differ.
    pub(crate) parameters: &'a mut Parameters,
    /// Teacher's id of each of the student's tokens, if the student's vocabulary was pruned.
    pub(crate) kept: Option<Vec<u32>>,
}

/// Distillation of a teacher's intermediate states: the teacher's network, which runs in each step, and the projections.
#[derive(Debug)]
pub(super) struct IntermediateDistillation {
    network: TeacherNetwork,
    /// Teacher's id of each of the student's tokens, if the student's vocabulary was pruned.
    kept: Option<Vec<u32>>,
    /// Projections of the student's hidden states to the teacher's width; `None` where both have the same width.
    projections: Vec<Option<ParamId>>,
}

/// Relations in one of the student's layers.
#[derive(Clone, Copy)]
struct Relations<'a> {
    /// Index of the layer, counted from 0.
    layer: usize,
    /// Left and right projection of each relation: 0 for queries, 1 for keys, 2 for values.
    projections: &'a [(usize, usize)],
    measure: Measure,
    /// Number of heads that both widths are split into.
    heads: usize,
}

/// The network of a teacher, which is not trained.
#[derive(Debug)]
enum TeacherNetwork {
    /// A network whose tape keeps all intermediate states, in f32.
    Taped(Box<TapedNetwork>),
    /// An encoder that gives hidden states alone, in any compute type, of any family.
    Encoder(Box<EncoderStates>),
}

/// A network with its parameters and the intermediate states of its last pass.
#[derive(Debug)]
struct TapedNetwork {
    network: Network,
    parameters: Parameters,
    tape: Tape,
}

/// An encoder with the hidden states of its last pass.
#[derive(Debug)]
struct EncoderStates {
    encoder: Encoder,
    config: EncoderConfig,
    scratch: Scratch,
    /// Hidden states after the embeddings and after each layer, (rows, hidden).
    hidden: Vec<Vec<f32>>,
}

impl TeacherNetwork {
    /// Loads the network. `needs_outputs` says whether the teacher's outputs are needed, too.
    fn load(
        weights: &Distillation,
        folder: &Path,
        needs_outputs: bool,
        threads: &Threads,
        seed: u64,
    ) -> Result<Self> {
        if !(needs_outputs || weights.attention > 0.0 || weights.relations > 0.0) {
            let states = EncoderStates::load(folder, weights.dtype, threads);
            return states.map(|states| Self::Encoder(Box::new(states)));
        }
        // The head is the teacher's own, never a new one. Where its outputs are not needed in each step it has no head.
        let head = if needs_outputs {
            None
        } else {
            Some(HeadKind::None)
        };
        let (network, parameters) =
            Network::load(&ModelFiles::folder(folder), head, seed, threads)?;
        Ok(Self::Taped(Box::new(TapedNetwork {
            network,
            parameters,
            tape: Tape::default(),
        })))
    }

    fn config(&self) -> &EncoderConfig {
        match self {
            Self::Taped(taped) => taped.network.config(),
            Self::Encoder(states) => &states.config,
        }
    }

    fn forward(&mut self, exec: &ExecContext, batch: &Batch, retain: Retain) -> Result<()> {
        match self {
            Self::Taped(taped) => {
                let TapedNetwork {
                    network,
                    parameters,
                    tape,
                } = &mut **taped;
                network.forward(exec, parameters, batch, &Dropout::NONE, retain, tape)
            }
            Self::Encoder(states) => states.forward(exec, batch),
        }
    }

    /// Returns the hidden states after a layer, counted from 1; 0 are the embeddings.
    fn hidden(&self, layer: usize) -> &[f32] {
        match self {
            Self::Taped(taped) => taped.tape.hidden(layer),
            Self::Encoder(states) => &states.hidden[layer],
        }
    }

    /// Returns the tape with queries, keys, values and outputs, if there is one.
    fn tape(&self) -> Option<&Tape> {
        match self {
            Self::Taped(taped) => Some(&taped.tape),
            Self::Encoder(_) => None,
        }
    }
}

impl EncoderStates {
    fn load(folder: &Path, dtype: Option<Dtype>, threads: &Threads) -> Result<Self> {
        let files = ModelFiles::open(folder, Access::Read)?;
        let config = Config::read(&files)?;
        let names = config.encoder.family.tensor_names();
        let store = Store::open(&files, &config.folder, names, Access::Read, threads)?;
        let store = match dtype {
            Some(dtype) => store.with_compute_dtype(dtype)?,
            None => store,
        };
        // Training reads all rows of the embedding table, so they stay in memory.
        let encoder = Encoder::load(&store.weights(), &config.encoder, Residency::InMemory)?;
        Ok(Self {
            hidden: vec![Vec::new(); config.encoder.num_hidden_layers + 1],
            encoder,
            config: config.encoder,
            scratch: Scratch::default(),
        })
    }

    fn forward(&mut self, exec: &ExecContext, batch: &Batch) -> Result<()> {
        let hidden = &mut self.hidden;
        let observe = |layer: usize, rows: &[f32]| {
            hidden[layer].clear();
            hidden[layer].extend_from_slice(rows);
        };
        self.encoder
            .forward(exec, batch, OutputRows::All, &mut self.scratch, observe)?;
        Ok(())
    }
}

impl IntermediateDistillation {
    /// Loads the teacher, which reads the student's tokens, and adds projections to the student's parameters. `needs_outputs` says
    /// whether the teacher's outputs are learned in each step, too.
    ///
    /// # Errors
    /// Any error of reading the teacher's files; `Option` for a teacher that such a student cannot learn these states from.
    pub(super) fn new(
        weights: &Distillation,
        folder: &Path,
        needs_outputs: bool,
        student: DistilledStudent<'_>,
        threads: &Threads,
        seed: u64,
    ) -> Result<Self> {
        let network = TeacherNetwork::load(weights, folder, needs_outputs, threads, seed);
        let network = network.map_err(blame_teacher)?;
        let (config, teacher) = (student.network.config(), network.config());
        let refuse = |reason: String| Error::Option {
            name: "teacher",
            reason,
        };
        if let (true, TeacherNetwork::Taped(taped)) = (needs_outputs, &network)
            && student.network.outputs() != taped.network.outputs()
        {
            let [student, teacher] = [student.network, &taped.network].map(Network::outputs);
            return Err(refuse(format!(
                "its output has {teacher} values, and the student's {student}"
            )));
        }
        if (student.kept.is_none() && config.vocab_size != teacher.vocab_size)
            || config.positions > teacher.positions
        {
            return Err(refuse(
                "it has another vocabulary than the student, or fewer positions".to_owned(),
            ));
        }
        if weights.attention > 0.0 && config.num_attention_heads != teacher.num_attention_heads {
            return Err(refuse(format!(
                "it has {} heads of attention, and the student {}",
                teacher.num_attention_heads, config.num_attention_heads
            )));
        }
        let heads = weights.relation_heads;
        if weights.relations > 0.0
            && (config.hidden_size % heads != 0 || teacher.hidden_size % heads != 0)
        {
            return Err(refuse(format!(
                "{heads} relation heads do not divide both widths"
            )));
        }
        let mut projection = |state: usize| {
            if config.hidden_size == teacher.hidden_size {
                return None;
            }
            let mut random = Random::new(seed, u64::MAX - state as u64);
            let scale = 1.0 / (config.hidden_size as f64).sqrt();
            let values = 0..teacher.hidden_size * config.hidden_size;
            Some(student.parameters.add(Parameter {
                name: format!("{PROJECTION}{state}"),
                shape: vec![teacher.hidden_size, config.hidden_size],
                values: values.map(|_| (scale * random.normal()) as f32).collect(),
                decays: true,
            }))
        };
        let states = if weights.hidden > 0.0 {
            0..config.num_hidden_layers + 1
        } else {
            0..0
        };
        let projections = states.map(&mut projection).collect();
        Ok(Self {
            network,
            kept: student.kept,
            projections,
        })
    }

    /// Runs the teacher on the student's batch.
    pub(super) fn forward(&mut self, pass: &StudentPass<'_>, retain: Retain) -> Result<()> {
        let mapped = self.kept.as_ref().map(|kept| {
            let mut batch = pass.batch.clone();
            batch.ids.iter_mut().for_each(|id| *id = kept[*id as usize]);
            batch
        });
        let batch = mapped.as_ref().unwrap_or(pass.batch);
        self.network.forward(pass.exec, batch, retain)
    }

    /// Returns the teacher's outputs for the batch, if they are needed in each step.
    pub(super) fn output(&self) -> Option<&[f32]> {
        self.network.tape().map(Tape::output)
    }

    /// Computes the loss of the student's hidden states, attention and relations, with its gradients.
    pub(super) fn loss(
        &self,
        weights: &Distillation,
        pass: &StudentPass<'_>,
        d_outputs: &mut OutputGradients,
        gradients: &mut Gradients,
    ) -> f64 {
        let mut value = 0.0;
        if weights.hidden > 0.0 {
            value += weights.hidden * self.hidden(pass, weights.hidden, d_outputs, gradients);
        }
        let layers = pass.network.config().num_hidden_layers;
        if weights.attention > 0.0 {
            let weight = weights.attention;
            let heads = pass.network.config().num_attention_heads;
            for layer in 0..layers {
                let relations = Relations {
                    layer,
                    projections: &[(0, 1)],
                    measure: Measure::Scores,
                    heads,
                };
                value += weight * self.relations(pass, relations, weight, d_outputs);
            }
        }
        if weights.relations > 0.0 && layers > 0 {
            let weight = weights.relations;
            let relations = Relations {
                layer: layers - 1,
                projections: &[(0, 0), (1, 1), (2, 2)],
                measure: Measure::Distributions,
                heads: weights.relation_heads,
            };
            value += weight * self.relations(pass, relations, weight, d_outputs);
        }
        value
    }

    /// Returns the teacher's layer for one of the student's, counted from 1; 0 are the embeddings of both.
    fn layer(&self, pass: &StudentPass<'_>, layer: usize) -> usize {
        layer * self.network.config().num_hidden_layers
            / pass.network.config().num_hidden_layers.max(1)
    }

    fn hidden(
        &self,
        pass: &StudentPass<'_>,
        weight: f64,
        d_outputs: &mut OutputGradients,
        gradients: &mut Gradients,
    ) -> f64 {
        let width = pass.network.config().hidden_size;
        d_outputs.hidden.resize(self.projections.len(), Vec::new());
        let (mut value, weight) = (0.0, pass.weight * weight);
        for (state, projection) in self.projections.iter().enumerate() {
            let student = pass.tape.hidden(state);
            let teacher = self.network.hidden(self.layer(pass, state));
            let (loss, gradient) = match projection {
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
            value += loss;
            d_outputs.hidden[state].resize(gradient.len(), 0.0);
            add(&mut d_outputs.hidden[state], &gradient, weight);
        }
        value
    }

    /// Computes the loss of relations.
    fn relations(
        &self,
        pass: &StudentPass<'_>,
        relations: Relations<'_>,
        weight: f64,
        d_outputs: &mut OutputGradients,
    ) -> f64 {
        let Relations {
            layer,
            projections,
            measure,
            heads,
        } = relations;
        let (student_config, other) = (pass.network.config(), self.network.config());
        let student = pass.tape.projections(layer);
        let Some(tape) = self.network.tape() else {
            return 0.0;
        };
        let teacher = tape.projections(self.layer(pass, layer + 1).max(1) - 1);
        d_outputs
            .projections
            .resize_with(student_config.num_hidden_layers, Default::default);
        let mut value = 0.0;
        for &(left, right) in projections {
            let loss = relation(
                pass.exec,
                measure,
                heads,
                ProjectionPair {
                    left: student[left],
                    right: student[right],
                    width: student_config.hidden_size,
                },
                ProjectionPair {
                    left: teacher[left],
                    right: teacher[right],
                    width: other.hidden_size,
                },
                &pass.batch.starts,
            );
            value += loss.value;
            for (kind, gradient) in [(left, &loss.first), (right, &loss.second)] {
                let sum = &mut d_outputs.projections[layer][kind];
                sum.resize(gradient.len(), 0.0);
                add(sum, gradient, pass.weight * weight);
            }
        }
        value
    }
}

/// Computes `sum += weight * x`.
pub(super) fn add(sum: &mut [f32], x: &[f32], weight: f64) {
    assert_eq!(sum.len(), x.len());
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum += weight as f32 * x;
    }
}
