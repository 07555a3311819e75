//! Ids of added tokens, assigned as `tokenizers` assigns them: the vocabulary's id, or a new one after it, whatever a
//! file says.

use std::collections::{BTreeMap, HashMap};

use super::entry::Entry;
use crate::tokenizer::added::AddedToken;
use crate::tokenizer::vocab::Vocab;

/// Added tokens with their ids.
#[derive(Debug)]
pub(super) struct Numbered<'a> {
    vocab: &'a Vocab,
    /// Counts the tokens of the vocabulary; called only if a token needs a new id.
    len: fn(&Vocab) -> usize,
    by_id: BTreeMap<u32, AddedToken>,
    ids: HashMap<String, u32>,
}

impl<'a> Numbered<'a> {
    /// Creates an empty set of added tokens.
    pub(super) fn new(vocab: &'a Vocab, len: fn(&Vocab) -> usize) -> Self {
        Self {
            vocab,
            len,
            by_id: BTreeMap::new(),
            ids: HashMap::new(),
        }
    }

    /// Adds tokens in order. A token that exists already is replaced.
    pub(super) fn add(&mut self, tokens: impl IntoIterator<Item = Entry>) {
        let highest = self.by_id.keys().next_back().copied();
        let mut next = None;
        for token in tokens.into_iter().filter(|token| !token.content.is_empty()) {
            let id = self.id(&token.content).unwrap_or_else(|| {
                let id = next.unwrap_or_else(|| {
                    let len = (self.len)(self.vocab) as u32;
                    highest.filter(|&id| id >= len).map_or(len, |id| id + 1)
                });
                next = Some(id + 1);
                id
            });
            self.ids.insert(token.content.clone(), id);
            let mut token = token.with_id(id);
            // A token that was special stays special.
            token.special |= self.by_id.get(&id).is_some_and(|there| there.special);
            self.by_id.insert(id, token);
        }
    }

    /// Returns the id of a token, added or in the vocabulary.
    pub(super) fn id(&self, content: &str) -> Option<u32> {
        let added = self.ids.get(content).copied();
        added.or_else(|| self.vocab.id(content))
    }

    /// Returns the content of an id, added or in the vocabulary.
    pub(super) fn content(&self, id: u32) -> Option<&str> {
        match self.by_id.get(&id) {
            Some(token) => Some(&token.content),
            None => self.vocab.token(id),
        }
    }

    /// Whether a token was added.
    pub(super) fn has(&self, content: &str) -> bool {
        self.ids.contains_key(content)
    }

    /// Returns all added tokens in the order of their ids.
    pub(super) fn finish(self) -> Vec<AddedToken> {
        self.by_id.into_values().collect()
    }
}
