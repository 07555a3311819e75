//! Settings of the Transformer module of sentence-transformers: the maximum length of a text, and lower-casing.

use super::Keys;
use crate::error::Result;
use crate::weights::{Files, join_within};

/// Names that the file has had, in the order in which sentence-transformers looks for it.
pub(crate) const READING_FILES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// How the Transformer module reads texts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// Maximum number of tokens of a text, special tokens included. `None` if no file sets it.
    pub(super) max_tokens: Option<usize>,
    /// Whether texts are lower-cased before the tokenizer's own rules apply.
    pub(super) lower_case: bool,
}

impl Reading {
    /// Reads the first of the files in `folder` that has any key.
    ///
    /// # Errors
    /// `Json` for a file that is not a JSON object, `Config` for a limit that is not a number of tokens.
    pub(super) fn read(files: &Files, folder: &str) -> Result<Self> {
        for name in READING_FILES {
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
                return Ok(Self {
                    max_tokens: max_tokens(&keys)?,
                    lower_case: keys.flag("do_lower_case", false)?,
                });
            }
        }
        Ok(Self::default())
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
