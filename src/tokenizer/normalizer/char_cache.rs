//! Cache of the normalised form of each character: normalisation takes many steps, and texts repeat their characters.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Normalizer, normalize};
use crate::tokenizer::unicode;

/// Characters below this code point are cached: all scripts in use, and emoji.
const END: usize = 0x2_0000;
/// Number of neighbouring characters whose cache entries are allocated together.
const BLOCK: usize = 256;

/// Result of normalising a character that no combining mark follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tokenizer) enum CharAction {
    /// Depends on the characters before or after it.
    NeedsContext,
    /// A character that is part of a word.
    Letter(char),
    /// Several characters that are part of a word.
    Letters,
    /// A character that is a word of its own.
    Alone(char),
    /// White space.
    Space,
    /// Nothing: the character is removed.
    Removed,
}

/// Normalizer with a cache of the characters it has seen.
#[derive(Debug)]
pub(in crate::tokenizer) struct CharCache {
    normalizer: Normalizer,
    /// Results in the encoding of [`CharAction::pack`]; 0 if not computed yet.
    blocks: Box<[OnceLock<Box<[AtomicU32; BLOCK]>>]>,
}

impl Clone for CharCache {
    fn clone(&self) -> Self {
        Self::new(self.normalizer)
    }
}

impl CharCache {
    pub(in crate::tokenizer) fn new(normalizer: Normalizer) -> Self {
        let blocks = (0..END / BLOCK).map(|_| OnceLock::new()).collect();
        Self { normalizer, blocks }
    }

    pub(in crate::tokenizer) fn normalizer(&self) -> &Normalizer {
        &self.normalizer
    }

    /// Returns the result for a character, from the cache if it has it.
    #[inline]
    pub(in crate::tokenizer) fn action(&self, c: char) -> CharAction {
        let code = c as usize;
        let Some(block) = self.blocks.get(code / BLOCK) else {
            return self.classify(c);
        };
        let block = block.get_or_init(|| Box::new([const { AtomicU32::new(0) }; BLOCK]));
        // All threads compute the same value, so relaxed ordering is enough.
        let known = &block[code % BLOCK];
        match known.load(Ordering::Relaxed) {
            0 => {
                let action = self.classify(c);
                known.store(action.pack(), Ordering::Relaxed);
                action
            }
            packed => CharAction::unpack(packed),
        }
    }

    #[cold]
    fn classify(&self, c: char) -> CharAction {
        if self.normalizer.strips() && self.starts_with_mark(c) {
            return CharAction::NeedsContext;
        }
        let mut text = [0; 4];
        let mut units = Vec::new();
        normalize(&self.normalizer, c.encode_utf8(&mut text), 0, |unit| {
            units.push(unit.c)
        });
        let ends_word = |c: &char| c.is_whitespace() || unicode::is_punctuation(*c);
        match units[..] {
            [] => CharAction::Removed,
            [c] if c.is_whitespace() => CharAction::Space,
            [c] if unicode::is_punctuation(c) => CharAction::Alone(c),
            [c] => CharAction::Letter(c),
            [' ', c, ' '] if !c.is_whitespace() => CharAction::Alone(c),
            _ if units.iter().any(ends_word) => CharAction::NeedsContext,
            _ => CharAction::Letters,
        }
    }

    /// Whether the decomposition of `c` starts with a mark, which canonical ordering may move ahead of other marks.
    fn starts_with_mark(&self, c: char) -> bool {
        let mut first = None;
        let mut see = |c| unicode::decompose(c, |c| first = first.or(Some(c)));
        if self.normalizer.lower_first {
            unicode::lower(c, see)
        } else {
            see(c)
        }
        first.is_some_and(|c| unicode::combining_class(c) != 0)
    }
}

impl CharAction {
    /// Encodes the result as a non-zero integer: the variant in the three lowest bits, the character above them.
    fn pack(self) -> u32 {
        match self {
            Self::NeedsContext => 1,
            Self::Letters => 2,
            Self::Space => 3,
            Self::Removed => 4,
            Self::Letter(c) => u32::from(c) << 3 | 5,
            Self::Alone(c) => u32::from(c) << 3 | 6,
        }
    }

    #[inline]
    fn unpack(packed: u32) -> Self {
        let c = char::from_u32(packed >> 3);
        match (packed & 7, c) {
            (5, Some(c)) => Self::Letter(c),
            (6, Some(c)) => Self::Alone(c),
            (2, _) => Self::Letters,
            (3, _) => Self::Space,
            (4, _) => Self::Removed,
            _ => Self::NeedsContext,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_of_an_uncased_text_are_remembered() {
        let uncased = Normalizer {
            clean: true,
            chinese: true,
            strip_accents: None,
            lower: true,
            ..Normalizer::NONE
        };
        let characters = CharCache::new(uncased);
        for (c, action) in [
            ('a', CharAction::Letter('a')),
            ('É', CharAction::Letter('e')),
            ('й', CharAction::Letter('и')),
            ('中', CharAction::Alone('中')),
            ('—', CharAction::Alone('—')),
            ('\u{3000}', CharAction::Space),
            ('\u{200B}', CharAction::Removed),
            ('\u{301}', CharAction::NeedsContext),
            ('한', CharAction::Letters),
            ('😀', CharAction::Letter('😀')),
            ('\u{20000}', CharAction::Alone('\u{20000}')),
        ] {
            assert_eq!(characters.action(c), action, "{c:?}");
            assert_eq!(characters.action(c), action, "{c:?} again");
            assert_eq!(CharAction::unpack(action.pack()), action, "{c:?} packed");
        }
    }

    #[test]
    fn actions_follow_the_normalizer() {
        let characters = CharCache::new(Normalizer::NONE);
        for c in ['É', '\u{301}', '한', '中', '\u{200B}'] {
            assert_eq!(characters.action(c), CharAction::Letter(c));
        }
    }
}
