//! Construction of a network, from a checkpoint or with random weights.

use super::head::Head;
use super::layer::Layer;
use super::parts::{Dense, NormIds};
use super::{EMBEDDINGS, Network};
use crate::config::{Config, EncoderConfig, Family, Module, Pooling, Task};
use crate::error::{Error, Result};
use crate::kernels::gemm::Rounding;
use crate::kernels::{Activation, Threads};
use crate::train::model::ops::embeddings::EmbeddingTables;
use crate::train::model::ops::pooling::Pool;
use crate::train::model::parameters::{ParamId, Parameter, Parameters};
use crate::train::random::mix;
use crate::weights::{Access, ModelFiles, Store, Weights};

/// Standard deviation of newly initialized weights (Devlin et al. 2019).
const DEVIATION: f32 = 0.02;

/// Kind of head, by its output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HeadKind {
    /// Hidden states, without a head.
    None,
    /// `labels` logits for each text.
    Sequence { labels: usize },
    /// `labels` logits for each token.
    Tokens { labels: usize },
    /// Two logits for each token: start and end of an answer.
    Spans,
    /// One embedding for each text.
    Embedding { pool: Pool, normalize: bool },
}

impl HeadKind {
    /// Returns the head of a model with this configuration.
    ///
    /// # Errors
    /// `Option` for a head that cannot be trained.
    pub(crate) fn of(config: &Config) -> Result<Self> {
        let labels = config.head.labels.len();
        match config.head.task {
            Task::Classification => Ok(Self::Sequence { labels }),
            Task::TokenClassification => Ok(Self::Tokens { labels }),
            Task::QuestionAnswering => Ok(Self::Spans),
            Task::FillMask => Err(not_learned("a masked-language head")),
            Task::Embedding => {
                let sentence = &config.sentence;
                let pool = match sentence.pooling[..] {
                    [Pooling::Cls] => Pool::Cls,
                    [Pooling::Mean] => Pool::Mean,
                    _ => {
                        return Err(not_learned(
                            "a pooling other than of the first row or the mean",
                        ));
                    }
                };
                let normalize = match sentence.modules[..] {
                    [] => false,
                    [Module::Normalize] => true,
                    _ => return Err(not_learned("a dense layer after the pooling")),
                };
                Ok(Self::Embedding { pool, normalize })
            }
        }
    }

    /// Prefix of the encoder's parameter names; empty for a model without a head.
    fn prefix(self, family: Family) -> &'static str {
        match self {
            Self::None | Self::Embedding { .. } => "",
            _ => family.tensor_names().prefix,
        }
    }
}

fn not_learned(what: &str) -> Error {
    Error::Option {
        name: "model",
        reason: format!("{what} cannot be trained"),
    }
}

/// Source of a parameter's initial values.
#[derive(Clone, Debug)]
pub(crate) struct Init<'a> {
    /// Weights of the checkpoint, if there is one.
    weights: Option<Weights<'a>>,
    /// Whether a head that is missing in the checkpoint is newly initialized; otherwise it is an error.
    new_head: bool,
    /// Seed of newly initialized weights.
    seed: u64,
}

impl<'a> Init<'a> {
    /// Random initialization of all parameters.
    pub(crate) fn fresh(seed: u64) -> Self {
        Self {
            weights: None,
            new_head: true,
            seed,
        }
    }
}

impl Network {
    /// Builds the network of a model's folder. Without `head`, the network has the model's own head, which must be in the
    /// checkpoint. With one, head weights that the checkpoint lacks are newly initialized.
    ///
    /// # Errors
    /// Any error of reading the files; `WeightMissing` if the model's own head is not in the checkpoint; `Option` for a family
    /// or a head that cannot be trained.
    pub(crate) fn load(
        files: &ModelFiles,
        head: Option<HeadKind>,
        seed: u64,
        threads: &Threads,
    ) -> Result<(Self, Parameters)> {
        if files.packed().is_some() {
            return Err(not_learned("a packed file"));
        }
        let config = Config::read(files)?;
        let kind = head.map_or_else(|| HeadKind::of(&config), Ok)?;
        let names = config.encoder.family.tensor_names();
        let store = Store::open(files, &config.folder, names, Access::Read, threads)?;
        let init = Init {
            weights: Some(store.weights()),
            new_head: head.is_some(),
            seed,
        };
        Self::build(&config.encoder, kind, &init)
    }

