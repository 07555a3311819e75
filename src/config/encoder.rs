//! Sizes and variants of the encoder, from config.json.

use super::{Family, Keys, activation};
use crate::error::{Error, Result};
use crate::kernels::Activation;

/// Upper bound for every width, and for the number of attention heads. The widest BERT in use has 4,096.
const MAX_WIDTH: usize = 1 << 16;
/// Upper bound for the rows of an embedding table. The largest vocabulary in use has half a million.
const MAX_ROWS: usize = 1 << 24;
/// Upper bound for the number of layers, and of feed-forward networks in one layer.
const MAX_LAYERS: usize = 1 << 10;

/// Sizes and variants of an encoder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EncoderConfig {
    pub(crate) family: Family,
    /// Rows of the word-embedding table.
    pub(crate) vocab_size: usize,
    /// Rows of the position-embedding table (`max_position_embeddings`).
    pub(crate) positions: usize,
    /// Rows of the token-type embedding table (`type_vocab_size`). 0 if the family has no token types.
    pub(crate) token_types: usize,
    /// Width of the embedding tables.
    pub(crate) embedding_size: usize,
    /// Width of the hidden states between layers.
    pub(crate) hidden_size: usize,
    /// Width inside the feed-forward network.
    pub(crate) intermediate_size: usize,
    /// Number of layers.
    pub(crate) num_hidden_layers: usize,
    /// Number of attention heads.
    pub(crate) num_attention_heads: usize,
    /// Activation function of the feed-forward network.
    pub(crate) hidden_act: Activation,
    /// Constant that layer normalisation adds to the variance (`layer_norm_eps`).
    pub(crate) eps: f32,
    /// Settings that only MobileBERT has. `None` for every other family.
    pub(crate) mobile: Option<MobileConfig>,
}

/// Settings that only MobileBERT has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MobileConfig {
    /// Width inside a layer, between its bottlenecks (`intra_bottleneck_size`). Equal to `hidden_size` without bottlenecks.
    pub(crate) true_hidden_size: usize,
    /// Whether layers have bottlenecks: projections to the inner width and back.
    pub(crate) use_bottleneck: bool,
    /// Whether attention values, too, are computed from the bottleneck's output instead of the layer's input.
    pub(crate) use_bottleneck_attention: bool,
    /// Whether queries and keys share a bottleneck of their own.
    pub(crate) key_query_shared_bottleneck: bool,
    /// Number of feed-forward networks in a layer (`num_feedforward_networks`).
    pub(crate) feed_forwards: usize,
    /// Whether normalisation is only a scale and a shift (`"no_norm"`), without mean and variance.
    pub(crate) no_norm: bool,
    /// Whether each word embedding is concatenated with those of its two neighbours.
    pub(crate) trigram_input: bool,
    /// Whether a sequence classifier has a dense pooler over the first token's hidden state.
    pub(crate) pooler: bool,
}

impl EncoderConfig {
    /// Reads and checks the encoder's settings.
    ///
    /// Sizes and the activation are required, and every config.json that transformers writes has them. With defaults, a
    /// misspelt key (the number of heads, the activation) could change answers silently. Keys that older versions of
    /// transformers did not write (`layer_norm_eps`, `type_vocab_size`) have the reference's defaults.
    pub(super) fn read(keys: &Keys) -> Result<Self> {
        let family = family(keys)?;
        refuse_decoders(keys)?;
        let names = match family {
            Family::DistilBert => SizeKeys::DISTILBERT,
            _ => SizeKeys::COMMON,
        };
        let width = 1..=MAX_WIDTH;
        let hidden = keys.required_size(names.hidden_size, width.clone())?;
        let embedding_size = match family {
            Family::Electra | Family::MobileBert => {
                keys.required_size(&["embedding_size"], width.clone())?
            }
            Family::Bert | Family::DistilBert | Family::MpNet => hidden,
        };
        let mobile = match family {
            Family::MobileBert => Some(MobileConfig::read(keys, hidden)?),
            _ => None,
        };
        let heads = keys.required_size(names.num_attention_heads, width.clone())?;
        let attention_width = mobile.as_ref().map_or(hidden, |m| m.true_hidden_size);
        if attention_width % heads != 0 {
            return Err(keys.wrong(
                names.num_attention_heads[0],
                format!("{heads} heads do not divide a width of {attention_width}"),
            ));
        }
        let act = keys.required_text(names.hidden_act)?;
        let eps = match family {
            Family::DistilBert => 1e-12,
            _ => keys.positive("layer_norm_eps", 1e-12)?,
        };
        let min_positions = match family {
            Family::MpNet => 3, // the first token has position 2
            _ => 1,
        };
        Ok(Self {
            family,
            vocab_size: keys.required_size(&["vocab_size"], 1..=MAX_ROWS)?,
            positions: keys
                .required_size(&["max_position_embeddings"], min_positions..=MAX_ROWS)?,
            token_types: match family {
                Family::DistilBert | Family::MpNet => 0,
                _ => keys.size(&["type_vocab_size"], 2, 1..=MAX_WIDTH)?,
            },
            embedding_size,
            hidden_size: hidden,
            intermediate_size: keys.required_size(names.intermediate_size, width)?,
            num_hidden_layers: keys.required_size(names.num_hidden_layers, 0..=MAX_LAYERS)?,
            num_attention_heads: heads,
            hidden_act: activation(act)?,
            eps,
            mobile,
        })
    }

