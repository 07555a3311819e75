//! Token declarations in files: a string, or an object with flags.

use super::document::{Document, Json};
use crate::error::Result;
use crate::tokenizer::added::AddedToken;

/// A token as a file declares it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) content: String,
    pub(super) single_word: bool,
    pub(super) lstrip: bool,
    pub(super) rstrip: bool,
    /// Whether the token is matched in the normalised text; `None` means that it is, unless it is special.
    pub(super) normalized: Option<bool>,
    pub(super) special: bool,
    /// Whether the file declares the token as a string. transformers treats it as different from an object with the
    /// same content.
    pub(super) plain: bool,
}

impl Entry {
    /// Creates a special token from its content alone.
    pub(super) fn special(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: None,
            special: true,
            plain: true,
        }
    }

    /// Reads a string, which is a special token, or an object with `content` and flags; `None` for anything else.
    fn read(json: &Json) -> Option<Self> {
        let object = match json {
            Json::Text(content) => return Some(Self::special(content)),
            Json::Object(object) => object,
            _ => return None,
        };
        let flag = |key: &str| match object.get(key) {
            None | Some(Json::Null) => Some(None),
            Some(Json::Flag(flag)) => Some(Some(*flag)),
            Some(_) => None,
        };
        let Some(Json::Text(content)) = object.get("content") else {
            return None;
        };
        Some(Self {
            content: content.clone(),
            single_word: flag("single_word")?.unwrap_or(false),
            lstrip: flag("lstrip")?.unwrap_or(false),
            rstrip: flag("rstrip")?.unwrap_or(false),
            normalized: flag("normalized")?,
            special: flag("special")?.unwrap_or(false),
            plain: false,
        })
    }

    /// Returns the token with every flag set explicitly, the form in which transformers compares tokens.
    pub(super) fn resolved(&self) -> Self {
        Self {
            normalized: Some(self.normalized.unwrap_or(!self.special)),
            ..self.clone()
        }
    }

    /// Converts the declaration to an added token with this id.
    pub(super) fn with_id(self, id: u32) -> AddedToken {
        AddedToken {
            content: self.content,
            id,
            single_word: self.single_word,
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            normalized: self.normalized.unwrap_or(!self.special),
            special: self.special,
            split: false,
        }
    }
}

/// Reads the token under a key.
///
/// # Errors
/// `Config` for a value that is not a token.
pub(super) fn token(document: &Document, key: &str, json: &Json) -> Result<Entry> {
    let wrong = || document.wrong(key, format!("{json} is not a token"));
    Entry::read(json).ok_or_else(wrong)
}

/// Reads the list of tokens under a key; empty for `null`.
///
/// # Errors
/// `Config` for a value that is not a list of tokens.
pub(super) fn tokens(document: &Document, key: &str, json: &Json) -> Result<Vec<Entry>> {
    match json {
        Json::Null => Ok(Vec::new()),
        Json::List(list) => list.iter().map(|json| token(document, key, json)).collect(),
        other => Err(document.wrong(key, format!("{other} is not a list of tokens"))),
    }
}
