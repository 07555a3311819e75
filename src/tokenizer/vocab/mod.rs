//! Vocabulary: maps tokens to ids and ids to tokens.
//!
//! All data are flat arrays: the text of all tokens, their spans in it, and slots of hash tables. So a vocabulary is
//! built in one pass without an allocation per token, and a packed file holds the arrays as they are (`packed`).

mod hash_table;
pub(super) mod key;
mod packed;
mod token_spans;

use std::borrow::Cow;

use super::swar::{low_bytes, read};
use super::unicode;
use crate::error::{Error, Result};
use crate::weights::PodBuf;
use hash_table::{HashTable, HashTableBuilder, Slots};
use key::{Key, Short};
pub(super) use token_spans::ByteSpan;
use token_spans::{MAX_RUN_BYTES, TokenSpan, TokenSpans, TokenSpansRef};

/// Largest valid id: the tables keep ids in 24 bits.
const MAX_ID: u32 = (1 << 24) - 2;
/// Span of an id without a token.
const ABSENT: ByteSpan = [u32::MAX; 2];

/// Vocabulary, either in owned memory or borrowed from a packed file.
#[derive(Debug, Clone)]
pub(super) struct Vocab {
    /// All tokens, concatenated in the order of their ids.
    text: PodBuf<u8>,
    /// Span of each id's token in `text`; empty for an id without a token.
    token_spans: TokenSpans,
    /// Ids of whole tokens; excludes those in `continuation` if no word can start with the prefix.
    word_start: HashTable,
    /// Ids of tokens that continue a word, by the text after their prefix.
    continuation: HashTable,
    /// Lengths of the longest tokens of each table, in the layout of [`MaxLens`].
    longest: PodBuf<LenTable>,
    prefix: Prefix,
}

/// Vocabulary prepared for looking up many words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lookup<'a> {
    text: &'a [u8],
    token_spans: TokenSpansRef<'a>,
    word_start: Slots<'a>,
    continuation: Slots<'a>,
    /// Lengths of the longest tokens of each table.
    longest: &'a [LenTable],
    /// Length of the prefix in bytes.
    prefix: usize,
}

/// Position of a piece in its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// At the start of the word.
    First,
    /// After another piece.
    Later,
}

impl Vocab {
    /// Creates a vocabulary from tokens, given as ascending spans in `text`, and their ids.
    ///
    /// Of equal tokens only the last one is kept, as in any map.
    pub(super) fn of_map(
        file: &str,
        prefix: &str,
        text: String,
        spans: Vec<ByteSpan>,
        ids: &[u32],
    ) -> Result<Self> {
        check_len(file, &text)?;
        let in_order = ids.iter().copied().eq(0..spans.len() as u32);
        let spans = if in_order {
            spans
        } else {
            by_id(file, &text, &spans, ids)?
        };
        let (mut vocab, repeats) = Self::build(file, prefix, text.into(), spans)?;
        if repeats {
            vocab.keep_last_of_equals();
        }
        Ok(vocab)
    }

    /// Creates a vocabulary from tokens in the order of their ids, given as spans in `text`. Of equal tokens the last
    /// one's id counts.
    ///
    /// `prefix` starts tokens that continue a word.
    pub(super) fn new(
        file: &str,
        prefix: &str,
        text: Cow<'static, str>,
        spans: Vec<ByteSpan>,
    ) -> Result<Self> {
        Self::build(file, prefix, text, spans).map(|(vocab, _)| vocab)
    }