    /// Returns the maximum number of tokens of a text, special tokens included, by the size of the position table.
    pub(crate) fn max_tokens(&self) -> usize {
        match self.family {
            // Rows 0 and 1 of MPNet's position table are never used.
            Family::MpNet => self.positions - 2,
            _ => self.positions,
        }
    }
}

impl MobileConfig {
    /// Reads and checks MobileBERT's own settings. `hidden` is the width between layers.
    fn read(keys: &Keys, hidden: usize) -> Result<Self> {
        let use_bottleneck = keys.flag("use_bottleneck", true)?;
        let intra = keys.size(&["intra_bottleneck_size"], 128, 1..=MAX_WIDTH)?;
        let use_bottleneck_attention = keys.flag("use_bottleneck_attention", false)?;
        let key_query_shared_bottleneck = keys.flag("key_query_shared_bottleneck", true)?;
        let narrow_queries = key_query_shared_bottleneck || use_bottleneck_attention;
        if use_bottleneck && !narrow_queries && intra != hidden {
            return Err(keys.wrong(
                "key_query_shared_bottleneck",
                format!("without it, rows of {hidden} meet queries of {intra}"),
            ));
        }
        let no_norm = match keys.required_text(&["normalization_type"])? {
            "no_norm" => true,
            "layer_norm" => false,
            other => {
                return Err(keys.wrong(
                    "normalization_type",
                    format!("{other:?} is neither \"no_norm\" nor \"layer_norm\""),
                ));
            }
        };
        Ok(Self {
            true_hidden_size: if use_bottleneck { intra } else { hidden },
            use_bottleneck,
            use_bottleneck_attention,
            key_query_shared_bottleneck,
            feed_forwards: keys.size(&["num_feedforward_networks"], 4, 1..=MAX_LAYERS)?,
            no_norm,
            trigram_input: keys.flag("trigram_input", true)?,
            pooler: keys.flag("classifier_activation", true)?,
        })
    }
}

/// Keys of the sizes that all families have. The first key that has a value counts.
struct SizeKeys {
    hidden_size: &'static [&'static str],
    intermediate_size: &'static [&'static str],
    num_hidden_layers: &'static [&'static str],
    num_attention_heads: &'static [&'static str],
    hidden_act: &'static [&'static str],
}

impl SizeKeys {
    const COMMON: Self = Self {
        hidden_size: &["hidden_size"],
        intermediate_size: &["intermediate_size"],
        num_hidden_layers: &["num_hidden_layers"],
        num_attention_heads: &["num_attention_heads"],
        hidden_act: &["hidden_act"],
    };
    /// DistilBERT's own keys, then the common ones where the reference reads both.
    const DISTILBERT: Self = Self {
        hidden_size: &["dim", "hidden_size"],
        intermediate_size: &["hidden_dim"],
        num_hidden_layers: &["n_layers", "num_hidden_layers"],
        num_attention_heads: &["n_heads", "num_attention_heads"],
        hidden_act: &["activation"],
    };
}

/// Returns the family that `model_type` names. If it is missing, the error suggests a value from `architectures`.
fn family(keys: &Keys) -> Result<Family> {
    let Some(found) = keys.text(&["model_type"])? else {
        let class = keys.architecture()?;
        let known = Family::ALL;
        let family = known
            .into_iter()
            .find(|family| class.starts_with(family.class()));
        let reason = match family {
            Some(family) => format!("is missing; for a {class} it is {:?}", family.name()),
            None => format!(
                "is missing: it names the family, one of {}",
                known.map(Family::name).join(", ")
            ),
        };
        return Err(keys.wrong("model_type", reason));
    };
    Family::ALL
        .into_iter()
        .find(|family| family.name() == found)
        .ok_or_else(|| Error::UnsupportedFamily {
            found: found.chars().take(200).collect(),
        })
}

/// Refuses decoders, cross-attention and relative position embeddings, which some checkpoints of these families have.
fn refuse_decoders(keys: &Keys) -> Result<()> {
    for flag in ["is_decoder", "add_cross_attention"] {
        if keys.flag(flag, false)? {
            return Err(keys.wrong(flag, "a decoder is not supported, only encoders are"));
        }
    }
    match keys.text(&["position_embedding_type"])? {
        None | Some("absolute") => Ok(()),
        Some(other) => Err(keys.wrong(
            "position_embedding_type",
            format!("{other:?} is not supported, only \"absolute\" is"),
        )),
    }
}
