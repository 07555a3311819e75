//! Distillation of intermediate states: a teacher's hidden states, attention and relations.

use std::path::Path;

use crate::batch::{Batch, OutputRows};
use crate::config::{Config, EncoderConfig};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::kernels::gemm::Dtype;
use crate::kernels::{ExecContext, Threads};
use crate::layers::Scratch;
use crate::train::losses::{
    Heads, Measure, mean_squared_error, projected_mean_squared_error, relation,
};
use crate::train::model::network::{HeadKind, Network, OutputGradients, Tape, Wanted};
use crate::train::model::ops::dropout::Dropout;
use crate::train::model::parameters::{Gradients, Id, Parameter, Parameters};
use crate::train::random::Random;
use crate::train::recipe::Distillation;
use crate::weights::{Access, Files, Residency, Store};

/// Prefix of the projections' parameter names. Projections are trained with the student but are not part of it.
pub(crate) const PROJECTION: &str = "projection.";

/// A forward pass of the student.
pub(crate) struct Pass<'a> {
    pub(crate) exec: &'a ExecContext,
    pub(crate) batch: &'a Batch,
    /// Indices of the examples in the batch.
    pub(crate) examples: &'a [usize],
    pub(crate) network: &'a Network,
    pub(crate) parameters: &'a Parameters,
    pub(crate) tape: &'a Tape,
    /// Factor of all gradients.
    pub(crate) weight: f64,
}

/// A teacher network that runs in each step.
#[derive(Debug)]
pub(super) struct Inside {
    body: Body,
    /// Teacher's id of each of the student's tokens, if the student's vocabulary was pruned.
    kept: Option<Vec<u32>>,
    /// Projections of the student's hidden states to the teacher's width; `None` where both have the same width.
    projections: Vec<Option<Id>>,
}

/// The network of a teacher, which is not trained.
#[derive(Debug)]
enum Body {
    /// A network whose tape keeps all intermediate states, in f32.
    Network(Box<(Network, Parameters, Tape)>),
    /// An encoder that gives hidden states alone, in any compute type, of any family.
    Encoder(Box<States>),
}

/// An encoder and the hidden states of its last pass.
#[derive(Debug)]
struct States {
    encoder: Encoder,
    config: EncoderConfig,
    scratch: Scratch,
    /// Hidden states after the embeddings and after each layer, (rows, hidden).
    hidden: Vec<Vec<f32>>,
}

impl Body {
    /// Loads the network. `outputs` says whether the teacher's outputs are needed, too.
    fn load(
        weights: &Distillation,
        folder: &Path,
        outputs: bool,
        (threads, seed): (&Threads, u64),
    ) -> Result<Self> {
        let loaded = if outputs || weights.attention > 0.0 || weights.relations > 0.0 {
            // The head is the teacher's own, never a new one. Where its outputs are not needed in each step it has no head.
            let head = if outputs { None } else { Some(HeadKind::Rows) };
            let files = Files::folder(folder);
            Network::load(&files, head, seed, threads).map(|(network, parameters)| {
                Self::Network(Box::new((network, parameters, Tape::default())))
            })
        } else {
            States::load(folder, weights.dtype, threads)
                .map(|states| Self::Encoder(Box::new(states)))
        };
        loaded.map_err(|error| match error {
            Error::WeightMissing { name } => Error::Option {
                name: "teacher",
                reason: format!("its checkpoint has no {name}"),
            },
            error => error,
        })
    }

    fn config(&self) -> &EncoderConfig {
        match self {
            Self::Network(network) => network.0.config(),
            Self::Encoder(states) => &states.config,
        }
    }

    fn forward(&mut self, exec: &ExecContext, batch: &Batch, wanted: Wanted) -> Result<()> {
        match self {
            Self::Network(network) => {
                let (network, parameters, tape) = &mut **network;
                let settings = (&Dropout::NONE, wanted);
                network.forward(exec, parameters, batch, settings, tape)
            }
            Self::Encoder(states) => states.forward(exec, batch),
        }
    }

