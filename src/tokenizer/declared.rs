//! The tokens that a folder's files declare, special ones and others, in the order in which transformers 5.23 adds them.
//!
//! If tokenizer_config.json has `added_tokens_decoder`, it is the only file that counts beside the vocabulary. Else
//! special_tokens_map.json stands over it, and added_tokens.json and the `added_tokens` of tokenizer.json count, too.

use std::collections::{BTreeMap, HashSet};

use super::added::AddedToken;
use super::class::Scheme;
use super::document::{Document, Json, Object};
use crate::error::{Error, Result};
use crate::weights::Files;

const MAP: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";
const DECODER: &str = "added_tokens_decoder";
const EXTRA: &str = "extra_special_tokens";
/// What `extra_special_tokens` was called up to transformers 4.
const ADDITIONAL: &str = "additional_special_tokens";

/// The tokens that have a part of their own, in the order in which they are added.
const ROLES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// Those of them that BERT's pipeline cannot do without.
const NEEDED: [&str; 3] = ["unk_token", "sep_token", "cls_token"];

/// A token as a file declares it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) content: String,
    pub(super) single_word: bool,
    pub(super) lstrip: bool,
    pub(super) rstrip: bool,
    /// Whether it is looked for in the normalised text; if the file does not say so, a token is that is not special.
    pub(super) normalized: Option<bool>,
    pub(super) special: bool,
    /// Whether it is a string and no more: transformers takes it for another token than an object of the same content.
    pub(super) plain: bool,
}

