//! The files that say how a tokenizer works, read as transformers 5.23 and `tokenizers` 0.23 read them.
//!
//! The tokenizer's class (`class`) decides what counts: tokenizer.json alone, or its vocabulary or vocab.txt with the keys
//! of tokenizer_config.json. Tokens beside the vocabulary come from all files (`declared`).

use super::added::AddedToken;
use super::class::{Class, Scheme};
use super::declared::Declared;
use super::document::{Document, TOKENIZER, cut};
use super::json::{Json, MAX_CHARACTERS, PREFIX};
use super::listed::{self, VOCAB};
use super::normalize::Normalizer;
use super::numbered::Numbered;
use super::template::Template;
use super::vocab::Vocab;
use super::warning::TokenizerWarning;
use crate::error::{Error, Result};
use crate::weights::{Files, inside};

const CONFIG: &str = "tokenizer_config.json";
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

/// The steps that a text takes, by tokenizer.json or by a class.
struct Pipeline {
    normalizer: Normalizer,
    lowered_by: String,
    template: Template,
    max_characters: usize,
    ignored: Vec<TokenizerWarning>,
}

impl Settings {
    /// Reads the files in `folder` of a model. `lower_first`: lower-case whatever the tokenizer itself does.
    pub(super) fn read(files: &Files, folder: &str, lower_first: bool) -> Result<Self> {
        let config = Document::read(files, folder, CONFIG)?.unwrap_or_default();
        let class = Class::of(files, folder, &config)?;
        let file = inside(folder, TOKENIZER, TOKENIZER)?;
        let mut json = match files.read(&file)? {
            Some(bytes) => Some(Json::read(&file, &bytes)?),
            None => None,
        };
        let listed = json.as_ref().map_or(&[][..], |json| &json.added);
        let declared = Declared::read(files, folder, &config, class.scheme, listed)?;
        let vocab = match &mut json {
            Some(json) => {
                let prefix = prefix(json, class.scheme).to_owned();
                json.vocab(files, &prefix)?
            }
            None => from_lines(files, folder)?,
        };

        let unknown = match (&json, class.scheme) {
            (Some(json), Scheme::File) => json.model.unknown.as_deref(),
            _ => declared.role("unk_token"),
        };
        let unknown = unknown.unwrap_or("[UNK]");
        let unknown_id = vocab.id(unknown).ok_or_else(|| missing(unknown))?;

        let numbered = number(&vocab, json.as_ref(), class.scheme, &declared);
        let pipeline = match (&json, class.scheme) {
            (Some(json), Scheme::File) => Pipeline::of_file(json)?,
            _ => {
                let cls = end("cls_token", &vocab, &declared, &numbered)?;
                let sep = end("sep_token", &vocab, &declared, &numbered)?;
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
        let limit = match config.number("model_max_length")? {
            None => config.number("max_len")?,
            limit => limit,
        };
        let name = |key: &str, bert: &str| declared.role(key).unwrap_or(bert).to_owned();
        Ok(Self {
            unknown: unknown_id,
            max_characters: pipeline.max_characters,
            normalizer,
            added,
            template: pipeline.template,
            names: Names {
                pad: name("pad_token", "[PAD]"),
                mask: name("mask_token", "[MASK]"),
            },
            max_length: limit
                .filter(|limit| (1.0..NO_LIMIT).contains(limit))
                .map(|limit| limit as usize),
            lowered_by,
            ignored: pipeline.ignored,
            vocab,
        })
    }
}

impl Pipeline {
    /// Follows tokenizer.json.
    ///
    /// # Errors
    /// `UnsupportedTokenizer` for steps that cannot be followed.
    fn of_file(json: &Json) -> Result<Self> {
        json.check_pre_tokenizer()?;
        let normalizer = json.normalizer()?;
        Ok(Self {
            normalizer,
            lowered_by: match normalizer.lowers() {
                true => "the normalizer of tokenizer.json".to_owned(),
                false => String::new(),
            },
            template: json.template()?,
            max_characters: json.model.max_characters.unwrap_or(MAX_CHARACTERS),
            ignored: Vec::new(),
        })
    }

    /// Builds a class's own pipeline by the keys of tokenizer_config.json.
    ///
    /// # Errors
    /// `Config` for values of another type.
    fn of_class(class: &Class, config: &Document, template: Template) -> Result<Self> {
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

    /// Notes which parts of tokenizer.json do not count beside the class's own pipeline.
    fn ignore(&mut self, json: &Json, class: &Class, unknown: &str, numbered: &Numbered<'_>) {
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

/// Gives all tokens beside the vocabulary their ids.
fn number<'a>(
    vocab: &'a Vocab,
    json: Option<&Json>,
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

/// The id of a token that stands at an end of each text: the vocabulary's, or a new one if a file names the token.
fn end(key: &str, vocab: &Vocab, declared: &Declared, numbered: &Numbered<'_>) -> Result<u32> {
    let content = declared.role(key).unwrap_or_default();
    let is_there = vocab.id(content).is_some() || declared.is_named(key);
    let id = numbered.id(content).filter(|_| is_there);
    id.ok_or_else(|| missing(content))
}

fn missing(token: &str) -> Error {
    Error::TokenNotInVocabulary {
        token: token.to_owned(),
    }
}

/// What tokens that continue a word start with.
fn prefix(json: &Json, scheme: Scheme) -> &str {
    match (scheme, &json.model.prefix) {
        (Scheme::File, Some(prefix)) => prefix,
        _ => PREFIX,
    }
}

/// The vocabulary of `vocab.txt`, or that of the packed file.
fn from_lines(files: &Files, folder: &str) -> Result<Vocab> {
    if let Some(vocab) = Vocab::stored(files, PREFIX) {
        return vocab;
    }
    let file = inside(folder, VOCAB, VOCAB)?;
    let bytes = files.require(&file, "tokenizer.json and no vocab.txt")?;
    let text = listed::text(bytes).map_err(|error| Error::Vocabulary {
        file: file.clone(),
        reason: format!("it is not UTF-8 at byte {}", error.valid_up_to()),
    })?;
    let spans = listed::lines(&text);
    Vocab::new(&file, PREFIX, text, spans)
}
