//! Description of a tokenizer, which the readers build from a model's files.

use super::added::AddedToken;
use super::normalizer::Normalizer;
use super::quote::cut;
use super::template::Template;
use super::truncate::TruncationSide;
use super::vocab::Vocab;
use super::warning::TokenizerWarning;
use crate::error::{Error, Result};

/// Settings of a tokenizer.
#[derive(Debug, Clone)]
pub(super) struct TokenizerSpec {
    pub(super) vocab: Vocab,
    pub(super) unknown: u32,
    pub(super) max_characters: usize,
    pub(super) normalizer: Normalizer,
    pub(super) added: Vec<AddedToken>,
    pub(super) template: Template,
    pub(super) special_tokens: SpecialTokens,
    pub(super) max_length: Option<usize>,
    pub(super) truncation_side: TruncationSide,
    /// Special tokens that are added to every text.
    pub(super) ends: Vec<Named>,
    /// Mask token; `None` if it has no id.
    pub(super) mask: Option<Named>,
    /// File and key, or class, that make the tokenizer lower-case texts, for a warning; empty if nothing does.
    pub(super) lowered_by: String,
    /// Warnings about parts of tokenizer.json that are ignored.
    pub(super) ignored: Vec<TokenizerWarning>,
}

/// Strings of the special tokens that the crate looks up.
#[derive(Debug, Clone)]
pub(super) struct SpecialTokens {
    pub(super) pad: String,
    pub(super) mask: String,
}

/// A token with the file and the key that name it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) file: String,
    pub(super) key: String,
    pub(super) token: String,
    pub(super) id: u32,
}

impl Named {
    /// Refuses a token for which an embedding table of `rows` rows has no row.
    ///
    /// # Errors
    /// `TokenWithoutRow`.
    pub(super) fn check(&self, rows: usize) -> Result<()> {
        if (self.id as usize) < rows {
            Ok(())
        } else {
            Err(Error::TokenWithoutRow {
                file: self.file.clone(),
                key: self.key.clone(),
                token: cut(&self.token),
                id: self.id,
                rows,
            })
        }
    }
}
