//! What a user should know of a tokenizer that opened all the same.

use std::fmt;

/// Something in a tokenizer's files that may make answers worse than the model's makers meant.
///
/// The files are followed as transformers 5 follows them, so these are the answers that Python gives, too.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenizerWarning {
    /// Texts are lower-cased, and the vocabulary has tokens with capital letters, which are never found.
    CasedVocabulary {
        /// How many tokens have capital letters, special ones left out.
        capitals: usize,
        /// How many tokens the vocabulary has.
        tokens: usize,
        /// What lower-cases texts: a file and its key, or the tokenizer's class.
        cause: String,
    },
    /// A part of tokenizer.json does not count, because the tokenizer's class has its own.
    ///
    /// Version 4 of transformers followed it, so the model may have been trained with it.
    Ignored {
        /// The key in tokenizer.json.
        part: &'static str,
        /// What stands there.
        found: String,
        /// The tokenizer's class.
        class: String,
    },
    /// An added token does not get the id that its file gives it, so the model reads another row of its embedding table.
    ///
    /// Ids of added tokens are the vocabulary's, or new ones after it.
    OtherId {
        /// The file, with the key if the file has others.
        file: String,
        /// The token; others of the file may be concerned, too.
        token: String,
        /// Its id in the file.
        wanted: i64,
        /// Its id here; `None` if it is no token, because tokenizer.json has another one with its id.
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