    /// Creates a vocabulary from tokens in the order of their ids, and returns whether a token is listed more than
    /// once.
    fn build(
        file: &str,
        prefix: &str,
        text: Cow<'static, str>,
        spans: Vec<ByteSpan>,
    ) -> Result<(Self, bool)> {
        check_len(file, &text)?;
        if spans.len() > MAX_ID as usize + 1 {
            return Err(vocab_error(
                file,
                format!("more than {} tokens", MAX_ID + 1),
            ));
        }
        let longest = spans.iter().map(len).max().unwrap_or_default();
        if longest == 0 {
            return Err(vocab_error(file, "it has no token".to_owned()));
        }
        if longest > MAX_RUN_BYTES {
            let reason = format!("a token has {longest} bytes, more than {MAX_RUN_BYTES}");
            return Err(vocab_error(file, reason));
        }
        let prefix = Prefix::new(prefix);
        let listed = spans.iter().filter(|&&span| span != ABSENT);
        let continuing = listed
            .clone()
            .filter(|&&span| prefix.continues(text.as_bytes(), span))
            .count();
        let whole = listed.count()
            - if prefix.starts_with_punctuation {
                continuing
            } else {
                0
            };
        let mut tables =
            [whole, continuing].map(|tokens| HashTableBuilder::new(tokens, spans.len()));
        let mut longest = [[0; MaxLens::LEN]; 2];
        let repeats = fill(&mut tables, &mut longest, text.as_bytes(), &spans, &prefix);
        let [word_start, continuation] = tables.map(HashTableBuilder::finish);
        let vocab = Self {
            text: concatenated(text, &spans),
            token_spans: TokenSpans::of(spans.iter().map(len)),
            word_start,
            continuation,
            longest: Vec::from(longest).into(),
            prefix,
        };
        Ok((vocab, repeats))
    }

    /// Removes the tokens of ids whose token has a later, equal one.
    fn keep_last_of_equals(&mut self) {
        let counts = |&id: &u32| {
            self.token(id)
                .is_some_and(|token| self.id(token) == Some(id))
        };
        let mut spans: Vec<ByteSpan> = (0..self.len() as u32)
            .map(|id| {
                if counts(&id) {
                    self.token_spans.get(id).unwrap_or(ABSENT)
                } else {
                    ABSENT
                }
            })
            .collect();
        let last = spans.iter().rposition(|&span| span != ABSENT);
        spans.truncate(last.map_or(0, |last| last + 1));
        self.text = joined(&self.text, &spans).into();
        self.token_spans = TokenSpans::of(spans.iter().map(len));
    }

    /// One more than the highest id.
    pub(super) fn len(&self) -> usize {
        self.token_spans.len()
    }

    /// Number of distinct tokens.
    pub(super) fn count(&self) -> usize {
        let ids = 0..self.len() as u32;
        ids.filter(|&id| {
            self.token(id)
                .is_some_and(|token| self.id(token) == Some(id))
        })
        .count()
    }

    /// Number of distinct tokens if each id without a token counts as an empty line; all of these are one token.
    pub(super) fn count_lines(&self) -> usize {
        let has_empty = (0..self.len() as u32).any(|id| self.token(id).is_none());
        self.count() + usize::from(has_empty)
    }

    /// Number of tokens with a capital letter, without those in brackets, as special tokens are.
    pub(super) fn capitals(&self) -> usize {
        let is_special = |token: &str| {
            let ends = (token.chars().next(), token.chars().next_back());
            matches!(ends, (Some('['), Some(']')) | (Some('<'), Some('>')))
        };
        let tokens = (0..self.len() as u32).filter_map(|id| self.token(id));
        tokens
            .filter(|token| !is_special(token) && token.chars().any(char::is_uppercase))
            .count()
    }

    /// Returns the token of an id.
    pub(super) fn token(&self, id: u32) -> Option<&str> {
        let [start, end] = self.token_spans.get(id)?;
        let token = self.text.get(start as usize..end as usize)?;
        std::str::from_utf8(token)
            .ok()
            .filter(|token| !token.is_empty())
    }

    /// Returns the id of a whole token.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        let (bytes, len) = (token.as_bytes(), token.len() as u32);
        let key = Key::new(bytes, 0, token.len());
        let apart = self.prefix.starts_with_punctuation && self.prefix.continues(bytes, [0, len]);
        if apart {
            self.lookup()
                .find(Position::Later, key.skip(self.prefix.bytes.len()))
        } else {
            self.lookup().find(Position::First, key)
        }
    }

    /// Prepares the vocabulary for looking up many words.
    pub(super) fn lookup(&self) -> Lookup<'_> {
        Lookup {
            text: &self.text,
            token_spans: self.token_spans.by_id(),
            word_start: self.word_start.slots(),
            continuation: self.continuation.slots(),
            longest: &self.longest,
            prefix: self.prefix.bytes.len(),
        }
    }
}

