//! The files that say how a tokenizer works.
//!
//! `tokenizer.json` is read as Hugging Face's `tokenizers` reads it; `vocab.txt` as transformers builds a tokenizer from
//! it and from `tokenizer_config.json`. Where both are there, `tokenizer.json` counts, but for what the config says
//! about lower-casing, accents and ideographs: that stands over it, as in transformers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::added::AddedToken;
use super::json;
use super::listed;
use super::normalize::Normalizer;
use super::template::Template;
use super::vocab::Vocab;
use crate::error::{Error, Result};
use crate::weights::{Files, inside};

pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const VOCAB: &str = "vocab.txt";
const CONFIG: &str = "tokenizer_config.json";
const SPECIALS: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";
/// From here on, a limit means that there is none.
const NO_LIMIT: f64 = 1e9;

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
}

/// What the special tokens are called.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) unknown: String,
    pub(super) cls: String,
    pub(super) sep: String,
    pub(super) pad: String,
    pub(super) mask: String,
}

/// `tokenizer_config.json`, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
struct Config {
    tokenizer_class: Option<String>,
    do_lower_case: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    strip_accents: Option<Option<bool>>,
    model_max_length: Option<f64>,
    /// The same by the name that it had before version 3 of transformers.
    max_len: Option<f64>,
    added_tokens_decoder: Option<BTreeMap<u32, TokenEntry>>,
    #[serde(flatten)]
    specials: Specials,
}

/// Tells a key that is `null` from one that is absent.
fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<bool>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// `special_tokens_map.json`, and the same keys elsewhere.
#[derive(Debug, Default, Deserialize)]
struct Specials {
    unk_token: Option<TokenEntry>,
    cls_token: Option<TokenEntry>,
    sep_token: Option<TokenEntry>,
    pad_token: Option<TokenEntry>,
    mask_token: Option<TokenEntry>,
}

/// A token by its content alone, or with how it is found.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum TokenEntry {
    Content(String),
    Token {
        content: String,
        #[serde(default)]
        single_word: bool,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        normalized: Option<bool>,
        #[serde(default)]
        special: bool,
    },
}

impl TokenEntry {
    fn content(&self) -> &str {
        match self {
            Self::Content(content) | Self::Token { content, .. } => content,
        }
    }

    /// The token with an id; special by its own word or because `special` says so.
    pub(super) fn with_id(self, id: u32, special: bool) -> AddedToken {
        match self {
            Self::Content(content) => AddedToken {
                content,
                id,
                single_word: false,
                lstrip: false,
                rstrip: false,
                normalized: !special,
                special,
            },
            Self::Token {
                content,
                single_word,
                lstrip,
                rstrip,
                normalized,
                special: own,
            } => AddedToken {
                content,
                id,
                single_word,
                lstrip,
                rstrip,
                normalized: normalized.unwrap_or(!(special || own)),
                special: special || own,
            },
        }
    }
}

impl Settings {
    /// Reads the files in `folder` of a model. `lower_first`: lower-case whatever the tokenizer itself does.
    pub(super) fn read(files: &Files, folder: &str, lower_first: bool) -> Result<Self> {
        let config: Config = read_json(files, folder, CONFIG)?.unwrap_or_default();
        let specials: Specials = read_json(files, folder, SPECIALS)?.unwrap_or_default();
        let mpnet = is_mpnet(files, folder, &config)?;
        let names = names(&config.specials, &specials, mpnet);
        let file = inside(folder, TOKENIZER, TOKENIZER)?;
        let mut settings = match files.read(&file)? {
            Some(bytes) => json::read(&file, &bytes, names, files)?,
            None => from_vocabulary(files, folder, names, &config, &specials, mpnet)?,
        };
        let normalizer = &mut settings.normalizer;
        if normalizer.clean {
            normalizer.lower = config.do_lower_case.unwrap_or(normalizer.lower);
            normalizer.chinese = config.tokenize_chinese_chars.unwrap_or(normalizer.chinese);
            normalizer.strip_accents = config.strip_accents.unwrap_or(normalizer.strip_accents);
        }
        normalizer.lower_first |= lower_first && !normalizer.lower;
        settings.max_length = config
            .model_max_length
            .or(config.max_len)
            .filter(|&length| (1.0..NO_LIMIT).contains(&length))
            .map(|length| length as usize);
        Ok(settings)
    }
}

/// Whether special tokens are MPNet's.
fn is_mpnet(files: &Files, folder: &str, config: &Config) -> Result<bool> {
    #[derive(Default, Deserialize)]
    struct Model {
        model_type: Option<String>,
    }
    if let Some(class) = &config.tokenizer_class {
        return Ok(class.starts_with("MPNet"));
    }
    let model: Model = read_json(files, folder, "config.json")?.unwrap_or_default();
    Ok(model.model_type.as_deref() == Some("mpnet"))
}

