//! A model's settings files, typed and checked: the only reader of their keys.
//!
//! `config.json` says what the encoder is ([`EncoderConfig`]) and what stands on top of it ([`HeadConfig`]);
//! sentence-transformers' files say how rows become one embedding ([`SentenceConfig`]). Everything here is checked
//! before anything is allocated: after it, a size is a size that a machine can hold.

mod architecture;
mod encoder;
mod head;
mod keys;
mod labels;
mod sentence;
mod transformer;

pub(crate) use encoder::{EncoderConfig, MobileConfig};
pub(crate) use head::HeadConfig;
pub use head::{ScoreFunction, Task};
pub use sentence::Pooling;
pub(crate) use sentence::{DenseConfig, Module, SentenceConfig};
pub(crate) use transformer::READING_FILES;

use crate::error::{Error, Result};
use crate::kernels::Activation;
use crate::weights::{Files, join_within};
use head::Declared;
use keys::Keys;
use transformer::Reading;

const CONFIG: &str = "config.json";

/// Which kin of BERT an encoder is: what differs in its wiring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Family {
    /// BERT (Devlin et al. 2019), and what has its form: TinyBERT, MiniLM, BGE, E5, GTE.
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
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Bert,
        Self::DistilBert,
        Self::Electra,
        Self::MobileBert,
        Self::MpNet,
    ];

    /// `model_type` of config.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::DistilBert => "distilbert",
            Self::Electra => "electra",
            Self::MobileBert => "mobilebert",
            Self::MpNet => "mpnet",
        }
    }

    /// What the names of its classes start with.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Bert => "Bert",
            Self::DistilBert => "DistilBert",
            Self::Electra => "Electra",
            Self::MobileBert => "MobileBert",
            Self::MpNet => "MPNet",
        }
    }

    /// What the names of the encoder's weights start with in checkpoints that have a head.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Bert => "bert.",
            Self::DistilBert => "distilbert.",
            Self::Electra => "electra.",
            Self::MobileBert => "mobilebert.",
            Self::MpNet => "mpnet.",
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// All that a model's settings files say.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The folder of config.json, weights and tokenizer inside the model's folder; `""` is that folder itself.
    pub(crate) folder: String,
    pub(crate) encoder: EncoderConfig,
    pub(crate) head: HeadConfig,
    pub(crate) sentence: SentenceConfig,
}

impl Config {
    /// Reads and checks the settings of a model.
    pub(crate) fn read(files: &Files) -> Result<Self> {
        let modules = sentence::modules(files)?;
        let folder = modules
            .as_ref()
            .map_or_else(String::new, |modules| modules.transformer.clone());
        let file = join_within(&folder, CONFIG, CONFIG)?;
        let keys = Keys::read(&file, &files.require(&file, CONFIG)?)?;
        let encoder = EncoderConfig::read(&keys)?;
        // As in the reference, none of sentence-transformers' files counts unless modules.json is there.
        let reading = match &modules {
            Some(_) => Reading::read(files, &folder)?,
            None => Reading::default(),
        };
        let cross = modules
            .as_ref()
            .map(|modules| sentence::cross_encoder(files, modules));
        let cross = cross.transpose()?.flatten();
        let sentence = match modules {
            // A cross-encoder's modules are the classifier that config.json describes.
            Some(modules) if cross.is_none() => {
                SentenceConfig::read(files, reading, modules, encoder.hidden)?
            }
            _ => SentenceConfig::plain(reading),
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

/// The activation function that a configuration names.
fn activation(name: &str) -> Result<Activation> {
    // Sentence-transformers writes the path of a torch class, transformers a short name.
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
