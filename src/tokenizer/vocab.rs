//! The vocabulary: tokens and their ids, both ways.
//!
//! All of it is flat: bytes of text, places in them, slots of hash tables. So it is built in one pass without an
//! allocation a token, and could be stored and used where it lies.

use std::borrow::Cow;

use super::listed::Span;
use super::table::{Key, Table};
use crate::error::{Error, Result};

/// The largest id that is believed: the tables keep ids in 24 bits.
const MAX_ID: u32 = (1 << 24) - 2;
/// The place of a token that is not there.
const ABSENT: Span = [u32::MAX; 2];

/// Tokens by id, and ids by token.
#[derive(Debug, Clone)]
pub(super) struct Vocab {
    /// Where the tokens are, with anything between them.
    text: Cow<'static, str>,
    /// Where each id's token starts and ends in `text`, or `ABSENT`.
    spans: Vec<Span>,
    /// Ids by token.
    whole: Table,
    /// Ids of tokens that continue a word, by what follows their prefix.
    continuing: Table,
    /// The longest token of each table, in bytes.
    longest: [usize; 2],
    /// The length of the prefix.
    prefix: usize,
    /// Whether a token is listed more than once.
    repeats: bool,
}

/// Where in a word a piece of it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// At its start.
    First,
    /// After another piece.
    Later,
}

impl Vocab {
    /// Of tokens, as places in `text` in ascending order, and their ids.
    ///
    /// Of equal tokens only the last one is there, as in any map.
    pub(super) fn of_map(
        file: &str,
        prefix: &str,
        text: String,
        spans: Vec<Span>,
        ids: &[u32],
    ) -> Result<Self> {
        check_len(file, &text)?;
        let in_order = ids.iter().copied().eq(0..spans.len() as u32);
        let spans = match in_order {
            true => spans,
            false => by_id(file, &text, &spans, ids)?,
        };
        let mut vocab = Self::new(file, prefix, text.into(), spans)?;
        if vocab.repeats {
            vocab.keep_last_of_equals();
        }
        Ok(vocab)
    }

    /// Of tokens in the order of their ids, as places in `text`; of equal tokens the last one's id counts.
    ///
    /// `prefix` starts tokens that continue a word.
    pub(super) fn new(
        file: &str,
        prefix: &str,
        text: Cow<'static, str>,
        spans: Vec<Span>,
    ) -> Result<Self> {
        check_len(file, &text)?;
        if spans.len() > MAX_ID as usize + 1 {
            return Err(wrong(file, format!("more than {} tokens", MAX_ID + 1)));
        }
        let (mut count, mut continuing) = (0, 0);
        let mut longest = [0; 2];
        for &[start, end] in spans.iter().filter(|&&span| span != ABSENT) {
            let token = &text.as_bytes()[start as usize..end as usize];
            count += 1;
            longest[0] = longest[0].max(token.len());
            if token.starts_with(prefix.as_bytes()) {
                continuing += 1;
                longest[1] = longest[1].max(token.len() - prefix.len());
            }
        }
        if longest[0] == 0 {
            return Err(wrong(file, "it has no token".to_owned()));
        }
        let mut vocab = Self {
            whole: Table::new(count),
            continuing: Table::new(continuing),
            text,
            spans,
            longest,
            prefix: prefix.len(),
            repeats: false,
        };
        vocab.fill(prefix);
        Ok(vocab)
    }

    /// Puts all ids into the tables.
    fn fill(&mut self, prefix: &str) {
        let text = self.text.as_bytes();
        for (id, &span) in self.spans.iter().enumerate() {
            if span == ABSENT {
                continue;
            }
            let [start, end] = span.map(|at| at as usize);
            let spans = &self.spans;
            // The text is in the order of the file.
            let is_later = |other: u32| spans[other as usize][0] < span[0];
            let key = Key::new(text, start, end);
            self.repeats |= self.whole.insert(key, id as u32, is_later, |other| {
                key.is(text, spans[other as usize], 0)
            });
            if text[start..end].starts_with(prefix.as_bytes()) {
                let key = Key::new(text, start + prefix.len(), end);
                self.continuing.insert(key, id as u32, is_later, |other| {
                    key.is(text, spans[other as usize], prefix.len())
                });
            }
        }
    }

    /// Forgets the tokens in whose stead an equal one is found.
    fn keep_last_of_equals(&mut self) {
        let counts = |&id: &u32| {
            self.token(id)
                .is_some_and(|token| self.id(token) == Some(id))
        };
        let lost: Vec<u32> = (0..self.spans.len() as u32)
            .filter(|id| !counts(id))
            .collect();
        for id in lost {
            self.spans[id as usize] = ABSENT;
        }
        let last = self.spans.iter().rposition(|&span| span != ABSENT);
        self.spans.truncate(last.map_or(0, |last| last + 1));
    }

    /// One more than the highest id.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The token of an id.
    pub(super) fn token(&self, id: u32) -> Option<&str> {
        let &[start, end] = self.spans.get(id as usize)?;
        (start < end).then(|| &self.text[start as usize..end as usize])
    }