    /// Reads a model's pooler if this kind of head does not use it. It is not trained, but programs that open the saved folder
    /// expect it there.
    ///
    /// # Errors
    /// Any error of reading the files.
    pub(crate) fn unused_pooler(
        files: &ModelFiles,
        kind: HeadKind,
        threads: &Threads,
    ) -> Result<Vec<Parameter>> {
        let config = Config::read(files)?;
        let (family, hidden) = (config.encoder.family, config.encoder.hidden_size);
        let names = family.tensor_names();
        let store = Store::open(files, &config.folder, names, Access::Read, threads)?;
        let weights = store.weights();
        let all = [
            ("pooler.dense.weight", vec![hidden, hidden]),
            ("pooler.dense.bias", vec![hidden]),
        ];
        let is_used = matches!(kind, HeadKind::Sequence { .. });
        let unused = all
            .into_iter()
            .filter(|(name, _)| !is_used && weights.has(name));
        unused
            .map(|(name, shape)| {
                Ok(Parameter {
                    name: format!("{}{name}", kind.prefix(family)),
                    values: weights.tensor(name, &shape)?,
                    shape,
                    decays: false,
                })
            })
            .collect()
    }

    /// Builds a network of these sizes with initial values from `init`.
    ///
    /// # Errors
    /// `Option` for a family that cannot be trained; those of reading weights.
    pub(crate) fn build(
        config: &EncoderConfig,
        kind: HeadKind,
        init: &Init<'_>,
    ) -> Result<(Self, Parameters)> {
        let family = config.family;
        if !matches!(family, Family::Bert | Family::DistilBert) {
            return Err(not_learned(&format!("a model of family {family}")));
        }
        let mut builder = NetworkBuilder {
            config,
            init,
            prefix: kind.prefix(family),
            parameters: Parameters::default(),
        };
        let hidden = config.hidden_size;
        let table = |name: &str| format!("embeddings.{name}_embeddings.weight");
        let tables = EmbeddingTables {
            words: builder.encoder(&table("word"), &[config.vocab_size, hidden])?,
            positions: builder.encoder(&table("position"), &[config.positions, hidden])?,
            types: match config.token_types {
                0 => None,
                types => Some(builder.encoder(&table("token_type"), &[types, hidden])?),
            },
        };
        let norm = builder.norm("embeddings.LayerNorm")?;
        let layers = (0..config.num_hidden_layers).map(|index| builder.layer(index));
        let layers = layers.collect::<Result<_>>()?;
        let head = builder.head(kind)?;
        let network = Self {
            config: config.clone(),
            tables,
            norm,
            layers,
            head,
            rounding: Rounding::None,
        };
        Ok((network, builder.parameters))
    }
}

/// Collects the parameters of a network, one after the other.
struct NetworkBuilder<'a> {
    config: &'a EncoderConfig,
    init: &'a Init<'a>,
    /// Prefix of the encoder's parameter names.
    prefix: &'static str,
    parameters: Parameters,
}