impl<'a> Lookup<'a> {
    /// Returns the id of a piece of a word.
    pub(super) fn find(&self, position: Position, piece: Key<'_>) -> Option<u32> {
        let (table, skip) = self.table(position);
        let text = self.text;
        table.find(piece.hash(), |id| {
            piece.is(text, self.token_spans.of(id), skip)
        })
    }

    /// Returns the id of a piece of at most sixteen bytes.
    #[inline]
    pub(super) fn find_short(&self, position: Position, piece: Short) -> Option<u32> {
        let (table, skip) = self.table(position);
        let text = self.text;
        table.find(piece.hash(), |id| {
            piece.is(text, self.token_spans.of(id), skip)
        })
    }

    /// Finds the longest token that is a prefix of this piece of UTF-8: its id and its length in bytes, without the
    /// continuation prefix.
    pub(super) fn longest(&self, position: Position, piece: Key<'_>) -> Option<(u32, usize)> {
        let longest = MaxLens(&self.longest[position as usize]).of(piece);
        let blocks = piece.blocks();
        // No token ends inside a character.
        let lens = (1..=longest).rev().filter(|&len| piece.is_boundary(len));
        for len in lens {
            let id = match len {
                ..=Short::MAX => self.find_short(position, Short::new(blocks, len)),
                _ => self.find(position, piece.cut(len)),
            };
            if let Some(id) = id {
                return Some((id, len));
            }
        }
        None
    }

    /// HashTable for pieces at this position, and the number of bytes before them in a token.
    #[inline]
    fn table(&self, position: Position) -> (&Slots<'a>, usize) {
        match position {
            Position::First => (&self.word_start, 0),
            Position::Later => (&self.continuation, self.prefix),
        }
    }
}

/// Inserts all ids into the tables, and returns whether a token occurs more than once.
fn fill(
    [word_start, continuation]: &mut [HashTableBuilder; 2],
    [longest_start, longest_continuation]: &mut [LenTable; 2],
    text: &[u8],
    spans: &[ByteSpan],
    prefix: &Prefix,
) -> bool {
    let mut repeats = false;
    let skip = prefix.bytes.len();
    for (&span, id) in spans.iter().zip(0..).filter(|&(&span, _)| span != ABSENT) {
        // Spans ascend in the order of the file.
        let is_later = |other: u32| spans[other as usize][0] < span[0];
        let [start, end] = span.map(|at| at as usize);
        let key = Key::new(text, start, end);
        let continues = prefix.continues(text, span);
        if continues {
            let key = key.skip(skip);
            let is_equal = |other: u32| key.is(text, token_span(&spans[other as usize]), skip);
            repeats |= continuation.insert(key.hash(), id, is_later, is_equal);
            MaxLens::observe(longest_continuation, key);
        }
        if !(continues && prefix.starts_with_punctuation) {
            let is_equal = |other: u32| key.is(text, token_span(&spans[other as usize]), 0);
            repeats |= word_start.insert(key.hash(), id, is_later, is_equal);
            MaxLens::observe(longest_start, key);
        }
    }
    repeats
}

fn token_span(&[start, end]: &ByteSpan) -> TokenSpan {
    let len = end - start;
    TokenSpan { start, len }
}

/// Length of a token in bytes; 0 for an absent one.
fn len(span: &ByteSpan) -> u32 {
    token_span(span).len
}

/// Concatenates the tokens in the order of their ids.
fn concatenated(text: Cow<'static, str>, spans: &[ByteSpan]) -> PodBuf<u8> {
    let mut end = 0;
    let mut follows = |span: &ByteSpan| span[0] == std::mem::replace(&mut end, span[1]);
    if spans.iter().all(&mut follows) && end as usize == text.len() {
        return match text {
            Cow::Borrowed(text) => PodBuf::Static(text.as_bytes()),
            Cow::Owned(text) => text.into_bytes().into(),
        };
    }
    joined(text.as_bytes(), spans).into()
}