    /// Returns the hidden states after a layer, counted from 1; 0 are the embeddings.
    fn hidden(&self, layer: usize) -> &[f32] {
        match self {
            Self::Network(network) => network.2.hidden(layer),
            Self::Encoder(states) => &states.hidden[layer],
        }
    }

    /// Returns the tape with queries, keys, values and outputs, if there is one.
    fn tape(&self) -> Option<&Tape> {
        match self {
            Self::Network(network) => Some(&network.2),
            Self::Encoder(_) => None,
        }
    }
}

impl States {
    fn load(folder: &Path, dtype: Option<Dtype>, threads: &Threads) -> Result<Self> {
        let files = Files::open(folder, Access::Read)?;
        let config = Config::read(&files)?;
        let names = config.encoder.family.tensor_names();
        let store = Store::open(&files, &config.folder, names, Access::Read, threads)?;
        let store = match dtype {
            Some(dtype) => store.with_compute_dtype(dtype)?,
            None => store,
        };
        // Every row of the embedding table is read sooner or later.
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

impl Inside {
    /// Loads the teacher, which reads the student's tokens; `kept` maps the ids of a pruned vocabulary to the teacher's. Adds
    /// projections to the student's parameters. `outputs` says whether the teacher's outputs are learned in each step, too.
    ///
    /// # Errors
    /// Any error of reading the teacher's files; `Option` for a teacher that such a student cannot learn these states from.
    pub(super) fn new(
        weights: &Distillation,
        (folder, outputs): (&Path, bool),
        (kept, threads, seed): (Option<Vec<u32>>, &Threads, u64),
        student: (&Network, &mut Parameters),
    ) -> Result<Self> {
        let body = Body::load(weights, folder, outputs, (threads, seed))?;
        let (student_config, teacher) = (student.0.config(), body.config());
        let refuse = |reason: String| Error::Option {
            name: "teacher",
            reason,
        };
        if let (true, Body::Network(network)) = (outputs, &body)
            && student.0.outputs() != network.0.outputs()
        {
            let (student_width, teacher) = (student.0.outputs(), network.0.outputs());
            return Err(refuse(format!(
                "it puts out {teacher} numbers, and the student {student_width}"
            )));
        }
        if (kept.is_none() && student_config.vocab_size != teacher.vocab_size)
            || student_config.positions > teacher.positions
        {
            return Err(refuse(
                "it has another vocabulary than the student, or fewer positions".to_owned(),
            ));
        }
        let [own, theirs] = [student_config, teacher].map(|config| config.num_attention_heads);
        if weights.attention > 0.0 && own != theirs {
            return Err(refuse(format!(
                "it has {theirs} heads of attention, and the student {own}"
            )));
        }
        let heads = weights.relation_heads;
        if weights.relations > 0.0
            && (student_config.hidden_size % heads != 0 || teacher.hidden_size % heads != 0)
        {
            return Err(refuse(format!(
                "{heads} relation heads do not divide both widths"
            )));
        }
        let mut projections = Vec::new();
        if weights.hidden > 0.0 {
            for state in 0..=student_config.num_hidden_layers {
                projections.push(if student_config.hidden_size == teacher.hidden_size {
                    None
                } else {
                    let shape = vec![teacher.hidden_size, student_config.hidden_size];
                    let mut random = Random::new(seed, u64::MAX - state as u64);
                    let scale = 1.0 / (student_config.hidden_size as f64).sqrt();
                    let numbers = 0..teacher.hidden_size * student_config.hidden_size;
                    Some(student.1.add(Parameter {
                        name: format!("{PROJECTION}{state}"),
                        shape,
                        values: numbers.map(|_| (scale * random.normal()) as f32).collect(),
                        decays: true,
                    }))
                });
            }
        }
        Ok(Self {
            body,
            kept,
            projections,
        })
    }

    /// Runs the teacher on the student's batch.
    pub(super) fn forward(&mut self, pass: &Pass<'_>, wanted: Wanted) -> Result<()> {
        let mapped = self.kept.as_ref().map(|kept| {
            let mut batch = pass.batch.clone();
            batch.ids.iter_mut().for_each(|id| *id = kept[*id as usize]);
            batch
        });
        let batch = mapped.as_ref().unwrap_or(pass.batch);
        self.body.forward(pass.exec, batch, wanted)
    }

    /// Returns the teacher's outputs for the batch, if they are needed in each step.
    pub(super) fn output(&self) -> Option<&[f32]> {
        self.body.tape().map(Tape::output)
    }

    /// Computes the loss of the student's hidden states, attention and relations, with its gradients.
    pub(super) fn loss(
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
        let layers = pass.network.config().num_hidden_layers;
        if weights.attention > 0.0 {
            let weight = weights.attention;
            let heads = pass.network.config().num_attention_heads;
            let measure = (Measure::Scores, heads);
            for layer in 0..layers {
                value += weight * self.relations(pass, layer, &[(0, 1)], measure, weight, outputs);
            }
        }
        if weights.relations > 0.0 && layers > 0 {
            let weight = weights.relations;
            let kinds = [(0, 0), (1, 1), (2, 2)];
            let measure = (Measure::Distributions, weights.relation_heads);
            value += weight * self.relations(pass, layers - 1, &kinds, measure, weight, outputs);
        }
        value
    }

    /// Returns the teacher's layer for one of the student's, counted from 1; 0 are the embeddings of both.
    fn layer(&self, pass: &Pass<'_>, layer: usize) -> usize {
        let [own, theirs] = [pass.network.config(), self.body.config()];
        layer * theirs.num_hidden_layers / own.num_hidden_layers.max(1)
    }

    fn hidden(
        &self,
        pass: &Pass<'_>,
        weight: f64,
        outputs: &mut OutputGradients,
        gradients: &mut Gradients,
    ) -> f64 {
        let width = pass.network.config().hidden_size;
        outputs.hidden.resize(self.projections.len(), Vec::new());
        let (mut value, weight) = (0.0, pass.weight * weight);
        for (state, projection) in self.projections.iter().enumerate() {
            let student = pass.tape.hidden(state);
            let teacher = self.body.hidden(self.layer(pass, state));
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
            outputs.hidden[state].resize(gradient.len(), 0.0);
            add(&mut outputs.hidden[state], &gradient, weight);
        }
        value
    }

    /// Computes the loss of relations of projections (0 for queries, 1 for keys, 2 for values) in one of the student's layers.
    fn relations(
        &self,
        pass: &Pass<'_>,
        layer: usize,
        kinds: &[(usize, usize)],
        (measure, heads): (Measure, usize),
        weight: f64,
        outputs: &mut OutputGradients,
    ) -> f64 {
        let (student_config, other) = (pass.network.config(), self.body.config());
        let student = pass.tape.projections(layer);
        let Some(tape) = self.body.tape() else {
            return 0.0;
        };
        let teacher = tape.projections(self.layer(pass, layer + 1).max(1) - 1);
        outputs
            .projections
            .resize_with(student_config.num_hidden_layers, Default::default);
        let mut value = 0.0;
        for &(left, right) in kinds {
            let loss = relation(
                pass.exec,
                measure,
                heads,
                Heads {
                    left: student[left],
                    right: student[right],
                    width: student_config.hidden_size,
                },
                Heads {
                    left: teacher[left],
                    right: teacher[right],
                    width: other.hidden_size,
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

/// Computes `sum += weight * x`.
pub(super) fn add(sum: &mut [f32], x: &[f32], weight: f64) {
    assert_eq!(sum.len(), x.len());
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum += weight as f32 * x;
    }
}
