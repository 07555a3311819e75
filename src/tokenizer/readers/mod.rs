//! Readers of a tokenizer's files, which follow transformers 5.23 and `tokenizers` 0.23.
//!
//! The tokenizer's class (`class`) decides which files count: tokenizer.json alone, or its vocabulary or vocab.txt with
//! the keys of tokenizer_config.json. Tokens outside the vocabulary come from all files (`declared`).

mod class;
mod declared;
mod document;
mod entry;
mod numbered;
mod roles;
mod tokenizer_json;
pub(super) mod vocab_txt;

use super::model::wordpiece::{MAX_CHARACTERS, PREFIX};
use super::normalizer::Normalizer;
use super::quote::cut;
use super::spec::{Named, SpecialTokens, TokenizerSpec};
use super::template::Template;
use super::truncate::TruncationSide;
use super::vocab::Vocab;
use super::warning::TokenizerWarning;
use crate::error::{Error, Result};
use crate::weights::{ModelFiles, join_within};
use class::{Scheme, TokenizerClass};
use declared::Declared;
use document::Document;
use numbered::Numbered;
use tokenizer_json::{TOKENIZER, TokenizerJson};
use vocab_txt::VOCAB;

const CONFIG: &str = "tokenizer_config.json";
/// Values of `model_max_length` from this one on mean no limit.
const NO_LIMIT: f64 = 1e9;

/// Steps of tokenization, from tokenizer.json or from a class.
struct Pipeline {
    normalizer: Normalizer,
    lowered_by: String,
    template: Template,
    max_characters: usize,
    ignored: Vec<TokenizerWarning>,
}

impl TokenizerSpec {
    /// Reads the tokenizer's files in `folder` of a model. `lower_first` lower-cases texts whatever the tokenizer
    /// itself does.
    pub(super) fn read(files: &ModelFiles, folder: &str, lower_first: bool) -> Result<Self> {
        let config = Document::read(files, folder, CONFIG)?.unwrap_or_default();
        let class = TokenizerClass::of(files, folder, &config)?;
        let file = join_within(folder, TOKENIZER, TOKENIZER)?;
        let mut json = match files.read(&file)? {
            Some(bytes) => Some(TokenizerJson::read(&file, &bytes)?),
            None => None,
        };
        let listed = json.as_ref().map_or(&[][..], |json| &json.added);
        let declared = Declared::read(files, folder, &config, class.scheme, listed)?;
        let vocab = match &mut json {
            Some(json) => {
                let prefix = prefix(json, class.scheme).to_owned();
                json.vocab(files, &prefix)?
            }
            None => vocab_txt::read(files, folder)?,
        };

        let config_file = join_within(folder, CONFIG, CONFIG)?;
        let file_of = |key: &str| declared.file_of(key).unwrap_or(&config_file).to_owned();
        let (unknown, named_by) = match (&json, class.scheme) {
            (Some(json), Scheme::File) => (
                json.model.unknown.as_deref(),
                (file.clone(), "model.unk_token"),
            ),
            _ => (
                declared.role("unk_token"),
                (file_of("unk_token"), "unk_token"),
            ),
        };
        let unknown = unknown.unwrap_or("[UNK]");
        let unknown_id = vocab
            .id(unknown)
            .ok_or_else(|| missing(named_by, unknown))?;

        let numbered = number(&vocab, json.as_ref(), class.scheme, &declared);
        let mut ends = Vec::new();
        let pipeline = match (&json, class.scheme) {
            (Some(json), Scheme::File) => {
                let pipeline = Pipeline::of_file(json)?;
                ends.extend(pipeline.template.special_ids().map(|id| Named {
                    file: file.clone(),
                    key: "post_processor".to_owned(),
                    token: numbered.content(id).unwrap_or_default().to_owned(),
                    id,
                }));
                pipeline
            }
            _ => {
                let mut end = |key: &str| {
                    let token = declared.role(key).unwrap_or_default();
                    let is_there = vocab.id(token).is_some() || declared.is_named(key);
                    let id = numbered.id(token).filter(|_| is_there);
                    let id = id.ok_or_else(|| missing((file_of(key), key), token))?;
                    ends.push(Named {
                        file: file_of(key),
                        key: key.to_owned(),
                        token: token.to_owned(),
                        id,
                    });
                    Ok::<u32, Error>(id)
                };
                let cls = end("cls_token")?;
                let sep = end("sep_token")?;
                let template = match class.scheme {
                    Scheme::Mpnet => Template::roberta(cls, sep),
                    _ => Template::bert(cls, sep),
                };
                let mut pipeline = Pipeline::of_class(&class, &config, template)?;
                if let Some(json) = &json {
                    pipeline.ignore(json, &class, unknown, &numbered);
                }
                pipeline
            }
        };
        let mask = declared.role("mask_token").unwrap_or("[MASK]");
        let mask = numbered.id(mask).map(|id| Named {
            file: file_of("mask_token"),
            key: "mask_token".to_owned(),
            token: mask.to_owned(),
            id,
        });
        let mut ignored = pipeline.ignored;
        ignored.extend(declared.lost(&numbered));
        let mut added = numbered.finish();
        if config.flag("split_special_tokens")? == Some(true) {
            added
                .iter_mut()
                .for_each(|token| token.split = token.special);
        }

        let mut normalizer = pipeline.normalizer;
        let mut lowered_by = pipeline.lowered_by;
        if lower_first && !normalizer.lower {
            normalizer.lower_first = true;
            lowered_by = "do_lower_case of sentence_bert_config.json".to_owned();
        }
        let specials = pipeline.template.specials(false);
        let name = |key: &str, bert: &str| declared.role(key).unwrap_or(bert).to_owned();
        Ok(Self {
            unknown: unknown_id,
            max_characters: pipeline.max_characters,
            normalizer,
            added,
            template: pipeline.template,
            special_tokens: SpecialTokens {
                pad: name("pad_token", "[PAD]"),
                mask: name("mask_token", "[MASK]"),
            },
            max_length: limit(&config, specials)?,
            truncation_side: truncation_side(&config, json.as_ref())?,
            ends,
            mask,
            lowered_by,
            ignored,
            vocab,
        })
    }
}