    /// The id of a whole token.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.find(Position::First, Key::new(token.as_bytes(), 0, token.len()))
    }

    /// The id of a piece of a word.
    pub(super) fn find(&self, position: Position, piece: Key<'_>) -> Option<u32> {
        let (table, skip) = match position {
            Position::First => (&self.whole, 0),
            Position::Later => (&self.continuing, self.prefix),
        };
        let text = self.text.as_bytes();
        table.find(piece, |id| piece.is(text, self.spans[id as usize], skip))
    }

    /// The id and the length of the longest token that starts this piece of UTF-8.
    pub(super) fn longest(&self, position: Position, piece: Key<'_>) -> Option<(u32, usize)> {
        let longest = self.longest[position as usize].min(piece.len());
        (1..=longest).rev().find_map(|len| {
            // No token ends inside a character.
            let cut = piece.cut(len)?;
            Some((self.find(position, cut)?, len))
        })
    }
}

fn wrong(file: &str, reason: String) -> Error {
    Error::Vocabulary {
        file: file.to_owned(),
        reason,
    }
}

fn check_len(file: &str, text: &str) -> Result<()> {
    match u32::try_from(text.len()) {
        Ok(_) => Ok(()),
        Err(_) => Err(wrong(file, "4 GiB or more".to_owned())),
    }
}

/// The places in the order of their ids.
fn by_id(file: &str, text: &str, spans: &[Span], ids: &[u32]) -> Result<Vec<Span>> {
    let mut sorted: Vec<Span> = Vec::with_capacity(spans.len());
    for (&span, &id) in spans.iter().zip(ids) {
        let token = || &text[span[0] as usize..span[1] as usize];
        if id > MAX_ID {
            let reason = format!("token {:?} has id {id}, past {MAX_ID}", token());
            return Err(wrong(file, reason));
        }
        let index = id as usize;
        if index >= sorted.len() {
            sorted.resize(index + 1, ABSENT);
        }
        if std::mem::replace(&mut sorted[index], span) != ABSENT {
            let reason = format!("two tokens have id {id}, one of them {:?}", token());
            return Err(wrong(file, reason));
        }
    }
    Ok(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocab<'a>(tokens: impl Iterator<Item = (&'a str, u32)>) -> Result<Vocab> {
        let (mut text, mut spans, mut ids) = (String::new(), Vec::new(), Vec::new());
        for (token, id) in tokens {
            text.push_str(token);
            spans.push([text.len() - token.len(), text.len()].map(|at| at as u32));
            ids.push(id);
        }
        Vocab::of_map("vocab.txt", "##", text, spans, &ids)
    }

    fn continuing(vocab: &Vocab, rest: &str) -> Option<u32> {
        vocab.find(Position::Later, Key::new(rest.as_bytes(), 0, rest.len()))
    }

    #[test]
    fn both_ways() {
        let vocab = vocab(["[UNK]", "a", "##a", "ab", "##b"].into_iter().zip(0..)).unwrap();
        assert_eq!(vocab.id("ab"), Some(3));
        assert_eq!(vocab.id("##a"), Some(2));
        assert_eq!(continuing(&vocab, "b"), Some(4));
        assert_eq!(continuing(&vocab, "ab"), None);
        assert_eq!(vocab.token(3), Some("ab"));
        assert_eq!(vocab.token(5), None);
        assert_eq!(vocab.len(), 5);
    }

    #[test]
    fn the_last_of_equals_counts() {
        let text = "a\na\n";
        let vocab = Vocab::new("vocab.txt", "##", text.into(), vec![[0, 1], [2, 3]]).unwrap();
        assert_eq!(vocab.id("a"), Some(1));
        assert_eq!((vocab.token(0), vocab.token(1)), (Some("a"), Some("a")));
    }

    #[test]
    fn of_equals_in_a_map_only_the_last_is_there() {
        let vocab = vocab([("##a", 3), ("b", 0), ("##a", 1)].into_iter()).unwrap();
        assert_eq!(
            (vocab.id("##a"), continuing(&vocab, "a")),
            (Some(1), Some(1))
        );
        assert_eq!((vocab.token(1), vocab.token(3)), (Some("##a"), None));
        assert_eq!(vocab.len(), 2);
    }

    #[test]
    fn the_longest_token_that_starts_a_word() {
        let vocab = vocab(
            ["a", "ab", "abcdefghij", "##é", "##éa"]
                .into_iter()
                .zip(0..),
        )
        .unwrap();
        let longest = |position, word: &str| {
            vocab.longest(position, Key::new(word.as_bytes(), 0, word.len()))
        };
        assert_eq!(longest(Position::First, "abc"), Some((1, 2)));
        assert_eq!(longest(Position::First, "abcdefghijk"), Some((2, 10)));
        assert_eq!(longest(Position::First, "é"), None);
        assert_eq!(longest(Position::Later, "éb"), Some((3, 2)));
        assert_eq!(longest(Position::Later, "è"), None);
    }

    #[test]
    fn many_tokens_are_all_found() {
        let tokens: Vec<String> = (0..5000).map(|i| format!("##{}", i * 7919)).collect();
        let vocab = vocab(tokens.iter().map(String::as_str).zip(0..)).unwrap();
        for (id, token) in tokens.iter().enumerate() {
            assert_eq!(vocab.id(token), Some(id as u32));
            assert_eq!(continuing(&vocab, &token[2..]), Some(id as u32));
        }
        assert_eq!(continuing(&vocab, "x"), None);
    }

    #[test]
    fn ids_that_cannot_be() {
        for tokens in [
            &[("a", 1), ("b", 1)][..],
            &[("a", u32::MAX)],
            &[("", 0)],
            &[],
        ] {
            let error = vocab(tokens.iter().copied()).unwrap_err();
            assert!(matches!(error, Error::Vocabulary { .. }), "{error}");
        }
    }
}
