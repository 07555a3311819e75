//! Settings files of sentence-transformers: how hidden states become one embedding.

use std::collections::BTreeMap;

use super::transformer::TransformerConfig;
use super::{Keys, activation};
use crate::error::{Error, Result};
use crate::kernels::Activation;
use crate::names::named;
use crate::weights::{ModelFiles, join_within};

const MODULES: &str = "modules.json";
const SENTENCE_TRANSFORMERS: &str = "config_sentence_transformers.json";
/// Upper bound for the number of modules, and of poolings in one.
const MAX_MODULES: usize = 100;
/// Upper bound for the output width of a `Dense` module.
const MAX_WIDTH: usize = 1 << 20;

/// How the hidden states of a text's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Pooling {
    /// Hidden state of the first token.
    Cls,
    /// Mean over all tokens (Reimers and Gurevych 2019).
    Mean,
    /// Maximum over all tokens, for each dimension.
    Max,
    /// Sum over all tokens, divided by the square root of their number.
    MeanSqrtLen,
    /// Mean over all tokens, each weighted by its position. Positions are counted from one.
    WeightedMean,
    /// Hidden state of the last token.
    LastToken,
}

named!(
    Pooling,
    "pooling",
    Cls => "cls",
    Mean => "mean",
    Max => "max",
    MeanSqrtLen => "mean-sqrt-len",
    WeightedMean => "weighted-mean",
    LastToken => "last-token",
);

impl Pooling {
    /// Every pooling with its value of `pooling_mode` and with the older key that is a boolean of its own.
    const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Cls, "cls", "pooling_mode_cls_token"),
        (Self::Max, "max", "pooling_mode_max_tokens"),
        (Self::Mean, "mean", "pooling_mode_mean_tokens"),
        (
            Self::MeanSqrtLen,
            "mean_sqrt_len_tokens",
            "pooling_mode_mean_sqrt_len_tokens",
        ),
        (
            Self::WeightedMean,
            "weightedmean",
            "pooling_mode_weightedmean_tokens",
        ),
        (Self::LastToken, "lasttoken", "pooling_mode_lasttoken"),
    ];
}

/// Settings of an embedding: pooling, the modules after it, prompts and limits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SentenceConfig {
    /// Whether the model has the files of an embedder of sentence-transformers.
    pub(crate) is_declared: bool,
    /// Poolings, whose results are concatenated in this order.
    pub(crate) pooling: Vec<Pooling>,
    /// Whether the tokens of a prompt are pooled with those of the text.
    pub(crate) include_prompt: bool,
    /// Modules after the pooling, in order.
    pub(crate) modules: Vec<Module>,
    /// Number of leading dimensions that are kept after all modules (`truncate_dim`). `None` keeps all.
    pub(crate) truncate: Option<usize>,
    /// Maximum number of tokens of a text, special tokens included.
    pub(crate) max_tokens: Option<usize>,
    /// Whether texts are lower-cased before the tokenizer's own rules apply.
    pub(crate) lower_case: bool,
    /// Prompts by name: texts that are put in front of an input.
    pub(crate) prompts: BTreeMap<String, String>,
    /// Name of the prompt that is used unless the caller names another.
    pub(crate) default_prompt: Option<String>,
    /// Similarity function of two embeddings, by its name in sentence-transformers (`similarity_fn_name`).
    pub(crate) similarity: Option<String>,
}

/// Module after the pooling.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Module {
    Dense(DenseConfig),
    /// Division by the Euclidean norm.
    Normalize,
}

/// Settings of a `Dense` module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DenseConfig {
    /// Folder of the module's weights.
    pub(crate) folder: String,
    /// Width of the input.
    pub(crate) inputs: usize,
    /// Width of the output.
    pub(crate) outputs: usize,
    /// Whether the layer has a bias.
    pub(crate) bias: bool,
    /// Activation function after the layer.
    pub(crate) activation: Activation,
    /// Whether the input is added to the output, through a projection if the widths differ.
    pub(crate) residual: bool,
}

/// Modules that modules.json lists.
#[derive(Debug)]
pub(super) struct Modules {
    /// Folder of the encoder.
    pub(super) transformer: String,
    /// Class and folder of each module after the encoder.
    rest: Vec<(String, String)>,
}

