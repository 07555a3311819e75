//! WordPiece: splits a word into the longest piece that the vocabulary has, then the next longest (Wu et al. 2016;
//! Devlin et al. 2019).

use super::Token;
use crate::tokenizer::normalizer::NormalizedChar;
use crate::tokenizer::unicode;
use crate::tokenizer::vocab::key::{Key, Short};
use crate::tokenizer::vocab::{Lookup, Position, Vocab};

/// Prefix of the tokens that continue a word in BERT's pipeline.
pub(in crate::tokenizer) const PREFIX: &str = "##";
/// Length, in characters, of the longest word that BERT's pipeline cuts into pieces.
pub(in crate::tokenizer) const MAX_CHARACTERS: usize = 100;

/// Cuts characters into words, and words into tokens.
pub(in crate::tokenizer) struct WordPiece<'a> {
    vocab: Lookup<'a>,
    unknown: u32,
    /// Words with more characters than this become the unknown token (`max_input_chars_per_word`).
    max_characters: usize,
    /// Word that is being collected.
    word: Word,
    /// Index of that word in the text.
    index: u32,
    pub(in crate::tokenizer) tokens: Vec<Token>,
}

/// A word that is collected character by character.
#[derive(Default)]
struct Word {
    /// Characters of the word after normalisation, in UTF-8.
    text: Vec<u8>,
    /// For each byte of `text`, the byte range of the original text that its character stands for.
    spans: Vec<[u32; 2]>,
    /// Number of characters; of a word that is too long, `text` does not keep all.
    len: usize,
    /// End of the last character in the original text, kept or not.
    end: u32,
}

impl<'a> WordPiece<'a> {
    /// Creates a splitter with room for the tokens of a text of `bytes` bytes.
    pub(in crate::tokenizer) fn new(
        vocab: &'a Vocab,
        unknown: u32,
        max_characters: usize,
        bytes: usize,
    ) -> Self {
        Self {
            vocab: vocab.lookup(),
            unknown,
            max_characters,
            word: Word::default(),
            index: 0,
            // English has one token per four to five bytes.
            tokens: Vec::with_capacity(bytes / 4 + 8),
        }
    }

    /// Adds the next character. White space and punctuation end a word; a punctuation character is a word by itself.
    pub(in crate::tokenizer) fn push(&mut self, unit: NormalizedChar) {
        if unit.c.is_whitespace() {
            self.end_word();
        } else if unicode::is_punctuation(unit.c) {
            self.end_word();
            self.extend_word(unit);
            self.end_word();
        } else {
            self.extend_word(unit);
        }
    }

    /// Adds an added token, which was matched in the text as a whole.
    pub(in crate::tokenizer) fn push_added(&mut self, id: u32, start: u32, end: u32) {
        self.end_word();
        self.push_whole(id, start, end);
    }

    /// Adds an ASCII word of at most 16 bytes; `start` is its position in the text.
    #[inline]
    pub(in crate::tokenizer) fn push_short(&mut self, word: Short, start: u32) {
        if word.len() <= self.max_characters
            && let Some(id) = self.vocab.find_short(Position::First, word)
        {
            self.push_whole(id, start, start + word.len() as u32);
        } else {
            self.push_ascii(Key::new(&word.bytes(), 0, word.len()), start);
        }
    }

    /// Adds an ASCII word of any length; `start` is its position in the text.
    pub(in crate::tokenizer) fn push_ascii(&mut self, word: Key<'_>, start: u32) {
        let end = start + word.len() as u32;
        self.push_word(word, word.len(), [start, end], |from, to| {
            [start + from as u32, start + to as u32]
        });
    }

    /// Adds a character that is a word of its own.
    pub(in crate::tokenizer) fn push_alone(&mut self, unit: NormalizedChar) {
        let mut bytes = [0; 8];
        let len = unit.c.encode_utf8(&mut bytes).len();
        let word = Short::new([u64::from_le_bytes(bytes), 0], len);
        let id = self.vocab.find_short(Position::First, word);
        let known = id.filter(|_| self.max_characters > 0);
        self.push_whole(known.unwrap_or(self.unknown), unit.start, unit.end);
    }

    /// Adds a word that is a single token.
    #[inline]
    fn push_whole(&mut self, id: u32, start: u32, end: u32) {
        self.tokens.push(Token {
            id,
            start,
            end,
            word: self.index,
        });
        self.index += 1;
    }

    /// Adds a character to the current word.
    pub(in crate::tokenizer) fn extend_word(&mut self, unit: NormalizedChar) {
        let word = &mut self.word;
        if word.len < self.max_characters || word.len == 0 {
            let mut buffer = [0; 4];
            let c = unit.c.encode_utf8(&mut buffer);
            word.text.extend_from_slice(c.as_bytes());
            word.spans.resize(word.text.len(), [unit.start, unit.end]);
        }
        word.len += 1;
        word.end = unit.end;
    }

    /// Ends the current word and splits it into tokens.
    pub(in crate::tokenizer) fn end_word(&mut self) {
        let Some(&[start, _]) = self.word.spans.first() else {
            return;
        };
        let mut word = std::mem::take(&mut self.word);
        let len = word.text.len();
        // Padding, so that whole blocks can be read from any byte of the word.
        word.text.resize(len + Short::MAX, 0);
        let span = |from: usize, to: usize| [word.spans[from][0], word.spans[to - 1][1]];
        let key = Key::new(&word.text, 0, len);
        self.push_word(key, word.len, [start, word.end], span);
        self.word = word;
        self.drop_word();
    }

    /// Discards the current word.
    pub(in crate::tokenizer) fn drop_word(&mut self) {
        self.word.text.clear();
        self.word.spans.clear();
        self.word.len = 0;
    }

    /// Adds the tokens of a word, or the unknown token if a piece is not in the vocabulary.
    ///
    /// `span(from, to)` returns the range in the text of the bytes `from..to` of the word; `whole` is the range of the
    /// word.
    fn push_word(
        &mut self,
        word: Key<'_>,
        characters: usize,
        whole: [u32; 2],
        span: impl Fn(usize, usize) -> [u32; 2],
    ) {
        let known = self.tokens.len();
        let mut done = 0;
        let mut position = Position::First;
        while characters <= self.max_characters && done < word.len() {
            let Some((id, len)) = self.vocab.longest(position, word.skip(done)) else {
                break;
            };
            let [start, end] = span(done, done + len);
            self.tokens.push(Token {
                id,
                start,
                end,
                word: self.index,
            });
            done += len;
            position = Position::Later;
        }
        if done < word.len() {
            self.tokens.truncate(known);
            self.tokens.push(Token {
                id: self.unknown,
                start: whole[0],
                end: whole[1],
                word: self.index,
            });
        }
        self.index += 1;
    }
}
