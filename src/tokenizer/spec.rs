//! What a tokenizer is, as the readers make it of a model's files.

use super::added::AddedToken;
use super::normalizer::Normalizer;
use super::quote::cut;
use super::template::Template;
use super::truncate::TruncationSide;
use super::vocab::Vocab;
use super::warning::TokenizerWarning;
use crate::error::{Error, Result};

/// All that the files say.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) vocab: Vocab,
    pub(super) unknown: u32,
    pub(super) max_characters: usize,
    pub(super) normalizer: Normalizer,
    pub(super) added: Vec<AddedToken>,
    pub(super) template: Template,
    pub(super) names: Names,
    pub(super) max_length: Option<usize>,
    pub(super) truncation_side: TruncationSide,
    /// The tokens that stand in every text.
    pub(super) ends: Vec<Named>,
    /// The token that stands for a word to be guessed, if it has an id.
    pub(super) mask: Option<Named>,
    /// What lower-cases texts, for a warning; empty if nothing does.
    pub(super) lowered_by: String,
    /// Parts of tokenizer.json that do not count.
    pub(super) ignored: Vec<TokenizerWarning>,
}

/// The contents of the special tokens that the crate asks for.
#[derive(Debug, Clone)]
pub(super) struct Names {
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
    /// Refuses a token for which an embedding table of so many rows has none.
    ///
    /// # Errors
    /// `TokenWithoutRow`.
    pub(super) fn check(&self, rows: usize) -> Result<()> {
        match (self.id as usize) < rows {
            true => Ok(()),
            false => Err(Error::TokenWithoutRow {
                file: self.file.clone(),
                key: self.key.clone(),
                token: cut(&self.token),
                id: self.id,
                rows,
            }),
        }
    }
}
