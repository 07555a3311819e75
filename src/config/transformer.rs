//! Settings of the Transformer module of sentence-transformers: the maximum length of a text, and lower-casing.

use super::Keys;
use crate::error::Result;
use crate::weights::{ModelFiles, join_within};

/// Names that the file has had, in the order in which sentence-transformers looks for it.
pub(crate) const TRANSFORMER_FILES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Settings of the Transformer module.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TransformerConfig {
    /// Maximum number of tokens of a text, special tokens included. `None` if no file sets it.
    pub(super) max_tokens: Option<usize>,
    /// Whether texts are lower-cased before the tokenizer's own rules apply.
    pub(super) lower_case: bool,
}

impl TransformerConfig {
    /// Reads the first of the files in `folder` that has any key.
    ///
    /// # Errors
    /// `Json` for a file that is not a JSON object, `Config` for a limit that is not a number of tokens.
    pub(super) fn read(files: &ModelFiles, folder: &str) -> Result<Self> {
        for name in TRANSFORMER_FILES {
            let file = join_within(folder, name, name)?;
            let Some(bytes) = files.read(&file)? else {
                continue;
            };
            let keys = Keys::read(&file, &bytes)?;
            if keys.has("max_length") {
                // sentence-transformers refuses a model whose file has this key.
                return Err(keys.wrong("max_length", "is no key of this file: max_seq_length is"));
            }
            if keys.entries().next().is_some() {
                refuse_unsupported(&keys)?;
                return Ok(Self {
                    max_tokens: max_tokens(&keys)?,
                    lower_case: keys.flag("do_lower_case", false)?,
                });
            }
        }
        Ok(Self::default())
    }
}

/// Sections of the file that sentence-transformers passes to transformers as arguments, by the names that they have had.
const ARGUMENTS: [&str; 6] = [
    "model_args",
    "model_kwargs",
    "tokenizer_args",
    "processor_kwargs",
    "config_args",
    "config_kwargs",
];

/// Arguments that do not change an embedding: where files come from, how PyTorch runs the model, and the limit, which
/// [`max_tokens`] reads.
const IGNORED_ARGUMENTS: [&str; 27] = [
    "add_pooling_layer",
    "attn_implementation",
    "cache_dir",
    "clean_up_tokenization_spaces",
    "code_revision",
    "device_map",
    "dtype",
    "export",
    "file_name",
    "force_download",
    "local_files_only",
    "low_cpu_mem_usage",
    "model_max_length",
    "output_attentions",
    "output_hidden_states",
    "padding",
    "padding_side",
    "provider",
    "revision",
    "safe_serialization",
    "subfolder",
    "token",
    "torch_dtype",
    "trust_remote_code",
    "use_auth_token",
    "use_cache",
    "use_fast",
];

/// Refuses settings that sentence-transformers would follow and this crate does not: other arguments, and outputs other than
/// the last hidden state, or a cross-encoder's logits.
///
/// # Errors
/// `Config` with the path of the key.
fn refuse_unsupported(keys: &Keys) -> Result<()> {
    for section in ARGUMENTS {
        let Some(arguments) = keys.object(section)? else {
            continue;
        };
        let mut unsupported = arguments.entries().filter(|(name, value)| {
            !value.is_null() && !IGNORED_ARGUMENTS.contains(&name.as_str())
        });
        if let Some((name, _)) = unsupported.next() {
            return Err(keys.wrong(
                format!("{section}.{name}"),
                "is not followed: set it in config.json or tokenizer_config.json, and remove it here",
            ));
        }
    }
    let text = match keys.object("modality_config")? {
        Some(modalities) => modalities.object("text")?,
        None => None,
    };
    let output = text
        .as_ref()
        .and_then(|text| text.value("method_output_name"));
    // A cross-encoder's module is a classifier.
    let expected = match keys.text(&["transformer_task"])? {
        Some("sequence-classification") => "logits",
        _ => "last_hidden_state",
    };
    match output {
        Some(output) if output != expected => Err(keys.wrong(
            "modality_config.text.method_output_name",
            format!("{output} is not supported, only {expected}"),
        )),
        _ => Ok(()),
    }
}

/// Reads the maximum length: from the arguments of the tokenizer's calls, else from those of its constructor, else from
/// `max_seq_length`.
fn max_tokens(keys: &Keys) -> Result<Option<usize>> {
    let arguments: [(&[&str], &str); 4] = [
        (&["processing_kwargs", "common"], "max_length"),
        (&["processing_kwargs", "text"], "max_length"),
        (&["tokenizer_args"], "model_max_length"), // the name until version 5.3
        (&["processor_kwargs"], "model_max_length"),
    ];
    for (path, key) in arguments {
        let mut section = Some(keys.clone());
        for name in path {
            section = match section {
                Some(section) => section.object(name)?,
                None => None,
            };
        }
        let limit = section.map(|section| section.optional_size(&[key], 1..=usize::MAX));
        if let Some(limit) = limit.transpose()?.flatten() {
            return Ok(Some(limit));
        }
    }
    keys.optional_size(&["max_seq_length"], 1..=usize::MAX)
}