fn joined(text: &[u8], spans: &[ByteSpan]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(spans.iter().map(|span| len(span) as usize).sum());
    for &[start, end] in spans.iter().filter(|&&span| span != ABSENT) {
        joined.extend_from_slice(&text[start as usize..end as usize]);
    }
    joined
}

/// Prefix of the tokens that continue a word.
#[derive(Debug, Clone)]
struct Prefix {
    bytes: Box<[u8]>,
    /// First eight bytes of the prefix.
    block: u64,
    /// Whether the prefix begins with punctuation. Punctuation is a word by itself, so no longer word can begin with
    /// the prefix.
    starts_with_punctuation: bool,
}

impl Prefix {
    fn new(prefix: &str) -> Self {
        Self {
            bytes: prefix.as_bytes().into(),
            block: read(prefix.as_bytes(), 0),
            starts_with_punctuation: prefix.chars().next().is_some_and(unicode::is_punctuation),
        }
    }

    /// Whether a token is the prefix followed by at least one byte.
    fn continues(&self, text: &[u8], [start, end]: ByteSpan) -> bool {
        let (start, len) = (start as usize, self.bytes.len());
        // The block usually decides, without a call.
        read(text, start) & low_bytes(len) == self.block
            && (end as usize) - start > len
            && (len <= 8 || text[start..].starts_with(&self.bytes))
    }
}

/// Length of the longest token, by the lowest five bits of each of its first two bytes; longer pieces need not be
/// tried.
///
/// Lengths are in bytes; 255 means 255 or more.
struct MaxLens<'a>(&'a LenTable);

/// Array of lengths, indexed by [`MaxLens::index`].
type LenTable = [u8; MaxLens::LEN];

impl MaxLens<'_> {
    const LEN: usize = 1 << 10;

    #[inline]
    fn index(token: Key<'_>) -> usize {
        let [first, second] = token.first_two();
        usize::from(first & 31) << 5 | usize::from(second & 31)
    }

    fn observe(lens: &mut LenTable, token: Key<'_>) {
        let len = &mut lens[Self::index(token)];
        *len = (*len).max(u8::try_from(token.len()).unwrap_or(u8::MAX));
    }

    /// Maximum length of a token that may be a prefix of this piece.
    #[inline]
    fn of(&self, piece: Key<'_>) -> usize {
        match self.0[Self::index(piece)] {
            u8::MAX => piece.len(),
            // A token of one byte is listed under a second byte of zero, so one byte is always tried.
            len => piece.len().min(usize::from(len).max(1)),
        }
    }
}

fn vocab_error(file: &str, reason: String) -> Error {
    Error::Vocabulary {
        file: file.to_owned(),
        reason,
    }
}

fn check_len(file: &str, text: &str) -> Result<()> {
    match u32::try_from(text.len()) {
        Ok(_) => Ok(()),
        Err(_) => Err(vocab_error(file, "4 GiB or more".to_owned())),
    }
}

/// Sorts the spans by their ids.
fn by_id(file: &str, text: &str, spans: &[ByteSpan], ids: &[u32]) -> Result<Vec<ByteSpan>> {
    let mut sorted: Vec<ByteSpan> = Vec::with_capacity(spans.len());
    for (&span, &id) in spans.iter().zip(ids) {
        let token = || &text[span[0] as usize..span[1] as usize];
        if id > MAX_ID {
            let reason = format!("token {:?} has id {id}, past {MAX_ID}", token());
            return Err(vocab_error(file, reason));
        }
        let index = id as usize;
        if index >= sorted.len() {
            sorted.resize(index + 1, ABSENT);
        }
        if std::mem::replace(&mut sorted[index], span) != ABSENT {
            let reason = format!("two tokens have id {id}, one of them {:?}", token());
            return Err(vocab_error(file, reason));
        }
    }
    Ok(sorted)
}

#[cfg(test)]
mod tests;
