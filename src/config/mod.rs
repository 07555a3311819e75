//! Typed and checked settings, read from a model's JSON files. No other module reads the keys of those files.
//!
//! `config.json` describes the encoder ([`EncoderConfig`]) and its head ([`HeadConfig`]). The files of
//! sentence-transformers describe how hidden states become one embedding ([`SentenceConfig`]). Every size is checked against
//! an upper bound here, before anything is allocated from it.

mod encoder;
mod head;
mod keys;
mod labels;
mod sentence;
mod task;
mod transformer;

pub(crate) use encoder::{EncoderConfig, MobileConfig};
pub(crate) use head::HeadConfig;
pub use head::ScoreFunction;
pub use sentence::Pooling;
pub(crate) use sentence::{DenseConfig, Module, SentenceConfig};
pub use task::Task;
pub(crate) use transformer::TRANSFORMER_FILES;

use crate::error::{Error, Result};
use crate::kernels::Activation;
use crate::weights::{ModelFiles, TensorNames, join_within};
use head::Declared;
use keys::Keys;
use transformer::TransformerConfig;

const CONFIG: &str = "config.json";

/// Family of BERT encoders. Families differ in how embeddings and layers are wired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Family {
    /// BERT (Devlin et al. 2019) and models of the same architecture: TinyBERT, MiniLM, BGE, E5, GTE.
    Bert,
    /// DistilBERT (Sanh et al. 2019): no token types, no pooler.
    DistilBert,
    /// ELECTRA's discriminator or generator (Clark et al. 2020): embeddings narrower than the layers.
    Electra,
    /// MobileBERT (Sun et al. 2020): bottlenecks, stacked feed-forward networks, trigram embeddings.
    MobileBert,
    /// MPNet (Song et al. 2020): relative positions shared by all layers.
    MpNet,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 5] = [
        Self::Bert,
        Self::DistilBert,
        Self::Electra,
        Self::MobileBert,
        Self::MpNet,
    ];

    /// Name of the family: the value of `model_type` in config.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::DistilBert => "distilbert",
            Self::Electra => "electra",
            Self::MobileBert => "mobilebert",
            Self::MpNet => "mpnet",
        }
    }

    /// Prefix of the family's class names in `architectures`.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Bert => "Bert",
            Self::DistilBert => "DistilBert",
            Self::Electra => "Electra",
            Self::MobileBert => "MobileBert",
            Self::MpNet => "MPNet",
        }
    }

    /// Names of the tensors in the family's checkpoints.
    pub(crate) fn tensor_names(self) -> TensorNames {
        match self {
            Self::Bert => TensorNames::BERT,
            Self::DistilBert => TensorNames::DISTILBERT,
            Self::Electra => TensorNames::ELECTRA,
            Self::MobileBert => TensorNames::MOBILEBERT,
            Self::MpNet => TensorNames::MPNET,
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Settings of a model, from all its settings files.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Path of the folder with config.json, weights and tokenizer, relative to the model's folder. `""` is the model's folder.
    pub(crate) folder: String,
    pub(crate) encoder: EncoderConfig,
    pub(crate) head: HeadConfig,
    pub(crate) sentence: SentenceConfig,
}

impl Config {
    /// Reads and checks the settings of a model.
    pub(crate) fn read(files: &ModelFiles) -> Result<Self> {
        let modules = sentence::modules(files)?;
        let folder = modules
            .as_ref()
            .map_or_else(String::new, |modules| modules.transformer.clone());
        let file = join_within(&folder, CONFIG, CONFIG)?;
        let keys = Keys::read(&file, &files.require(&file, CONFIG)?)?;
        let encoder = EncoderConfig::read(&keys)?;
        // Without modules.json the other files of sentence-transformers are ignored, as in the reference.
        let transformer = match &modules {
            Some(_) => TransformerConfig::read(files, &folder)?,
            None => TransformerConfig::default(),
        };
        let cross = modules
            .as_ref()
            .map(|modules| sentence::cross_encoder(files, modules));
        let cross = cross.transpose()?.flatten();
        let sentence = match modules {
            // The modules of a cross-encoder are the classifier that config.json describes.
            Some(modules) if cross.is_none() => {
                SentenceConfig::read(files, transformer, modules, encoder.hidden_size)?
            }
            _ => SentenceConfig::plain(transformer),
        };
        let declared = Declared {
            embedder: sentence.is_declared,
            cross_encoder: cross.as_ref(),
        };
        let head = HeadConfig::read(&keys, files, &folder, &encoder, declared)?;
        Ok(Self {
            folder,
            encoder,
            head,
            sentence,
        })
    }
}

/// Parses the name of an activation function.
fn activation(name: &str) -> Result<Activation> {
    // transformers writes a short name, sentence-transformers the path of a torch class.
    match name.rsplit('.').next().unwrap_or(name) {
        "gelu" | "gelu_python" | "GELU" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" | "ReLU" => Ok(Activation::Relu),
        "tanh" | "Tanh" => Ok(Activation::Tanh),
        "linear" | "identity" | "Identity" => Ok(Activation::Identity),
        _ => Err(Error::UnsupportedActivation {
            found: name.to_owned(),
        }),
    }
}

#[cfg(test)]
mod head_tests;
#[cfg(test)]
mod tests;