/// Reads modules.json. `None` if the model has no such file.
pub(super) fn modules(files: &ModelFiles) -> Result<Option<Modules>> {
    #[derive(serde::Deserialize)]
    struct Entry {
        path: String,
        r#type: String,
    }
    let Some(bytes) = files.read(MODULES)? else {
        return Ok(None);
    };
    let entries: Vec<Entry> = serde_json::from_slice(&bytes).map_err(|cause| Error::Json {
        file: MODULES.to_owned(),
        cause,
    })?;
    let wrong = |reason: String| Error::Config {
        file: MODULES.to_owned(),
        key: "type".to_owned(),
        reason,
    };
    if entries.len() > MAX_MODULES {
        return Err(wrong(format!("{} modules", entries.len())));
    }
    let mut folders = Vec::with_capacity(entries.len());
    for entry in entries {
        let folder = join_within("", &entry.path, MODULES)?;
        let class = entry
            .r#type
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .to_owned();
        folders.push((class, folder));
    }
    if folders
        .first()
        .is_none_or(|(class, _)| class != "Transformer")
    {
        return Err(wrong("the first module is not a Transformer".to_owned()));
    }
    let (_, transformer) = folders.remove(0);
    Ok(Some(Modules {
        transformer,
        rest: folders,
    }))
}

/// Reads the settings of a cross-encoder, which recent versions of sentence-transformers save with a modules.json too. `None` if
/// the model is an embedder.
pub(super) fn cross_encoder(files: &ModelFiles, modules: &Modules) -> Result<Option<Keys>> {
    let Some(bytes) = files.read(SENTENCE_TRANSFORMERS)? else {
        return Ok(None);
    };
    let keys = Keys::read(SENTENCE_TRANSFORMERS, &bytes)?;
    if keys.text(&["model_type"])? != Some("CrossEncoder") {
        return Ok(None);
    }
    if let Some((class, _)) = modules.rest.first() {
        return Err(Error::UnsupportedArchitecture {
            found: format!("a cross-encoder with {class}"),
        });
    }
    if keys.text(&["default_prompt_name"])?.is_some() {
        return Err(keys.wrong(
            "default_prompt_name",
            "prompts of cross-encoders are not supported",
        ));
    }
    Ok(Some(keys))
}

impl SentenceConfig {
    /// Returns the settings of a model without modules.json, or of a cross-encoder: mean pooling and no further module.
    pub(super) fn plain(transformer: TransformerConfig) -> Self {
        Self {
            is_declared: false,
            pooling: vec![Pooling::Mean],
            include_prompt: true,
            modules: Vec::new(),
            truncate: None,
            max_tokens: transformer.max_tokens,
            lower_case: transformer.lower_case,
            prompts: BTreeMap::new(),
            default_prompt: None,
            similarity: None,
        }
    }

    /// Reads the settings of an embedder. `hidden` is the width of the encoder's hidden states.
    pub(super) fn read(
        files: &ModelFiles,
        transformer: TransformerConfig,
        modules: Modules,
        hidden: usize,
    ) -> Result<Self> {
        let mut config = Self {
            is_declared: true,
            ..Self::plain(transformer)
        };
        config.read_modules(files, modules, hidden)?;
        config.read_model(files)?;
        Ok(config)
    }

    /// Reads the settings of the pooling and of each module after it.
    fn read_modules(&mut self, files: &ModelFiles, modules: Modules, hidden: usize) -> Result<()> {
        let mut width = hidden;
        let mut pooled = false;
        for (class, folder) in modules.rest {
            match class.as_str() {
                "Pooling" if !pooled => {
                    self.read_pooling(files, &folder, hidden)?;
                    width = hidden * self.pooling.len();
                    pooled = true;
                }
                "Dense" if pooled => {
                    let dense = DenseConfig::read(files, folder, width)?;
                    width = dense.outputs;
                    self.modules.push(Module::Dense(dense));
                }
                "Normalize" if pooled => {
                    let file = join_within(&folder, "config.json", MODULES)?;
                    if let Some(bytes) = files.read(&file)? {
                        check_sentence_embedding(&Keys::read(&file, &bytes)?)?;
                    }
                    self.modules.push(Module::Normalize);
                }
                "Dropout" => {} // no effect outside training
                _ => {
                    let found = if !pooled {
                        format!("{class} ahead of Pooling")
                    } else if class == "Pooling" {
                        "a second Pooling".to_owned()
                    } else {
                        class
                    };
                    return Err(Error::UnsupportedArchitecture { found });
                }
            }
        }
        if pooled {
            Ok(())
        } else {
            Err(Error::UnsupportedArchitecture {
                found: "modules.json without Pooling".to_owned(),
            })
        }
    }

