//! Tokens that a folder's files declare, special and others, in the order in which transformers 5.23 adds them.
//!
//! If tokenizer_config.json has `added_tokens_decoder`, only this file counts. Otherwise special_tokens_map.json
//! overrides it, and added_tokens.json and the `added_tokens` of tokenizer.json count as well.

use std::collections::{BTreeMap, HashSet};

use super::class::Scheme;
use super::document::{Document, Json, Object};
use super::entry::{Entry, token};
use super::numbered::Numbered;
use super::roles::{Fields, Roles};
use crate::error::{Error, Result};
use crate::tokenizer::quote::cut;
use crate::tokenizer::warning::TokenizerWarning;
use crate::weights::ModelFiles;

const MAP: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";
const DECODER: &str = "added_tokens_decoder";

/// Tokens that the files declare in addition to the vocabulary.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared {
    /// Tokens with an index, which only orders them: their ids are those of the vocabulary, or new ones.
    indexed: BTreeMap<i64, Entry>,
    roles: Roles,
    /// Tokens of added_tokens.json and of `added_tokens_decoder`: file, token, and its id in the file.
    listed: Vec<(String, String, i64)>,
}

impl Declared {
    /// Reads the tokens of all files; `listed` are those of tokenizer.json.
    ///
    /// # Errors
    /// `Config` for a value that cannot be a token, with its file and key; `Json` and `Io` for faults of the files.
    pub(super) fn read(
        files: &ModelFiles,
        folder: &str,
        config: &Document,
        scheme: Scheme,
        listed: &[(i64, Entry)],
    ) -> Result<Self> {
        let mut fields = Fields::default();
        fields.config(config)?;
        let mut indexed = BTreeMap::new();
        let mut named = Vec::new();
        if let Some(decoder) = config.get(DECODER).filter(|json| **json != Json::Null) {
            for (index, json) in object(config, DECODER, decoder)?.entries() {
                let key = || format!("{DECODER}.{index}");
                let number = index.parse::<i64>();
                let number = number.map_err(|_| config.wrong(key(), "its key is not a number"))?;
                let entry = token(config, &key(), json)?;
                let place = format!("{} ({DECODER})", config.file());
                named.push((place, entry.content.clone(), number));
                indexed.insert(number, entry);
            }
        } else {
            if let Some(map) = Document::read(files, folder, MAP)? {
                fields.map(&map)?;
            }
            if let Some(added) = Document::read(files, folder, ADDED)? {
                for (content, json) in added.object().entries() {
                    let index = match json {
                        Json::Number(index) if index.fract() == 0.0 => *index as i64,
                        other => return Err(added.wrong(content, format!("{other} is not an id"))),
                    };
                    let special = fields.is_special(content);
                    named.push((added.file().to_owned(), content.to_owned(), index));
                    let entry = Entry {
                        normalized: Some(!special),
                        special,
                        plain: false,
                        ..Entry::special(content)
                    };
                    indexed.insert(index, entry);
                }
            }
            indexed.extend(listed.iter().cloned());
        }
        let roles = fields.finish(scheme)?;
        Ok(Self {
            indexed,
            roles,
            listed: named,
        })
    }

    /// Returns the content of the token with a role.
    pub(super) fn role(&self, key: &str) -> Option<&str> {
        let mut roles = self.roles.by_key.iter();
        roles
            .find(|(name, _)| name == key)
            .map(|(_, entry)| entry.content.as_str())
    }

    /// Returns the file that names the token with a role; `None` for the class's own token.
    pub(super) fn file_of(&self, key: &str) -> Option<&str> {
        let mut named = self.roles.named.iter();
        named
            .find(|(name, _)| *name == key)
            .map(|(_, file)| file.as_str())
    }

    /// Whether a file names the token with a role, instead of the class.
    pub(super) fn is_named(&self, key: &str) -> bool {
        let content = self.role(key);
        let is_it = |entry: &Entry| Some(entry.content.as_str()) == content;
        self.file_of(key).is_some() || self.indexed.values().any(is_it)
    }

    /// Warns of the first token of each file that `numbered` lacks or has under another id than the file says.
    pub(super) fn lost(&self, numbered: &Numbered<'_>) -> Vec<TokenizerWarning> {
        let mut warnings: Vec<TokenizerWarning> = Vec::new();
        let mut seen = HashSet::new();
        for (file, token, wanted) in self.listed.iter().filter(|(_, token, _)| !token.is_empty()) {
            let id = numbered.id(token);
            if id.map(i64::from) == Some(*wanted) || !seen.insert(file) {
                continue;
            }
            warnings.push(TokenizerWarning::OtherId {
                file: file.clone(),
                token: cut(token),
                wanted: *wanted,
                id,
            });
        }
        warnings
    }

    /// Returns the tokens in the order in which they are added. `known` tells which tokens tokenizer.json has added
    /// already.
    pub(super) fn in_order(&self, known: impl Fn(&str) -> bool) -> Vec<Entry> {
        let roles = || self.roles.by_key.iter().map(|(_, entry)| entry);
        let with_role: HashSet<&str> = roles().map(|role| &*role.content).collect();
        let indexed: HashSet<&str> = self.indexed.values().map(|token| &*token.content).collect();
        let mut there = HashSet::new();
        let others = roles().chain(&self.roles.extra).filter(|entry| {
            let is_known = known(&entry.content) || indexed.contains(&*entry.content);
            !is_known && there.insert(entry.resolved())
        });
        let as_special = |entry: &Entry| Entry {
            special: entry.special || with_role.contains(&*entry.content),
            ..entry.clone()
        };
        let tokens = self.indexed.values().chain(others);
        tokens.map(as_special).collect()
    }
}

fn object<'a>(document: &Document, key: &str, json: &'a Json) -> Result<&'a Object, Error> {
    match json {
        Json::Object(object) => Ok(object),
        other => Err(document.wrong(key, format!("{other} is not an object"))),
    }
}
