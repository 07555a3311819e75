//! `tokenizer.json`, the format of Hugging Face's `tokenizers`.

mod post_processor;
mod step;
mod vocab;

use serde::Deserialize;
use serde::de::Error as _;

use super::entry::Entry;
use crate::error::{Error, Result};
use crate::tokenizer::model::wordpiece::{MAX_CHARACTERS, PREFIX};
use crate::tokenizer::normalizer::Normalizer;
use crate::tokenizer::quote::cut;
use crate::tokenizer::template::Template;
use crate::tokenizer::truncate::TruncationSide;
use crate::tokenizer::vocab::Vocab;
use crate::weights::ModelFiles;
use post_processor::PostProcessor;
use step::{BERT_NORMALIZER, BERT_PRE_TOKENIZER, PipelineStep};
use vocab::VocabJson;

/// Name of the file that may define a whole tokenizer.
pub(super) const TOKENIZER: &str = "tokenizer.json";

/// The content of a tokenizer.json whose model is WordPiece.
pub(super) struct TokenizerJson {
    /// Path of the file inside the model's folder, for errors.
    file: String,
    pub(super) model: Model,
    /// Added tokens, each with the id that the file gives it.
    pub(super) added: Vec<(i64, Entry)>,
    normalizer: Option<PipelineStep>,
    pre_tokenizer: Option<PipelineStep>,
    post_processor: Option<PostProcessor>,
    /// Which end of a long text its truncation cuts off, if it has one.
    pub(super) truncation_side: Option<TruncationSide>,
}

/// The WordPiece model of a tokenizer.json: its settings and its vocabulary.
pub(super) struct Model {
    pub(super) unknown: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) max_characters: Option<usize>,
    vocab: Option<VocabJson>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<PipelineStep>,
    pre_tokenizer: Option<PipelineStep>,
    post_processor: Option<PostProcessor>,
    truncation: Option<TruncationEntry>,
    model: ModelEntry,
}

#[derive(Deserialize)]
struct TruncationEntry {
    #[serde(default)]
    direction: TruncationSide,
}

#[derive(Deserialize)]
struct Added {
    id: i64,
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
}

#[derive(Deserialize)]
struct ModelEntry {
    r#type: Option<String>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    max_input_chars_per_word: Option<usize>,
    vocab: Option<VocabJson>,
}

