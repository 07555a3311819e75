//! Tokenization: BERT's WordPiece, with exactly the ids of Hugging Face's `tokenizers` 0.23.
//!
//! A text passes through these modules from top to bottom; a module calls only those below it.
//!
//! ```text
//! added          finds added tokens, such as `[MASK]`, in the text as it is or as it is normalised
//! pre_tokenizer  cuts the rest into words: the fast path for ASCII and for characters whose form is cached
//! model          makes tokens of words, with the ids of the vocabulary
//! normalizer     lower-cases, strips accents; keeps each character's place in the text
//! vocab          tokens and ids, both ways; how they lie in a packed file
//! template       puts special tokens around and between texts
//! truncate       says how many tokens of each text stay, and cuts windows
//! ```
//!
//! `spec` describes a tokenizer. `readers` build that description from a model's files: `class` decides what the files
//! mean, `tokenizer_json` and `vocab_txt` read them, `declared`, `roles`, `entry` and `numbered` give added tokens
//! their ids. All of these use `swar` (eight bytes at a time) and `unicode` with its `tables`.

mod added;
mod model;
mod normalizer;
mod pre_tokenizer;
mod quote;
mod readers;
mod spec;
mod swar;
mod tables;
mod template;
mod truncate;
mod unicode;
mod vocab;
mod warning;

use std::collections::BTreeMap;
use std::path::Path;

pub(crate) use readers::without_vocabulary;
pub use truncate::{Truncation, TruncationStrategy};
pub use warning::TokenizerWarning;

use crate::batch::{AsInput, Encoding, Input};
use crate::error::{Error, Result};
use crate::weights::{Access, ModelFiles, TensorEntry};
use added::{AddedToken, AddedTokens};
use model::Token;
use model::wordpiece::WordPiece;
use normalizer::char_cache::CharCache;
use normalizer::{NormalizedChar, normalize};
use pre_tokenizer::bert::scan;
use spec::TokenizerSpec;
use truncate::windows;

/// A WordPiece tokenizer.
///
/// ```
/// # fn main() -> bertless::Result<()> {
/// let vocabulary = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n##s\n!\n";
/// let files = bertless::ModelFiles::new().with("vocab.txt", vocabulary);
/// let tokenizer = bertless::Tokenizer::from_files(files)?;
///
/// let encoding = tokenizer.encode("Hello, worlds!", None)?;
/// assert_eq!(encoding.ids, [2, 5, 1, 6, 7, 8, 3]);
/// assert_eq!(encoding.offsets[4], (12, 13)); // "s"
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Tokenizer {
    spec: TokenizerSpec,
    /// Normalizer with a cache of the characters it has seen.
    characters: CharCache,
    /// Added tokens that are matched in the original text.
    raw: AddedTokens,
    /// Added tokens that are matched in the normalised text.
    normalized: AddedTokens,
    /// Added tokens that are not in the vocabulary, by id.
    out_of_vocab: BTreeMap<u32, String>,
}

