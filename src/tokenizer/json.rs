//! `tokenizer.json`, the format of Hugging Face's `tokenizers`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::Error as _;

use super::added::AddedToken;
use super::listed::Listed;
use super::normalize::Normalizer;
use super::settings::{Names, Settings, TokenEntry};
use super::template::{Part, Template};
use super::vocab::Vocab;
use crate::error::{Error, Result};
use crate::weights::Files;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<NormalizerEntry>,
    pre_tokenizer: Option<Typed>,
    post_processor: Option<PostProcessor>,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    #[serde(flatten)]
    token: TokenEntry,
}

#[derive(Deserialize)]
struct Typed {
    r#type: String,
}

#[derive(Deserialize)]
struct Model {
    r#type: Option<String>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    max_input_chars_per_word: Option<usize>,
    vocab: Option<Listed>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum NormalizerEntry {
    BertNormalizer {
        #[serde(default = "yes")]
        clean_text: bool,
        #[serde(default = "yes")]
        handle_chinese_chars: bool,
        strip_accents: Option<bool>,
        #[serde(default = "yes")]
        lowercase: bool,
    },
    Lowercase,
    Sequence {
        normalizers: Vec<NormalizerEntry>,
    },
    #[serde(other)]
    Other,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum PostProcessor {
    TemplateProcessing {
        single: Vec<PartEntry>,
        pair: Vec<PartEntry>,
        #[serde(default)]
        special_tokens: BTreeMap<String, SpecialEntry>,
    },
    BertProcessing {
        sep: (String, u32),
        cls: (String, u32),
    },
    RobertaProcessing {
        sep: (String, u32),
        cls: (String, u32),
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
enum PartEntry {
    SpecialToken { id: String, type_id: u32 },
    Sequence { id: String, type_id: u32 },
}

#[derive(Deserialize)]
struct SpecialEntry {
    ids: Vec<u32>,
}

/// Reads the file's bytes. `names` are those of tokenizer_config.json; `files` may hold the vocabulary ready for use.
pub(super) fn read(file: &str, bytes: &[u8], mut names: Names, files: &Files) -> Result<Settings> {
    let unsupported = |reason: String| Error::UnsupportedTokenizer {
        file: file.to_owned(),
        reason,
    };
    // Of a text each string need not be checked for UTF-8 by itself.
    let json = match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(bytes),
    };
    let json: File = json.map_err(|source| Error::Json {
        file: file.to_owned(),
        source,
    })?;
    let model = json.model;
    match model.r#type.as_deref() {
        None | Some("WordPiece") => {}
        Some(other) => {
            return Err(unsupported(format!(
                "its model is {other}, only WordPiece is supported"
            )));
        }
    }
    match json
        .pre_tokenizer
        .as_ref()
        .map(|entry| entry.r#type.as_str())
    {
        Some("BertPreTokenizer") => {}
        other => {
            let other = other.unwrap_or("none");
            let reason =
                format!("its pre-tokenizer is {other}, only BertPreTokenizer is supported");
            return Err(unsupported(reason));
        }
    }
    let mut normalizer = Normalizer::NONE;
    if let Some(entry) = json.normalizer {
        add_step(&mut normalizer, entry).map_err(unsupported)?;
    }
    let prefix = model.continuing_subword_prefix.as_deref().unwrap_or("##");
    let vocab = match (Vocab::stored(files, prefix), model.vocab) {
        (Some(vocab), _) => vocab?,
        (None, Some(Listed::Map { text, spans, ids })) => {
            Vocab::of_map(file, prefix, text, spans, &ids)?
        }
        (None, _) => {
            return Err(Error::Json {
                file: file.to_owned(),
                source: serde_json::Error::custom("model.vocab is not a map of tokens and ids"),
            });
        }
    };
    if let Some(unknown) = model.unk_token {
        names.unknown = unknown;
    }
    let Some(unknown) = vocab.id(&names.unknown) else {
        return Err(Error::TokenNotInVocabulary {
            token: names.unknown,
        });
    };
    let template = match json.post_processor {
        None => Template::bare(),
        Some(processor) => template(processor).map_err(unsupported)?,
    };
    let added: Vec<AddedToken> = json
        .added_tokens
        .into_iter()
        .map(|added| added.token.with_id(added.id, false))
        .collect();
    Ok(Settings {
        vocab,
        unknown,
        max_characters: model.max_input_chars_per_word.unwrap_or(100),
        normalizer,
        added,
        template,
        names,
        max_length: None,
    })
}

/// Takes in one step of normalisation; the reason why not, if it cannot be followed exactly.
fn add_step(normalizer: &mut Normalizer, entry: NormalizerEntry) -> Result<(), String> {
    match entry {
        NormalizerEntry::BertNormalizer {
            clean_text,
            handle_chinese_chars,
            strip_accents,
            lowercase,
        } => {
            let lower_first = normalizer.lower_first;
            *normalizer = Normalizer {
                lower_first,
                clean: clean_text,
                chinese: handle_chinese_chars,
                strip_accents,
                lower: lowercase,
            };
        }
        NormalizerEntry::Lowercase if *normalizer == Normalizer::NONE => {
            normalizer.lower_first = true;
        }
        // A second time changes nothing but the final form of a dotted capital I, which is spelt out by then.
        NormalizerEntry::Lowercase => normalizer.lower = true,
        NormalizerEntry::Sequence { normalizers } => {
            for entry in normalizers {
                add_step(normalizer, entry)?;
            }
        }
        NormalizerEntry::Other => {
            return Err(
                "only the normalizers BertNormalizer and Lowercase are supported".to_owned(),
            );
        }
    }
    Ok(())
}

fn template(processor: PostProcessor) -> Result<Template, String> {
    let (single, pair, special_tokens) = match processor {
        PostProcessor::BertProcessing { sep, cls } => return Ok(Template::bert(cls.1, sep.1)),
        PostProcessor::RobertaProcessing { sep, cls } => {
            return Ok(Template::roberta(cls.1, sep.1));
        }
        PostProcessor::TemplateProcessing {
            single,
            pair,
            special_tokens,
        } => (single, pair, special_tokens),
        PostProcessor::Other => {
            return Err(
                "only the post-processors TemplateProcessing, BertProcessing and RobertaProcessing are supported"
                    .to_owned(),
            );
        }
    };
    let parts = |entries: Vec<PartEntry>| -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        for entry in entries {
            match entry {
                PartEntry::Sequence { id, type_id } => parts.push(Part::Text {
                    index: match id.as_str() {
                        "A" => 0,
                        "B" => 1,
                        other => return Err(format!("its template names a text {other:?}")),
                    },
                    type_id,
                }),
                PartEntry::SpecialToken { id, type_id } => {
                    let Some(special) = special_tokens.get(&id) else {
                        return Err(format!(
                            "its template names {id:?}, which it does not define"
                        ));
                    };
                    let ids = special.ids.iter();
                    parts.extend(ids.map(|&id| Part::Special { id, type_id }));
                }
            }
        }
        Ok(parts)
    };
    let template = Template {
        single: parts(single)?,
        pair: parts(pair)?,
    };
    let times = |parts: &[Part], wanted: u8| {
        let texts = parts.iter();
        texts
            .filter(|part| matches!(part, Part::Text { index, .. } if *index == wanted))
            .count()
    };
    let well = times(&template.single, 0) == 1
        && times(&template.single, 1) == 0
        && times(&template.pair, 0) == 1
        && times(&template.pair, 1) == 1;
    match well {
        true => Ok(template),
        false => Err("its template does not hold each text once".to_owned()),
    }
}