impl Pipeline {
    /// Builds the steps that tokenizer.json defines.
    ///
    /// # Errors
    /// `UnsupportedTokenizer` for steps that cannot be followed.
    fn of_file(json: &TokenizerJson) -> Result<Self> {
        json.check_pre_tokenizer()?;
        let normalizer = json.normalizer()?;
        Ok(Self {
            normalizer,
            lowered_by: if normalizer.lowers() {
                "the normalizer of tokenizer.json".to_owned()
            } else {
                String::new()
            },
            template: json.template()?,
            max_characters: json.model.max_characters.unwrap_or(MAX_CHARACTERS),
            ignored: Vec::new(),
        })
    }

    /// Builds a class's own steps, with the settings of tokenizer_config.json.
    ///
    /// # Errors
    /// `Config` for values of another type.
    fn of_class(class: &TokenizerClass, config: &Document, template: Template) -> Result<Self> {
        let lower = config.flag("do_lower_case")?;
        let chinese = config.flag("tokenize_chinese_chars")?;
        Ok(Self {
            normalizer: Normalizer {
                lower_first: false,
                clean: true,
                chinese: chinese.unwrap_or(true),
                strip_accents: config.flag("strip_accents")?,
                lower: lower.unwrap_or(true),
            },
            lowered_by: match lower {
                Some(true) => "do_lower_case of tokenizer_config.json".to_owned(),
                Some(false) => String::new(),
                None => format!(
                    "{} (its default; \"do_lower_case\": false in tokenizer_config.json changes it)",
                    class.name
                ),
            },
            template,
            max_characters: MAX_CHARACTERS,
            ignored: Vec::new(),
        })
    }

    /// Records warnings about parts of tokenizer.json that the class's own pipeline replaces.
    fn ignore(
        &mut self,
        json: &TokenizerJson,
        class: &TokenizerClass,
        unknown: &str,
        numbered: &Numbered<'_>,
    ) {
        let mut parts = json.ignored(&self.template, unknown);
        let mut lost = json
            .added
            .iter()
            .filter(|(_, token)| !numbered.has(&token.content));
        if let Some((_, token)) = lost.next() {
            parts.push(("added_tokens", cut(&token.content)));
        }
        let warnings = parts
            .into_iter()
            .map(|(part, found)| TokenizerWarning::Ignored {
                part,
                found,
                class: class.name.clone(),
            });
        self.ignored.extend(warnings);
    }
}

