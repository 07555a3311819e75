//! Tokens with a role, such as `cls_token`, and further special tokens, as tokenizer_config.json and
//! special_tokens_map.json name them.

use super::class::Scheme;
use super::document::{Document, Json};
use super::entry::{Entry, token, tokens};
use crate::error::{Error, Result};

const EXTRA: &str = "extra_special_tokens";
/// Name of `extra_special_tokens` up to transformers 4.
const ADDITIONAL: &str = "additional_special_tokens";

/// Keys of the roles that every tokenizer has, in the order in which their tokens are added.
const ROLES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// Roles without which BERT's pipeline cannot work.
const NEEDED: [&str; 3] = ["unk_token", "sep_token", "cls_token"];

/// Tokens with a role, and special tokens without one.
#[derive(Debug, Clone, Default)]
pub(super) struct Roles {
    /// Tokens with a role, by the role's key, in the order in which they are added: roles of every tokenizer, then a
    /// model's own.
    pub(super) by_key: Vec<(String, Entry)>,
    /// Keys of those roles of every tokenizer whose token a file names, each with the file.
    pub(super) named: Vec<(&'static str, String)>,
    /// Special tokens without a role.
    pub(super) extra: Vec<Entry>,
}

/// Value of a key of [`ROLES`].
#[derive(Debug, Clone, Default)]
enum Field {
    /// The key is absent: the class's own token counts.
    #[default]
    Absent,
    /// The value is `null` in the file of this name: the tokenizer has no such token.
    Null(String),
    /// The value is a token, with the file that names it.
    Token(Entry, Spelling, String),
}

/// Form of a declared token, which decides whether transformers knows its content while it reads added_tokens.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Known,
    /// An object in tokenizer_config.json, whose content is not known yet.
    Object,
}

/// Tokens of the files read so far, by key; a later file overrides an earlier one.
#[derive(Debug, Default)]
pub(super) struct Fields {
    roles: [Field; ROLES.len()],
    /// Tokens with a role of the model's own; those in `explicit` are added after them and override them.
    own: Vec<(String, Option<Entry>)>,
    explicit: Vec<(String, Entry)>,
    extra: Option<Vec<Entry>>,
    /// Special tokens under the older key [`ADDITIONAL`], which count if `extra` is absent.
    additional: Option<Vec<Entry>>,
}

impl Fields {
    /// Adds the tokens of tokenizer_config.json.
    ///
    /// # Errors
    /// `Config` for a value that cannot be a token.
    pub(super) fn config(&mut self, config: &Document) -> Result<()> {
        for (role, key) in self.roles.iter_mut().zip(ROLES) {
            match config.get(key) {
                None => {}
                Some(Json::Null) => *role = Field::Null(config.file().to_owned()),
                Some(json) => {
                    let spelling = match json {
                        Json::Object(_) => Spelling::Object,
                        _ => Spelling::Known,
                    };
                    let file = config.file().to_owned();
                    *role = Field::Token(token(config, key, json)?, spelling, file);
                }
            }
        }
        for (key, json) in own_roles(config) {
            match json {
                Json::Text(content) => put(&mut self.explicit, key, Entry::special(content)),
                Json::Object(object) if object.get("__type").is_some() => {
                    put(&mut self.own, key, Some(token(config, key, json)?));
                }
                // Reserves the position, in case special_tokens_map.json has a token for this role.
                _ => put(&mut self.own, key, None),
            }
        }
        let is_empty = |json: &Json| match json {
            Json::Null => true,
            Json::List(list) => list.is_empty(),
            Json::Object(object) => object.entries().next().is_none(),
            _ => false,
        };
        let (extra, additional) = (config.get(EXTRA), config.get(ADDITIONAL));
        match (extra, additional) {
            (extra, Some(additional)) if extra.is_none_or(is_empty) => {
                self.extra(config, ADDITIONAL, additional)?;
            }
            (extra, additional) => {
                if let Some(extra) = extra {
                    self.extra(config, EXTRA, extra)?;
                }
                if let Some(additional) = additional {
                    self.additional = Some(tokens(config, ADDITIONAL, additional)?);
                }
            }
        }
        Ok(())
    }

