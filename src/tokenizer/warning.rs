//! Warnings about a tokenizer's files that do not keep it from opening.

use std::fmt;

/// Something in a tokenizer's files that may make answers worse than the model's authors intended.
///
/// The files are read as transformers 5 reads them, so Python gives the same answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenizerWarning {
    /// Texts are lower-cased, and the vocabulary has tokens with capital letters, which are never found.
    CasedVocabulary {
        /// Number of tokens with capital letters, special tokens excluded.
        capitals: usize,
        /// Number of tokens in the vocabulary.
        tokens: usize,
        /// Cause of the lower-casing: a file and its key, or the tokenizer's class.
        cause: String,
    },
    /// A part of tokenizer.json is ignored, because the tokenizer's class has its own.
    ///
    /// Version 4 of transformers followed it, so the model may have been trained with it.
    Ignored {
        /// Key in tokenizer.json.
        part: &'static str,
        /// Value of the key.
        found: String,
        /// The tokenizer's class.
        class: String,
    },
    /// An added token does not get the id that its file gives it, so the model reads another row of its embedding table.
    ///
    /// Ids of added tokens are the vocabulary's, or new ones after it.
    OtherId {
        /// File, with the key if the file has others.
        file: String,
        /// First such token of the file; there may be more.
        token: String,
        /// Id of the token in the file.
        wanted: i64,
        /// Id that the token gets; `None` if it is not a token, because tokenizer.json has another one with its id.
        id: Option<u32>,
    },
}

impl fmt::Display for TokenizerWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CasedVocabulary {
                capitals,
                tokens,
                cause,
            } => write!(
                f,
                "{capitals} of {tokens} tokens have capital letters and are never found, since texts are lower-cased by {cause}"
            ),
            Self::OtherId {
                file,
                token,
                wanted,
                id: Some(id),
            } => write!(
                f,
                "{file}: {token:?} has id {id} and not {wanted}, as in transformers 5: new tokens are numbered after the vocabulary"
            ),
            Self::OtherId {
                file,
                token,
                wanted,
                id: None,
            } => write!(
                f,
                "{file}: {token:?} is not a token, since another one has its id {wanted}, as in transformers 5"
            ),
            Self::Ignored { part, found, class } => write!(
                f,
                "tokenizer.json: {part} ({found}) does not count, since {class} has its own; transformers 4 followed it, and \
                 \"tokenizer_class\": \"PreTrainedTokenizerFast\" in tokenizer_config.json would"
            ),
        }
    }
}
