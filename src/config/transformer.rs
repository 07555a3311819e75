//! sentence-transformers' settings of an encoder: how much of a text it reads, and in which case.

use super::Keys;
use crate::error::Result;
use crate::weights::{Files, join_within};

/// The names that the file has had, in the order in which sentence-transformers looks for it.
pub(crate) const READING_FILES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// What the file says of texts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// The most tokens of a text.
    pub(super) max_tokens: Option<usize>,
    /// Whether texts are lower-cased ahead of the tokenizer's own rules.
    pub(super) lower_case: bool,
}

impl Reading {
    /// Reads the first of the files in `folder` that says anything.
    ///
    /// # Errors
    /// `Json` for a file that is none, `Config` for a limit that is no number of tokens.
    pub(super) fn read(files: &Files, folder: &str) -> Result<Self> {
        for name in READING_FILES {
            let file = join_within(folder, name, name)?;
            let Some(bytes) = files.read(&file)? else {
                continue;
            };
            let keys = Keys::read(&file, &bytes)?;
            if keys.has("max_length") {
                // sentence-transformers does not open a model whose file has it.
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

/// The limit: an argument of each call of the tokenizer, else one of its opening, else the file's own key.
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
