//! The vocabulary: tokens and their ids, both ways.

use crate::error::{Error, Result};

/// The largest id that is believed.
const MAX_ID: u32 = 1 << 24;
/// No id: an empty slot of the table.
const NONE: u32 = u32::MAX;

/// Tokens by id, and ids by token.
#[derive(Debug, Clone)]
pub(super) struct Vocab {
    /// All tokens, one after the other.
    text: String,
    /// Where each id's token is in `text`; an empty range where no token has the id.
    spans: Vec<(u32, u32)>,
    /// Ids by the hash of their token, with the next free slot taken on a collision.
    whole: Table,
    /// The same for tokens that continue a word, by what follows their prefix.
    continuing: Table,
    /// The longest of both, in characters.
    longest: usize,
    prefix: usize,
}

/// A hash table of ids: a power of two of slots, at most half of them full.
#[derive(Debug, Clone)]
struct Table {
    slots: Vec<u32>,
}

impl Vocab {
    /// Of tokens and ids. Of equal tokens the last one's id counts, as in the reference; `prefix` starts tokens that
    /// continue a word.
    pub(super) fn new<'a>(
        file: &str,
        prefix: &str,
        tokens: impl Iterator<Item = (&'a str, u32)>,
    ) -> Result<Self> {
        let wrong = |reason: String| Error::Vocabulary {
            file: file.to_owned(),
            reason,
        };
        let mut text = String::new();
        let mut spans: Vec<(u32, u32)> = Vec::new();
        let mut taken: Vec<bool> = Vec::new();
        let mut longest = 0;
        for (token, id) in tokens {
            if id > MAX_ID {
                return Err(wrong(format!("token {token:?} has id {id}, past {MAX_ID}")));
            }
            let index = id as usize;
            if index >= spans.len() {
                spans.resize(index + 1, (0, 0));
                taken.resize(index + 1, false);
            }
            if std::mem::replace(&mut taken[index], true) {
                return Err(wrong(format!(
                    "two tokens have id {id}, one of them {token:?}"
                )));
            }
            let start = text.len();
            text.push_str(token);
            let end = u32::try_from(text.len()).map_err(|_| wrong("4 GiB or more".to_owned()))?;
            spans[index] = (start as u32, end);
            longest = longest.max(token.chars().count());
        }
        if text.is_empty() {
            return Err(wrong("it has no token".to_owned()));
        }
        let mut vocab = Self {
            whole: Table::new(spans.len()),
            continuing: Table::new(spans.len()),
            text,
            spans,
            longest,
            prefix: prefix.len(),
        };
        for id in (0..vocab.spans.len() as u32).filter(|&id| taken[id as usize]) {
            let mut table = std::mem::take(&mut vocab.whole.slots);
            vocab.insert(&mut table, id, 0);
            vocab.whole.slots = table;
            if vocab.token_of(id).starts_with(prefix) {
                let mut table = std::mem::take(&mut vocab.continuing.slots);
                vocab.insert(&mut table, id, prefix.len());
                vocab.continuing.slots = table;
            }
        }
        Ok(vocab)
    }

    /// One more than the highest id.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The longest token, in characters.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The token of an id.
    pub(super) fn token(&self, id: u32) -> Option<&str> {
        let &(start, end) = self.spans.get(id as usize)?;
        (start < end).then(|| &self.text[start as usize..end as usize])
    }

    /// The id of a whole token.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.find(&self.whole, token, 0)
    }

    /// The id of the token that continues a word with these characters.
    pub(super) fn continuing_id(&self, rest: &str) -> Option<u32> {
        self.find(&self.continuing, rest, self.prefix)
    }

    fn token_of(&self, id: u32) -> &str {
        self.token(id).unwrap_or_default()
    }

    /// Puts an id into a table by its token from byte `skip` on; a later id takes an equal one's slot.
    fn insert(&self, slots: &mut [u32], id: u32, skip: usize) {
        let token = &self.token_of(id)[skip..];
        let mut slot = Table::first(slots, token);
        while slots[slot] != NONE && &self.token_of(slots[slot])[skip..] != token {
            slot = (slot + 1) & (slots.len() - 1);
        }
        slots[slot] = id;
    }

    fn find(&self, table: &Table, token: &str, skip: usize) -> Option<u32> {
        let slots = &table.slots;
        let mut slot = Table::first(slots, token);
        while slots[slot] != NONE {
            let id = slots[slot];
            if &self.token_of(id)[skip..] == token {
                return Some(id);
            }
            slot = (slot + 1) & (slots.len() - 1);
        }
        None
    }
}

impl Table {
    fn new(tokens: usize) -> Self {
        Self {
            slots: vec![NONE; (2 * tokens + 2).next_power_of_two()],
        }
    }

    /// The slot where the search for a token begins.
    fn first(slots: &[u32], token: &str) -> usize {
        // FNV-1a's mixing over words of eight bytes, with the high half folded in.
        let mut hash = 0xCBF2_9CE4_8422_2325u64 ^ token.len() as u64;
        let (words, rest) = token.as_bytes().as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        for word in words.iter().chain([&last]) {
            hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            hash ^= hash >> 32;
        }
        hash as usize & (slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocab(tokens: &[&str]) -> Result<Vocab> {
        Vocab::new("vocab.txt", "##", tokens.iter().copied().zip(0..))
    }

    #[test]
    fn both_ways() {
        let vocab = vocab(&["[UNK]", "a", "##a", "ab", "##b", "a"]).unwrap();
        assert_eq!(vocab.id("ab"), Some(3));
        assert_eq!(vocab.id("a"), Some(5)); // the last of two
        assert_eq!(vocab.id("##a"), Some(2));
        assert_eq!(vocab.continuing_id("b"), Some(4));
        assert_eq!(vocab.continuing_id("ab"), None);
        assert_eq!(vocab.token(3), Some("ab"));
        assert_eq!(vocab.token(6), None);
        assert_eq!((vocab.len(), vocab.longest()), (6, 5));
    }

    #[test]
    fn many_tokens_are_all_found() {
        let tokens: Vec<String> = (0..5000).map(|i| format!("##{}", i * 7919)).collect();
        let vocab = Vocab::new("v", "##", tokens.iter().map(String::as_str).zip(0..)).unwrap();
        for (id, token) in tokens.iter().enumerate() {
            assert_eq!(vocab.id(token), Some(id as u32));
            assert_eq!(vocab.continuing_id(&token[2..]), Some(id as u32));
        }
        assert_eq!(vocab.continuing_id("x"), None);
    }

    #[test]
    fn ids_that_cannot_be() {
        for tokens in [&[("a", 1), ("b", 1)][..], &[("a", u32::MAX)], &[]] {
            let error = Vocab::new("tokenizer.json", "##", tokens.iter().copied()).unwrap_err();
            assert!(matches!(error, Error::Vocabulary { .. }), "{error}");
        }
    }
}