    /// Reads the settings of the Pooling module in `folder`.
    fn read_pooling(&mut self, files: &ModelFiles, folder: &str, hidden: usize) -> Result<()> {
        let file = join_within(folder, "config.json", MODULES)?;
        let keys = Keys::read(
            &file,
            &files.require(&file, "config.json, which a Pooling module needs")?,
        )?;
        let names = ["embedding_dimension", "word_embedding_dimension"];
        keys.size(&names, hidden, hidden..=hidden)?;
        self.include_prompt = keys.flag("include_prompt", true)?;
        self.pooling = match keys.value("pooling_mode") {
            Some(serde_json::Value::Array(list)) if !list.is_empty() => list
                .iter()
                .map(|mode| pooling(&keys, mode))
                .collect::<Result<_>>()?,
            Some(mode) => vec![pooling(&keys, mode)?],
            None => {
                let mut modes = Vec::new();
                for (mode, _, flag) in Pooling::ALL {
                    if keys.flag(flag, false)? {
                        modes.push(mode);
                    }
                }
                if modes.is_empty() {
                    modes.push(Pooling::Mean);
                }
                modes
            }
        };
        if self.pooling.len() > MAX_MODULES {
            return Err(keys.wrong("pooling_mode", format!("{} poolings", self.pooling.len())));
        }
        Ok(())
    }

    /// Reads prompts, similarity function and truncation from `config_sentence_transformers.json`.
    fn read_model(&mut self, files: &ModelFiles) -> Result<()> {
        let Some(bytes) = files.read(SENTENCE_TRANSFORMERS)? else {
            return Ok(());
        };
        let keys = Keys::read(SENTENCE_TRANSFORMERS, &bytes)?;
        if let Some(prompts) = keys.object("prompts")? {
            for (name, prompt) in prompts.entries() {
                match prompt {
                    serde_json::Value::Null => {}
                    serde_json::Value::String(prompt) => {
                        self.prompts.insert(name.clone(), prompt.clone());
                    }
                    other => {
                        return Err(keys.wrong(
                            format!("prompts.{name}"),
                            format!("{other} is not a string"),
                        ));
                    }
                }
            }
        }
        if let Some(name) = keys.text(&["default_prompt_name"])? {
            if !self.prompts.contains_key(name) {
                return Err(keys.wrong(
                    "default_prompt_name",
                    format!("there is no prompt named {name:?}"),
                ));
            }
            self.default_prompt = Some(name.to_owned());
        }
        if keys.text(&["model_type"])? == Some("SparseEncoder") {
            return Err(keys.wrong(
                "model_type",
                "SparseEncoder is not supported: its embeddings are not dense vectors",
            ));
        }
        self.similarity = keys.text(&["similarity_fn_name"])?.map(str::to_owned);
        self.truncate = keys.optional_size(&["truncate_dim"], 1..=usize::MAX)?;
        Ok(())
    }
}

/// Parses one value of `pooling_mode`.
fn pooling(keys: &Keys, mode: &serde_json::Value) -> Result<Pooling> {
    Pooling::ALL
        .into_iter()
        .find(|(_, name, _)| mode.as_str() == Some(name))
        .map(|(pooling, ..)| pooling)
        .ok_or_else(|| keys.wrong("pooling_mode", format!("{mode} is not known")))
}

impl DenseConfig {
    /// Reads the settings of the Dense module in `folder`. `width` is the width of its input.
    fn read(files: &ModelFiles, folder: String, width: usize) -> Result<Self> {
        let file = join_within(&folder, "config.json", MODULES)?;
        let keys = Keys::read(
            &file,
            &files.require(&file, "config.json, which a Dense module needs")?,
        )?;
        let dense = Self {
            folder,
            inputs: keys.size(&["in_features"], width, width..=width)?,
            outputs: keys.size(&["out_features"], width, 1..=MAX_WIDTH)?,
            bias: keys.flag("bias", true)?,
            activation: activation(keys.text(&["activation_function"])?.unwrap_or("Tanh"))?,
            residual: keys.flag("use_residual", false)?,
        };
        check_sentence_embedding(&keys)?;
        Ok(dense)
    }
}

/// Refuses a module whose input or output is not the embedding of a text.
fn check_sentence_embedding(keys: &Keys) -> Result<()> {
    let supported = "sentence_embedding";
    for name in ["module_input_name", "module_output_name"] {
        if let Some(other) = keys.text(&[name])?.filter(|&name| name != supported) {
            return Err(keys.wrong(
                name,
                format!("{other:?} is not supported, only {supported:?} is"),
            ));
        }
    }
    Ok(())
}