fn names(config: &Specials, map: &Specials, mpnet: bool) -> Names {
    let name = |own: &Option<TokenEntry>, other: &Option<TokenEntry>, bert: &str, mpnet_s: &str| {
        let default = if mpnet { mpnet_s } else { bert };
        own.as_ref()
            .or(other.as_ref())
            .map_or(default, TokenEntry::content)
            .to_owned()
    };
    Names {
        unknown: name(&config.unk_token, &map.unk_token, "[UNK]", "[UNK]"),
        cls: name(&config.cls_token, &map.cls_token, "[CLS]", "<s>"),
        sep: name(&config.sep_token, &map.sep_token, "[SEP]", "</s>"),
        pad: name(&config.pad_token, &map.pad_token, "[PAD]", "<pad>"),
        mask: name(&config.mask_token, &map.mask_token, "[MASK]", "<mask>"),
    }
}

fn from_vocabulary(
    files: &Files,
    folder: &str,
    names: Names,
    config: &Config,
    map: &Specials,
    mpnet: bool,
) -> Result<Settings> {
    let vocab = match Vocab::stored(files, "##") {
        Some(vocab) => vocab?,
        None => listed(files, folder)?,
    };
    let id = |token: &str| {
        vocab.id(token).ok_or_else(|| Error::TokenNotInVocabulary {
            token: token.to_owned(),
        })
    };
    let (unknown, cls, sep) = (id(&names.unknown)?, id(&names.cls)?, id(&names.sep)?);
    let template = match mpnet {
        true => Template::roberta(cls, sep),
        false => Template::bert(cls, sep),
    };
    let added = added_tokens(files, folder, &names, config, map, mpnet, &vocab)?;
    Ok(Settings {
        vocab,
        unknown,
        max_characters: 100,
        normalizer: Normalizer::UNCASED,
        added,
        template,
        names,
        max_length: None,
    })
}

/// The vocabulary of `vocab.txt`.
fn listed(files: &Files, folder: &str) -> Result<Vocab> {
    let file = inside(folder, VOCAB, VOCAB)?;
    let bytes = files.require(&file, "tokenizer.json and no vocab.txt")?;
    let text = listed::text(bytes).map_err(|error| Error::Vocabulary {
        file: file.clone(),
        reason: format!("it is not UTF-8 at byte {}", error.valid_up_to()),
    })?;
    let spans = listed::lines(&text);
    Vocab::new(&file, "##", text, spans)
}

/// The special tokens, and what the files add to them; each once.
fn added_tokens(
    files: &Files,
    folder: &str,
    names: &Names,
    config: &Config,
    map: &Specials,
    mpnet: bool,
    vocab: &Vocab,
) -> Result<Vec<AddedToken>> {
    let mut added: Vec<AddedToken> = Vec::new();
    let mut next = vocab.len() as u32;
    let mut add = |entry: TokenEntry, special: bool| {
        let content = entry.content();
        if content.is_empty() || added.iter().any(|token| token.content == content) {
            return;
        }
        let id = vocab.id(content).unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        added.push(entry.with_id(id, special));
    };
    match &config.added_tokens_decoder {
        Some(tokens) => tokens.values().for_each(|token| add(token.clone(), false)),
        None => {
            let older: BTreeMap<String, u32> = read_json(files, folder, ADDED)?.unwrap_or_default();
            let mut older: Vec<_> = older.into_iter().collect();
            older.sort_by_key(|&(_, id)| id);
            older
                .into_iter()
                .for_each(|(token, _)| add(TokenEntry::Content(token), false));
        }
    }
    for (name, own, other) in [
        (&names.unknown, &config.specials.unk_token, &map.unk_token),
        (&names.sep, &config.specials.sep_token, &map.sep_token),
        (&names.pad, &config.specials.pad_token, &map.pad_token),
        (&names.cls, &config.specials.cls_token, &map.cls_token),
        (&names.mask, &config.specials.mask_token, &map.mask_token),
    ] {
        let entry = own.clone().or_else(|| other.clone());
        let plain = match entry {
            Some(entry @ TokenEntry::Token { .. }) => {
                add(entry, true);
                continue;
            }
            _ => name.clone(),
        };
        // MPNet's mask behaves like a word: it takes in the space ahead of it.
        let lstrip = mpnet && std::ptr::eq(name, &names.mask);
        // A token that the vocabulary does not have is nothing to look for, unless the files ask for it.
        if vocab.id(&plain).is_some() {
            let entry = TokenEntry::Token {
                content: plain,
                single_word: false,
                lstrip,
                rstrip: false,
                normalized: None,
                special: true,
            };
            add(entry, true);
        }
    }
    Ok(added)
}

fn read_json<T: serde::de::DeserializeOwned>(
    files: &Files,
    folder: &str,
    name: &str,
) -> Result<Option<T>> {
    let file = inside(folder, name, name)?;
    let Some(bytes) = files.read(&file)? else {
        return Ok(None);
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|source| Error::Json {
        file: file.clone(),
        source,
    })?;
    match serde_json::from_value(value) {
        Ok(read) => Ok(Some(read)),
        Err(source) => Err(Error::Json { file, source }),
    }
}