/// Assigns ids to all tokens outside the vocabulary.
fn number<'a>(
    vocab: &'a Vocab,
    json: Option<&TokenizerJson>,
    scheme: Scheme,
    declared: &Declared,
) -> Numbered<'a> {
    let mut numbered = match json {
        Some(_) => Numbered::new(vocab, Vocab::count),
        None => Numbered::new(vocab, Vocab::count_lines),
    };
    if let (Some(json), Scheme::File) = (json, scheme) {
        numbered.add(json.added.iter().map(|(_, entry)| entry.clone()));
    }
    let tokens = declared.in_order(|content| numbered.has(content));
    numbered.add(tokens);
    numbered
}

/// Returns the maximum number of tokens in tokenizer_config.json (`model_max_length`), `specials` of which are special;
/// `None` for no limit, which 0 and very large values also mean.
///
/// # Errors
/// `Config` for a value that is not a number of tokens, or that leaves no room for a word. (transformers fails at the
/// first text that it has to truncate, or does not truncate it.)
fn limit(config: &Document, specials: usize) -> Result<Option<usize>> {
    let (key, limit) = match config.number("model_max_length")? {
        None => ("max_len", config.number("max_len")?),
        limit => ("model_max_length", limit),
    };
    let Some(limit) = limit.filter(|&limit| limit != 0.0 && limit < NO_LIMIT) else {
        return Ok(None);
    };
    if limit < 0.0 || limit.fract() != 0.0 {
        return Err(config.wrong(
            key,
            format!("{limit} is not a number of tokens: remove the key for no limit"),
        ));
    }
    let limit = limit as usize;
    if limit > specials {
        Ok(Some(limit))
    } else {
        Err(config.wrong(
            key,
            format!("{limit} leaves no room for a word beside {specials} special tokens"),
        ))
    }
}

/// Returns which end of a long text is cut off: what tokenizer_config.json says, else tokenizer.json, for every class.
///
/// # Errors
/// `Config` for any other value than `left` and `right`.
fn truncation_side(config: &Document, json: Option<&TokenizerJson>) -> Result<TruncationSide> {
    const KEY: &str = "truncation_side";
    match (config.get(KEY), config.text(KEY)) {
        (None, _) => Ok(json
            .and_then(|json| json.truncation_side)
            .unwrap_or_default()),
        (_, Ok(Some("right"))) => Ok(TruncationSide::Right),
        (_, Ok(Some("left"))) => Ok(TruncationSide::Left),
        _ => Err(config.wrong(KEY, "it must be \"left\" or \"right\"")),
    }
}

fn missing((file, key): (String, &str), token: &str) -> Error {
    Error::TokenNotInVocabulary {
        file,
        key: key.to_owned(),
        token: cut(token),
    }
}

/// Prefix of tokens that continue a word.
fn prefix(json: &TokenizerJson, scheme: Scheme) -> &str {
    match (scheme, &json.model.prefix) {
        (Scheme::File, Some(prefix)) => prefix,
        _ => PREFIX,
    }
}

/// Returns the part of a model's file that a packed file keeps: all of it, or all but the vocabulary; `None` for
/// nothing.
///
/// # Errors
/// `Json` for a tokenizer.json that cannot be parsed as a whole, although its known parts can.
pub(crate) fn without_vocabulary(name: &str, bytes: Vec<u8>) -> Result<Option<Vec<u8>>> {
    let json = |cause| Error::Json {
        file: name.to_owned(),
        cause,
    };
    match name.rsplit('/').next() {
        Some(VOCAB) => Ok(None),
        Some(TOKENIZER) => {
            let mut tokenizer: serde_json::Value = serde_json::from_slice(&bytes).map_err(json)?;
            if let Some(model) = tokenizer
                .get_mut("model")
                .and_then(|model| model.as_object_mut())
            {
                model.remove("vocab");
            }
            serde_json::to_vec(&tokenizer).map(Some).map_err(json)
        }
        _ => Ok(Some(bytes)),
    }
}