    /// Adds the tokens of special_tokens_map.json, which override those read before.
    ///
    /// # Errors
    /// `Config` for a value that cannot be a token.
    pub(super) fn map(&mut self, map: &Document) -> Result<()> {
        let special = |key: &str, json: &Json| {
            token(map, key, json).map(|entry| Entry {
                special: true,
                ..entry
            })
        };
        for (role, key) in self.roles.iter_mut().zip(ROLES) {
            match map.get(key) {
                None => {}
                Some(Json::Null) => *role = Field::Null(map.file().to_owned()),
                Some(json) => {
                    let file = map.file().to_owned();
                    *role = Field::Token(special(key, json)?, Spelling::Known, file);
                }
            }
        }
        for (key, json) in own_roles(map) {
            if matches!(json, Json::Text(_) | Json::Object(_)) {
                put(&mut self.own, key, Some(special(key, json)?));
            }
        }
        if let Some(additional) = map.get(ADDITIONAL) {
            let tokens = tokens(map, ADDITIONAL, additional)?;
            let as_special = |entry| Entry {
                special: true,
                ..entry
            };
            self.additional = Some(tokens.into_iter().map(as_special).collect());
        }
        match map.get(EXTRA) {
            Some(list @ Json::List(_)) => {
                let extra = self.extra.get_or_insert_default();
                for entry in tokens(map, EXTRA, list)? {
                    let entry = Entry {
                        special: true,
                        ..entry
                    };
                    if !extra.contains(&entry) {
                        extra.push(entry);
                    }
                }
            }
            Some(other) => {
                self.extra = None;
                self.extra(map, EXTRA, other)?;
            }
            None => {}
        }
        Ok(())
    }

    /// Adds special tokens: a list, or an object that gives each one a role.
    fn extra(&mut self, document: &Document, key: &str, json: &Json) -> Result<()> {
        match json {
            Json::Object(object) => {
                for (role, json) in object.entries() {
                    let entry = token(document, &format!("{key}.{role}"), json)?;
                    put(&mut self.explicit, role, entry);
                }
            }
            json => self.extra = Some(tokens(document, key, json)?),
        }
        Ok(())
    }

    /// Whether a token of added_tokens.json is special because another key names it.
    ///
    /// transformers has not yet read objects in tokenizer_config.json as tokens at this point, so they do not count.
    pub(super) fn is_special(&self, content: &str) -> bool {
        let is_role = |role: &Field| matches!(role, Field::Token(entry, Spelling::Known, _) if entry.content == content);
        let is_it = |entry: &Entry| entry.plain && entry.content == content;
        self.roles.iter().any(is_role) || self.extra.iter().flatten().any(is_it)
    }

    /// Completes the tokens with those of the class for roles that the files do not name.
    ///
    /// # Errors
    /// `Config` for a `null` in place of a token that every text needs.
    pub(super) fn finish(self, scheme: Scheme) -> Result<Roles> {
        let mut roles: Vec<(String, Entry)> = Vec::new();
        let mut named = Vec::new();
        for (field, key) in self.roles.into_iter().zip(ROLES) {
            let mut entry = match (field, default(scheme, key)) {
                (Field::Token(entry, _, file), _) => {
                    named.push((key, file));
                    entry
                }
                (Field::Absent, Some(content)) => Entry::special(content),
                (Field::Absent, None) => continue,
                (Field::Null(file), Some(content)) if NEEDED.contains(&key) => {
                    return Err(Error::Config {
                        file,
                        key: key.to_owned(),
                        reason: format!(
                            "null cannot stand for this token: name it, such as {content:?}"
                        ),
                    });
                }
                (Field::Null(_), _) => continue,
            };
            if scheme == Scheme::Mpnet && std::mem::take(&mut entry.plain) {
                entry.special = false; // until it is added for its role
                // The mask token behaves like a word: it includes the space before it.
                entry.lstrip = key == "mask_token";
            }
            roles.push((key.to_owned(), entry));
        }
        let own = self.own.into_iter();
        let own = own.filter_map(|(key, entry)| Some((key, entry?)));
        for (key, entry) in own.chain(self.explicit) {
            put(&mut roles, &key, entry);
        }
        Ok(Roles {
            by_key: roles,
            named,
            extra: self.extra.or(self.additional).unwrap_or_default(),
        })
    }
}

/// Default token of a class for a role that no file names.
fn default(scheme: Scheme, key: &str) -> Option<&'static str> {
    match (scheme, key) {
        (Scheme::File, _) => None,
        (_, "unk_token") => Some("[UNK]"),
        (Scheme::Bert, "sep_token") => Some("[SEP]"),
        (Scheme::Bert, "pad_token") => Some("[PAD]"),
        (Scheme::Bert, "cls_token") => Some("[CLS]"),
        (Scheme::Bert, "mask_token") => Some("[MASK]"),
        (Scheme::Mpnet, "bos_token" | "cls_token") => Some("<s>"),
        (Scheme::Mpnet, "eos_token" | "sep_token") => Some("</s>"),
        (Scheme::Mpnet, "pad_token") => Some("<pad>"),
        (Scheme::Mpnet, "mask_token") => Some("<mask>"),
        _ => None,
    }
}

/// Keys of the roles that are a model's own, such as `image_token`, with their values.
fn own_roles(document: &Document) -> impl Iterator<Item = (&str, &Json)> {
    let entries = document.object().entries();
    entries.filter(|(key, _)| key.ends_with("_token") && !ROLES.contains(key))
}

/// Inserts a token under its key, or replaces the one there.
fn put<T>(roles: &mut Vec<(String, T)>, key: &str, entry: T) {
    match roles.iter_mut().find(|(name, _)| name == key) {
        Some((_, there)) => *there = entry,
        None => roles.push((key.to_owned(), entry)),
    }
}