impl NetworkBuilder<'_> {
    /// Adds a parameter of the encoder, given by BERT's name. A checkpoint must have it.
    fn encoder(&mut self, name: &str, shape: &[usize]) -> Result<ParamId> {
        let full_name = self.config.family.tensor_names().checkpoint_name(name);
        self.take(name, format!("{}{full_name}", self.prefix), shape, true)
    }

    /// Adds a parameter. Unless it `must` be in the checkpoint, a missing one is newly initialized.
    fn take(
        &mut self,
        name: &str,
        full_name: String,
        shape: &[usize],
        must: bool,
    ) -> Result<ParamId> {
        let weights = self.init.weights.as_ref();
        let is_bias = name.ends_with(".bias");
        let is_norm = name.contains("LayerNorm");
        let must = must || !self.init.new_head;
        let stored = weights.filter(|weights| must || weights.has(name));
        let stored = match stored.map(|weights| weights.tensor(name, shape)) {
            // A head for other labels than the checkpoint's is newly initialized.
            Some(Err(Error::WeightShape { .. })) if !must => None,
            stored => stored.transpose()?,
        };
        let len = shape.iter().product();
        let values = stored.unwrap_or_else(|| match (is_bias, is_norm) {
            (true, _) => vec![0.0; len],
            (false, true) => vec![1.0; len],
            (false, false) => fresh(self.init.seed, &full_name, len),
        });
        Ok(self.parameters.add(Parameter {
            name: full_name,
            shape: shape.to_vec(),
            values,
            decays: !is_bias && !is_norm,
        }))
    }

    fn dense(&mut self, name: &str, outputs: usize, inputs: usize) -> Result<Dense> {
        Ok(Dense {
            weight: self.encoder(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: self.encoder(&format!("{name}.bias"), &[outputs])?,
            inputs,
            outputs,
        })
    }

    /// Adds a dense layer of the head; `prefix` is the prefix of its name in the checkpoint.
    fn head_dense(&mut self, prefix: &str, name: &str, outputs: usize) -> Result<Dense> {
        let inputs = self.config.hidden_size;
        let [weight, bias] = ["weight", "bias"].map(|kind| format!("{name}.{kind}"));
        Ok(Dense {
            weight: self.take(
                &weight,
                format!("{prefix}{weight}"),
                &[outputs, inputs],
                false,
            )?,
            bias: self.take(&bias, format!("{prefix}{bias}"), &[outputs], false)?,
            inputs,
            outputs,
        })
    }

    fn norm(&mut self, name: &str) -> Result<NormIds> {
        let width = self.config.hidden_size;
        Ok(NormIds {
            weight: self.encoder(&format!("{name}.weight"), &[width])?,
            bias: self.encoder(&format!("{name}.bias"), &[width])?,
            eps: self.config.eps,
        })
    }

    fn layer(&mut self, index: usize) -> Result<Layer> {
        let EncoderConfig {
            hidden_size: hidden,
            intermediate_size: intermediate,
            num_attention_heads: heads,
            hidden_act: activation,
            family,
            ..
        } = *self.config;
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let mut projection =
            |part: &str| self.dense(&name(&format!("attention.self.{part}")), hidden, hidden);
        Ok(Layer {
            projections: [
                projection("query")?,
                projection("key")?,
                projection("value")?,
            ],
            output: self.dense(&name("attention.output.dense"), hidden, hidden)?,
            attention_norm: self.norm(&name("attention.output.LayerNorm"))?,
            up: self.dense(&name("intermediate.dense"), intermediate, hidden)?,
            down: self.dense(&name("output.dense"), hidden, intermediate)?,
            output_norm: self.norm(&name("output.LayerNorm"))?,
            heads,
            activation,
            drops_attention_output: family == Family::Bert,
            site: EMBEDDINGS + 1 + 3 * index as u64,
        })
    }

    fn head(&mut self, kind: HeadKind) -> Result<Head> {
        let hidden = self.config.hidden_size;
        Ok(match kind {
            HeadKind::None => Head::None,
            HeadKind::Sequence { labels } => {
                let (prefix, name, activation) = match self.config.family {
                    Family::DistilBert => ("", "pre_classifier", Activation::Relu),
                    _ => (self.prefix, "pooler.dense", Activation::Tanh),
                };
                Head::Sequence {
                    inner: self.head_dense(prefix, name, hidden)?,
                    activation,
                    classifier: self.head_dense("", "classifier", labels)?,
                }
            }
            HeadKind::Tokens { labels } => Head::Tokens {
                classifier: self.head_dense("", "classifier", labels)?,
                has_dropout: true,
            },
            HeadKind::Spans => Head::Tokens {
                classifier: self.head_dense("", "qa_outputs", 2)?,
                // DistilBERT has dropout there, BERT has none.
                has_dropout: self.config.family == Family::DistilBert,
            },
            HeadKind::Embedding { pool, normalize } => Head::Embedding { pool, normalize },
        })
    }
}

/// Returns new weights: normal with deviation 0.02, truncated at twice that. They depend on seed and name alone, not on other
/// parameters.
fn fresh(seed: u64, name: &str, len: usize) -> Vec<f32> {
    let key = name
        .bytes()
        .fold(mix(seed), |key, byte| mix(key ^ u64::from(byte)));
    let uniform = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let number = |at: usize| {
        let mut state = mix(key ^ at as u64);
        loop {
            // Box and Muller 1958.
            let radius = (-2.0 * uniform(state).ln()).sqrt();
            state = mix(state);
            let normal = radius * (std::f64::consts::TAU * uniform(state)).cos();
            if normal.abs() <= 2.0 {
                return normal as f32 * DEVIATION;
            }
            state = mix(state);
        }
    };
    (0..len).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_weights_are_a_cut_normal_of_seed_and_name() {
        let values = fresh(1, "a", 20_000);
        let mean = values.iter().sum::<f32>() / 20_000.0;
        let variance = values.iter().map(|x| x * x).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 5e-4, "{mean}");
        // Cutting at two deviations leaves 0.88 of one.
        assert!(
            (variance.sqrt() / DEVIATION - 0.88).abs() < 0.01,
            "{variance}"
        );
        assert!(values.iter().all(|x| x.abs() <= 2.0 * DEVIATION));
        assert_eq!(values, fresh(1, "a", 20_000));
        assert_ne!(values, fresh(2, "a", 20_000));
        assert_ne!(values, fresh(1, "b", 20_000));
    }
}