impl Entry {
    fn special(content: impl Into<String>) -> Self {
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

    /// A string, which is a special token, or an object with `content` and flags.
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

    /// The token with every flag spelt out: equal ones are added once.
    fn resolved(&self) -> Self {
        Self {
            normalized: Some(self.normalized.unwrap_or(!self.special)),
            ..self.clone()
        }
    }

    /// The token with its id.
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

/// The tokens that the files declare beside the vocabulary.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared {
    /// Tokens with an index, which orders them: their ids are the vocabulary's, or new ones.
    indexed: BTreeMap<i64, Entry>,
    /// Tokens with a role, by its key: those of [`ROLES`], then a model's own.
    roles: Vec<(String, Entry)>,
    /// Keys of roles that a file names.
    named: Vec<&'static str>,
    /// Special tokens without a role.
    extra: Vec<Entry>,
}

impl Declared {
    /// Reads the tokens of all files; `listed` are those of tokenizer.json.
    ///
    /// # Errors
    /// `Config` for what cannot be a token, with its file and key; `Json`, `Io`.
    pub(super) fn read(
        files: &Files,
        folder: &str,
        config: &Document,
        scheme: Scheme,
        listed: &[(i64, Entry)],
    ) -> Result<Self> {
        let mut fields = Fields::default();
        fields.config(config)?;
        let mut indexed = BTreeMap::new();
        if let Some(decoder) = config.get(DECODER).filter(|json| **json != Json::Null) {
            for (index, json) in object(config, DECODER, decoder)?.entries() {
                let key = || format!("{DECODER}.{index}");
                let number = index.parse::<i64>();
                let number = number.map_err(|_| config.wrong(key(), "its key is not a number"))?;
                indexed.insert(number, token(config, &key(), json)?);
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
        let mut declared = fields.finish(scheme)?;
        declared.indexed = indexed;
        Ok(declared)
    }

    /// The content of the token with a role.
    pub(super) fn role(&self, key: &str) -> Option<&str> {
        let mut roles = self.roles.iter();
        roles
            .find(|(name, _)| name == key)
            .map(|(_, entry)| entry.content.as_str())
    }

    /// Whether a file names the token with a role: it is not the class's own.
    pub(super) fn is_named(&self, key: &str) -> bool {
        let content = self.role(key);
        let is_it = |entry: &Entry| Some(entry.content.as_str()) == content;
        self.named.contains(&key) || self.indexed.values().any(is_it)
    }

    /// The tokens in the order in which they are added. `known` says which are there already, from tokenizer.json.
    pub(super) fn in_order(&self, known: impl Fn(&str) -> bool) -> Vec<Entry> {
        let roles = || self.roles.iter().map(|(_, entry)| entry);
        let with_role: HashSet<&str> = roles().map(|role| &*role.content).collect();
        let indexed: HashSet<&str> = self.indexed.values().map(|token| &*token.content).collect();
        let mut there = HashSet::new();
        let others = roles().chain(&self.extra).filter(|entry| {
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

/// What stands under a key of [`ROLES`].
#[derive(Debug, Clone, Default)]
enum Field {
    /// Nothing: the class has its own.
    #[default]
    Absent,
    /// `null` in this file: there is no such token.
    Null(String),
    Token(Entry, Spelling),
}

/// Whether transformers knows a token's content while it reads added_tokens.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Known,
    /// An object in tokenizer_config.json.
    Object,
}

/// The keys of the files as they are taken in, one file after the other.
#[derive(Debug, Default)]
struct Fields {
    roles: [Field; ROLES.len()],
    /// Roles of a model's own, ahead of those in `explicit`.
    own: Vec<(String, Option<Entry>)>,
    explicit: Vec<(String, Entry)>,
    extra: Option<Vec<Entry>>,
    /// Counts if there is no `extra`.
    additional: Option<Vec<Entry>>,
}

impl Fields {
    /// Takes in tokenizer_config.json.
    fn config(&mut self, config: &Document) -> Result<()> {
        for (role, key) in self.roles.iter_mut().zip(ROLES) {
            match config.get(key) {
                None => {}
                Some(Json::Null) => *role = Field::Null(config.file().to_owned()),
                Some(json) => {
                    let spelling = match json {
                        Json::Object(_) => Spelling::Object,
                        _ => Spelling::Known,
                    };
                    *role = Field::Token(token(config, key, json)?, spelling);
                }
            }
        }
        for (key, json) in own_roles(config) {
            match json {
                Json::Text(content) => put(&mut self.explicit, key, Entry::special(content)),
                Json::Object(object) if object.get("__type").is_some() => {
                    put(&mut self.own, key, Some(token(config, key, json)?));
                }
                // Nothing, unless special_tokens_map.json has a token for this place.
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

    /// Takes in special_tokens_map.json, which stands over what was there.
    fn map(&mut self, map: &Document) -> Result<()> {
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
                Some(json) => *role = Field::Token(special(key, json)?, Spelling::Known),
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

    /// Takes in special tokens: a list, or an object that gives each a role.
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

    /// Whether a token of added_tokens.json is special: another file names it, by more than an object in
    /// tokenizer_config.json, which transformers does not look into at this point.
    fn is_special(&self, content: &str) -> bool {
        let is_role = |role: &Field| matches!(role, Field::Token(entry, Spelling::Known) if entry.content == content);
        let is_it = |entry: &Entry| entry.plain && entry.content == content;
        self.roles.iter().any(is_role) || self.extra.iter().flatten().any(is_it)
    }

    /// The tokens, with those of the class where the files name none.
    fn finish(self, scheme: Scheme) -> Result<Declared> {
        let mut roles: Vec<(String, Entry)> = Vec::new();
        let mut named = Vec::new();
        for (field, key) in self.roles.into_iter().zip(ROLES) {
            let mut entry = match (field, default(scheme, key)) {
                (Field::Token(entry, _), _) => {
                    named.push(key);
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
                // It behaves like a word: it takes in the space ahead of it.
                entry.lstrip = key == "mask_token";
            }
            roles.push((key.to_owned(), entry));
        }
        let own = self.own.into_iter();
        let own = own.filter_map(|(key, entry)| Some((key, entry?)));
        for (key, entry) in own.chain(self.explicit) {
            put(&mut roles, &key, entry);
        }
        Ok(Declared {
            indexed: BTreeMap::new(),
            roles,
            named,
            extra: self.extra.or(self.additional).unwrap_or_default(),
        })
    }
}

/// What a class calls its tokens where no file names them.
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

/// The keys of roles that are a model's own, such as `image_token`.
fn own_roles(document: &Document) -> impl Iterator<Item = (&str, &Json)> {
    let entries = document.object().entries();
    entries.filter(|(key, _)| key.ends_with("_token") && !ROLES.contains(key))
}

/// Puts a token in under its key, or in place of the one there.
fn put<T>(roles: &mut Vec<(String, T)>, key: &str, entry: T) {
    match roles.iter_mut().find(|(name, _)| name == key) {
        Some((_, there)) => *there = entry,
        None => roles.push((key.to_owned(), entry)),
    }
}

fn token(document: &Document, key: &str, json: &Json) -> Result<Entry> {
    let wrong = || document.wrong(key, format!("{json} is not a token"));
    Entry::read(json).ok_or_else(wrong)
}

fn tokens(document: &Document, key: &str, json: &Json) -> Result<Vec<Entry>> {
    match json {
        Json::Null => Ok(Vec::new()),
        Json::List(list) => list.iter().map(|json| token(document, key, json)).collect(),
        other => Err(document.wrong(key, format!("{other} is not a list of tokens"))),
    }
}

fn object<'a>(document: &Document, key: &str, json: &'a Json) -> Result<&'a Object, Error> {
    match json {
        Json::Object(object) => Ok(object),
        other => Err(document.wrong(key, format!("{other} is not an object"))),
    }
}