impl TokenizerJson {
    /// Reads the file's bytes.
    ///
    /// # Errors
    /// `Json`, and `UnsupportedTokenizer` for a model that is not WordPiece.
    pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Self> {
        // `from_str` need not check each string for UTF-8: the whole file has been checked once.
        let json = match std::str::from_utf8(bytes) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(bytes),
        };
        let json: File = json.map_err(|cause| Error::Json {
            file: file.to_owned(),
            cause,
        })?;
        if let Some(other) = json.model.r#type.filter(|name| name != "WordPiece") {
            return Err(Error::UnsupportedTokenizer {
                file: file.to_owned(),
                reason: format!("its model is {}, only WordPiece is supported", cut(&other)),
            });
        }
        let entry = |added: Added| Entry {
            content: added.content,
            single_word: added.single_word,
            lstrip: added.lstrip,
            rstrip: added.rstrip,
            normalized: added.normalized,
            special: added.special,
            plain: false,
        };
        let added = json.added_tokens.into_iter();
        Ok(Self {
            file: file.to_owned(),
            model: Model {
                unknown: json.model.unk_token,
                prefix: json.model.continuing_subword_prefix,
                max_characters: json.model.max_input_chars_per_word,
                vocab: json.model.vocab,
            },
            added: added.map(|added| (added.id, entry(added))).collect(),
            normalizer: json.normalizer,
            pre_tokenizer: json.pre_tokenizer,
            post_processor: json.post_processor,
            truncation_side: json.truncation.map(|truncation| truncation.direction),
        })
    }

    /// Takes the vocabulary out of this file, or reads it from the packed model if `files` are one. Tokens that
    /// continue a word start with `prefix`.
    ///
    /// # Errors
    /// `Vocabulary` if it cannot be used, `Json` if there is none.
    pub(super) fn vocab(&mut self, files: &ModelFiles, prefix: &str) -> Result<Vocab> {
        match (Vocab::stored(files, prefix), self.model.vocab.take()) {
            (Some(vocab), _) => vocab,
            (None, Some(VocabJson::Map { text, spans, ids })) => {
                Vocab::of_map(&self.file, prefix, text, spans, &ids)
            }
            (None, _) => Err(Error::Json {
                file: self.file.clone(),
                cause: serde_json::Error::custom("model.vocab is not a map of tokens and ids"),
            }),
        }
    }

    /// Returns the normalizer.
    ///
    /// # Errors
    /// `UnsupportedTokenizer` for steps that cannot be followed exactly.
    pub(super) fn normalizer(&self) -> Result<Normalizer> {
        let mut normalizer = Normalizer::NONE;
        let Some(step) = &self.normalizer else {
            return Ok(normalizer);
        };
        match step.add_to(&mut normalizer) {
            Ok(()) => Ok(normalizer),
            Err(wrong) => Err(self.unsupported(format!("its normalizer is {step}: {wrong}"))),
        }
    }

    /// Checks that the pre-tokenizer cuts a text into words as BERT does.
    ///
    /// # Errors
    /// `UnsupportedTokenizer` for another pre-tokenizer.
    pub(super) fn check_pre_tokenizer(&self) -> Result<()> {
        let other = match &self.pre_tokenizer {
            Some(step) if step.r#type == BERT_PRE_TOKENIZER => return Ok(()),
            Some(step) => step.to_string(),
            None => "none".to_owned(),
        };
        Err(self.unsupported(format!(
            "its pre-tokenizer is {other}, only {BERT_PRE_TOKENIZER} is supported"
        )))
    }

    /// Returns the template of special tokens around and between texts.
    ///
    /// # Errors
    /// `UnsupportedTokenizer` for another post-processor, or a template that cannot be followed.
    pub(super) fn template(&self) -> Result<Template> {
        match &self.post_processor {
            None => Ok(Template::bare()),
            Some(processor) => processor
                .template()
                .map_err(|reason| self.unsupported(reason)),
        }
    }

    /// Lists the parts of this file that a tokenizer class replaces with its own, and that differ from the class's: the key
    /// and the value of each.
    ///
    /// `template` and `unknown` are the template and the unknown token of the class.
    pub(super) fn ignored(
        &self,
        template: &Template,
        unknown: &str,
    ) -> Vec<(&'static str, String)> {
        let mut parts = Vec::new();
        let shown = |step: &Option<PipelineStep>| {
            step.as_ref()
                .map_or("null".to_owned(), PipelineStep::to_string)
        };
        let is_own =
            |step: &PipelineStep| step.r#type == BERT_NORMALIZER && step.clean_text != Some(false);
        if !self.normalizer.as_ref().is_some_and(is_own) {
            parts.push(("normalizer", shown(&self.normalizer)));
        }
        if self.check_pre_tokenizer().is_err() {
            parts.push(("pre_tokenizer", shown(&self.pre_tokenizer)));
        }
        if self.template().is_ok_and(|own| own != *template) || self.template().is_err() {
            let processor = self.post_processor.as_ref();
            parts.push((
                "post_processor",
                processor.map_or("null".to_owned(), |p| cut(&p.r#type)),
            ));
        }
        let Model {
            unknown: own,
            prefix,
            max_characters,
            ..
        } = &self.model;
        if let Some(own) = own.as_ref().filter(|own| *own != unknown) {
            parts.push(("model.unk_token", cut(own)));
        }
        if let Some(prefix) = prefix.as_ref().filter(|prefix| *prefix != PREFIX) {
            parts.push(("model.continuing_subword_prefix", cut(prefix)));
        }
        if let Some(most) = max_characters.filter(|&most| most != MAX_CHARACTERS) {
            parts.push(("model.max_input_chars_per_word", most.to_string()));
        }
        parts
    }

    fn unsupported(&self, reason: String) -> Error {
        Error::UnsupportedTokenizer {
            file: self.file.clone(),
            reason,
        }
    }
}
