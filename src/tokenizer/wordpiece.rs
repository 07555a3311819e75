//! Words become tokens: the longest piece that the vocabulary has, then the next (Wu et al. 2016; Devlin et al. 2019).

use super::normalize::Unit;
use super::unicode;
use super::vocab::Vocab;

/// A token of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) id: u32,
    /// The bytes of the text that it stands for.
    pub(super) start: u32,
    pub(super) end: u32,
    /// The number of its word.
    pub(super) word: u32,
}

/// Cuts characters into words, and words into tokens.
pub(super) struct WordPiece<'a> {
    vocab: &'a Vocab,
    unknown: u32,
    /// A word of more characters than this is unknown.
    max_characters: usize,
    /// The word so far.
    word: Word,
    /// Its number.
    index: u32,
    pub(super) tokens: Vec<Token>,
}

#[derive(Default)]
struct Word {
    text: String,
    /// Of each character: where it starts in `text`, and the bytes of the original that it stands for.
    characters: Vec<(u32, u32, u32)>,
    /// How many characters it has; more than are kept where it is too long.
    len: usize,
    /// The end of the last character, kept or not.
    end: u32,
}

impl<'a> WordPiece<'a> {
    pub(super) fn new(vocab: &'a Vocab, unknown: u32, max_characters: usize) -> Self {
        Self {
            vocab,
            unknown,
            max_characters,
            word: Word::default(),
            index: 0,
            tokens: Vec::new(),
        }
    }

    /// The next character: white space and punctuation end a word, and punctuation is one by itself.
    pub(super) fn push(&mut self, unit: Unit) {
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

    /// A token that stands in the text as such.
    pub(super) fn push_added(&mut self, id: u32, start: u32, end: u32) {
        self.end_word();
        self.tokens.push(Token {
            id,
            start,
            end,
            word: self.index,
        });
        self.index += 1;
    }

    fn extend_word(&mut self, unit: Unit) {
        let word = &mut self.word;
        if word.len < self.max_characters || word.len == 0 {
            word.characters
                .push((word.text.len() as u32, unit.start, unit.end));
            word.text.push(unit.c);
        }
        word.len += 1;
        word.end = unit.end;
    }

    /// Makes tokens of the word so far.
    pub(super) fn end_word(&mut self) {
        let count = self.word.len;
        if count == 0 {
            return;
        }
        let known = self.tokens.len();
        if count > self.max_characters || !self.cut() {
            self.tokens.truncate(known);
            self.tokens.push(Token {
                id: self.unknown,
                start: self.word.characters[0].1,
                end: self.word.end,
                word: self.index,
            });
        }
        self.index += 1;
        self.word.text.clear();
        self.word.characters.clear();
        self.word.len = 0;
    }

    /// Adds the word's tokens, until there is a piece that the vocabulary does not have.
    fn cut(&mut self) -> bool {
        let Word {
            text, characters, ..
        } = &self.word;
        let count = characters.len();
        let mut first = 0;
        while first < count {
            let start = characters[first].0 as usize;
            let longest = count.min(first + self.vocab.longest());
            let piece = (first + 1..=longest).rev().find_map(|next| {
                let end = characters.get(next).map_or(text.len(), |c| c.0 as usize);
                let piece = &text[start..end];
                let id = match first {
                    0 => self.vocab.id(piece),
                    _ => self.vocab.continuing_id(piece),
                };
                Some((id?, next))
            });
            let Some((id, next)) = piece else {
                return false;
            };
            self.tokens.push(Token {
                id,
                start: characters[first].1,
                end: characters[next - 1].2,
                word: self.index,
            });
            first = next;
        }
        true
    }
}