impl Tokenizer {
    /// Reads the tokenizer of a model's folder, which need not hold weights, or of a packed file.
    ///
    /// As in transformers 5, `tokenizer_class` in `tokenizer_config.json` or `config.json` decides how the files are
    /// read: either `tokenizer.json` defines everything, or `tokenizer.json` or `vocab.txt` supplies the vocabulary of
    /// a class that has its own pipeline.
    ///
    /// # Errors
    /// `UnsupportedTokenizer` for a class or a pipeline that is not BERT's; `Io`, `FileMissing`, `Json`, `Config`,
    /// `Vocabulary` and `TokenNotInVocabulary` for faults of the files; those of opening a packed file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_files(ModelFiles::open(path.as_ref(), Access::Read)?)
    }

    /// Reads a tokenizer from files in memory: `tokenizer.json` or `vocab.txt`, with `tokenizer_config.json`, `config.json`,
    /// `special_tokens_map.json` and `added_tokens.json` if there are such files.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), without `Io`.
    pub fn from_files(files: ModelFiles) -> Result<Self> {
        let files = files.open_if_packed()?;
        let in_folder = |error: Error| match files.path("") {
            Some(folder) => error.in_folder(&folder),
            None => error,
        };
        Self::open(&files, "", false).map_err(in_folder)
    }

    pub(crate) fn open(files: &ModelFiles, folder: &str, lower_first: bool) -> Result<Self> {
        let spec = TokenizerSpec::read(files, folder, lower_first)?;
        let as_it_is = |token: &AddedToken| (token.content.clone(), token.clone());
        let as_normalized = |token: &AddedToken| {
            let mut pattern = String::new();
            normalize(&spec.normalizer, &token.content, 0, |unit| {
                pattern.push(unit.c)
            });
            (pattern, token.clone())
        };
        let (normalized, raw): (Vec<_>, Vec<_>) =
            spec.added.iter().partition(|token| token.normalized);
        let out_of_vocab = spec
            .added
            .iter()
            .filter(|token| spec.vocab.token(token.id) != Some(&token.content))
            .map(|token| (token.id, token.content.clone()))
            .collect();
        Ok(Self {
            raw: AddedTokens::new(raw.into_iter().map(as_it_is)),
            normalized: AddedTokens::new(normalized.into_iter().map(as_normalized)),
            out_of_vocab,
            characters: CharCache::new(spec.normalizer),
            spec,
        })
    }

    /// Sections of a packed file that hold the built vocabulary.
    pub(crate) fn parts(&self) -> Vec<TensorEntry> {
        self.spec.vocab.parts()
    }

    /// Tokenizes a text or a pair, and adds special tokens.
    ///
    /// Without `truncation` no token is cut off, however long the text.
    ///
    /// # Errors
    /// `Option` if `truncation` leaves no room, `Input` for a text of 4 GiB and more.
    pub fn encode(&self, input: impl AsInput, truncation: Option<&Truncation>) -> Result<Encoding> {
        let (first, second) = self.tokens(input.as_input())?;
        let (mut one, mut two) = (first.len(), second.as_ref().map_or(0, Vec::len));
        if let Some(truncation) = truncation {
            let specials = self.spec.template.specials(second.is_some());
            let other = second.as_ref().map(Vec::len);
            (one, two) = truncation.lengths(first.len(), other, specials)?;
        }
        let truncated =
            one < first.len() || second.as_ref().is_some_and(|second| two < second.len());
        let spec = &self.spec;
        let kept = |len, kept| spec.truncation_side.range(len, kept);
        let second = second
            .as_ref()
            .map(|second| &second[kept(second.len(), two)]);
        let first = &first[kept(first.len(), one)];
        Ok(spec.template.apply(first, second, truncated))
    }

    /// Tokenizes a text or a pair, which may be longer than the limit, into windows that overlap by the stride.
    ///
    /// The windows are in the order of the reference. If both texts of a pair are cut: first the windows of the first
    /// text with all of the second, then the first window of the first text with the rest of the second. No window
    /// counts as truncated.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode), and `Option` if the stride leaves no progress.
    pub fn encode_windows(
        &self,
        input: impl AsInput,
        truncation: &Truncation,
    ) -> Result<Vec<Encoding>> {
        let (first, second) = self.tokens(input.as_input())?;
        let specials = self.spec.template.specials(second.is_some());
        truncation.check_stride(self.spec.template.specials(false))?;
        let other = second.as_ref().map(Vec::len);
        let (one, two) = truncation.lengths(first.len(), other, specials)?;
        let side = self.spec.truncation_side;
        let firsts = windows(first.len(), one, truncation.stride, side)?;
        let Some(second) = second else {
            let window = |range: std::ops::Range<usize>| {
                self.spec.template.apply(&first[range], None, false)
            };
            return Ok(firsts.into_iter().map(window).collect());
        };
        let seconds = windows(second.len(), two, truncation.stride, side)?;
        let rest_of_first = (1..firsts.len()).flat_map(|i| (0..seconds.len()).map(move |j| (i, j)));
        let rest_of_second = (1..seconds.len()).map(|j| (0, j));
        let order = std::iter::once((0, 0))
            .chain(rest_of_first)
            .chain(rest_of_second);
        let window = |(i, j): (usize, usize)| {
            let (first, second) = (&first[firsts[i].clone()], &second[seconds[j].clone()]);
            self.spec.template.apply(first, Some(second), false)
        };
        Ok(order.map(window).collect())
    }

    /// One more than the highest id, added tokens included.
    pub fn vocab_size(&self) -> usize {
        let out_of_vocab = self
            .out_of_vocab
            .keys()
            .next_back()
            .map_or(0, |&id| id as usize + 1);
        self.spec.vocab.len().max(out_of_vocab)
    }

    /// Returns the token of an id.
    pub fn id_to_token(&self, id: u32) -> Option<&str> {
        match self.out_of_vocab.get(&id) {
            Some(token) => Some(token),
            None => self.spec.vocab.token(id),
        }
    }

    /// Returns the id of a token.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        let added = self.spec.added.iter().find(|added| added.content == token);
        added
            .map(|added| added.id)
            .or_else(|| self.spec.vocab.id(token))
    }

    /// Mask token, such as `[MASK]`.
    pub fn mask_token(&self) -> &str {
        &self.spec.special_tokens.mask
    }

    /// Id of the mask token; `None` if the vocabulary does not have it.
    pub fn mask_id(&self) -> Option<u32> {
        self.token_to_id(&self.spec.special_tokens.mask)
    }

    /// Id of the padding token; `None` if the vocabulary does not have it. This crate itself never pads.
    pub fn pad_id(&self) -> Option<u32> {
        self.token_to_id(&self.spec.special_tokens.pad)
    }

    /// Id of the unknown token, such as `[UNK]`, which replaces words that the vocabulary cannot form.
    pub fn unk_id(&self) -> u32 {
        self.spec.unknown
    }

    /// Whether an id is a special token's, such as `[CLS]`.
    pub fn is_special(&self, id: u32) -> bool {
        self.spec
            .added
            .iter()
            .any(|token| token.special && token.id == id)
    }

    /// Maximum number of tokens that `tokenizer_config.json` names (`model_max_length`).
    pub fn model_max_length(&self) -> Option<usize> {
        self.spec.max_length
    }

    /// Lists what may make answers worse than the model's authors intended, such as capital letters that are lost or
    /// parts of tokenizer.json that are ignored. Empty for most models.
    ///
    /// Each call scans the vocabulary.
    pub fn warnings(&self) -> Vec<TokenizerWarning> {
        let spec = &self.spec;
        let mut warnings = spec.ignored.clone();
        if spec.normalizer.lowers() {
            let (capitals, tokens) = (spec.vocab.capitals(), spec.vocab.count());
            // Uncased vocabularies also have one or two tokens with capital letters.
            if capitals * 100 > tokens {
                warnings.push(TokenizerWarning::CasedVocabulary {
                    capitals,
                    tokens,
                    cause: spec.lowered_by.clone(),
                });
            }
        }
        warnings
    }

    /// Refuses a tokenizer that puts a token around every text for which an embedding table of `rows` rows has no row.
    ///
    /// Other added tokens are not checked: folders often declare tokens that no text uses.
    ///
    /// # Errors
    /// `TokenWithoutRow`.
    pub(crate) fn check_rows(&self, rows: usize) -> Result<()> {
        self.spec.ends.iter().try_for_each(|end| end.check(rows))
    }

    /// Refuses a mask token for which an embedding table of `rows` rows has no row; for fill-mask models.
    ///
    /// # Errors
    /// `TokenWithoutRow`.
    pub(crate) fn check_mask_row(&self, rows: usize) -> Result<()> {
        let mask = self.spec.mask.as_ref();
        mask.map_or(Ok(()), |mask| mask.check(rows))
    }

    /// Number of special tokens that are added to a text, or to a pair.
    pub(crate) fn special_tokens(&self, pair: bool) -> usize {
        self.spec.template.specials(pair)
    }

    fn tokens(&self, input: Input<'_>) -> Result<(Vec<Token>, Option<Vec<Token>>)> {
        let second = input
            .second()
            .map(|text| self.tokens_of(text))
            .transpose()?;
        Ok((self.tokens_of(input.first())?, second))
    }

    fn tokens_of(&self, text: &str) -> Result<Vec<Token>> {
        if u32::try_from(text.len()).is_err() {
            return Err(Error::input(format!(
                "a text of {} bytes is too long: 4 GiB is the limit",
                text.len()
            )));
        }
        let spec = &self.spec;
        let mut pieces = WordPiece::new(&spec.vocab, spec.unknown, spec.max_characters, text.len());
        self.raw.split(text, |piece| match piece.id {
            Some(id) => pieces.push_added(id, piece.start as u32, piece.end as u32),
            None => {
                self.tokenize_span(
                    &text[piece.start..piece.end],
                    piece.start as u32,
                    &mut pieces,
                );
                pieces.end_word();
            }
        });
        Ok(pieces.tokens)
    }

    /// Tokenizes a piece of text that is already free of the added tokens matched in the original text.
    fn tokenize_span(&self, text: &str, offset: u32, pieces: &mut WordPiece<'_>) {
        if self.normalized.is_empty() {
            return scan(text, offset, &self.characters, pieces);
        }
        let normalizer = &self.spec.normalizer;
        let mut units: Vec<NormalizedChar> = Vec::new();
        let mut normal = String::new();
        let mut starts = Vec::new();
        normalize(normalizer, text, offset, |unit| {
            starts.push(normal.len());
            normal.push(unit.c);
            units.push(unit);
        });
        let index = |byte: usize| starts.partition_point(|&start| start < byte);
        self.normalized.split(&normal, |piece| {
            let units = &units[index(piece.start)..index(piece.end)];
            match (piece.id, units) {
                (Some(id), [first, .., last]) => pieces.push_added(id, first.start, last.end),
                (Some(id), [only]) => pieces.push_added(id, only.start, only.end),
                _ => {
                    units.iter().for_each(|&unit| pieces.push(unit));
                    pieces.end_word();
                }
            }
        });
    }
}
