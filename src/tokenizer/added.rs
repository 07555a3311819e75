//! Added tokens: matched in a text as whole strings, before it is cut into words.

use super::swar::{ByteMask, read};
use super::unicode;

/// Added token with its flags, named as in `tokenizers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedToken {
    pub(super) content: String,
    pub(super) id: u32,
    /// Whether it matches only between characters that are not part of a word.
    pub(super) single_word: bool,
    /// Whether a match includes the white space before it.
    pub(super) lstrip: bool,
    /// Whether a match includes the white space after it.
    pub(super) rstrip: bool,
    /// Whether it is matched in the normalised text instead of the original.
    pub(super) normalized: bool,
    pub(super) special: bool,
    /// Whether a match is tokenized like any other text instead of becoming this token.
    pub(super) split: bool,
}

/// Set of added tokens that are matched together.
#[derive(Debug, Clone, Default)]
pub(super) struct AddedTokens {
    /// Strings to match, each with its token; longest first.
    patterns: Vec<(String, AddedToken)>,
    /// First bytes of all patterns, without duplicates.
    starts: Vec<u8>,
}

/// A piece of a text: an added token, or the text between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// Id of the added token; `None` for text between tokens.
    pub(super) id: Option<u32>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl AddedTokens {
    /// Builds the set from tokens, each with its string in the texts to be searched.
    pub(super) fn new(patterns: impl Iterator<Item = (String, AddedToken)>) -> Self {
        let mut patterns: Vec<_> = patterns
            .filter(|(pattern, _)| !pattern.is_empty())
            .collect();
        patterns.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.len()));
        let mut starts: Vec<u8> = patterns
            .iter()
            .map(|(pattern, _)| pattern.as_bytes()[0])
            .collect();
        starts.sort_unstable();
        starts.dedup();
        Self { patterns, starts }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Calls `piece` with each piece of a text, in order. Where several tokens match at a position, the longest one
    /// wins.
    pub(super) fn split(&self, text: &str, mut piece: impl FnMut(Piece)) {
        let mut done = 0; // end of the text that `piece` has seen
        let mut at = 0;
        while let Some((start, token, len)) = self.next(text, at) {
            at = start + len;
            if token.split {
                continue;
            }
            let (before, after) = (&text[..start], &text[at..]);
            if token.single_word {
                let touched = before.chars().next_back().is_some_and(unicode::is_word)
                    || after.chars().next().is_some_and(unicode::is_word);
                if touched {
                    continue;
                }
            }
            let (mut start, mut end) = (start, at);
            if token.lstrip {
                start = before.trim_end().len().max(done);
            }
            if token.rstrip {
                end += after.len() - after.trim_start().len();
            }
            if done < start {
                piece(Piece {
                    id: None,
                    start: done,
                    end: start,
                });
            }
            // White space that the token before included cannot be included again.
            let start = start.max(done);
            if start < end {
                piece(Piece {
                    id: Some(token.id),
                    start,
                    end,
                });
            }
            done = done.max(end);
        }
        if done < text.len() {
            piece(Piece {
                id: None,
                start: done,
                end: text.len(),
            });
        }
    }

    /// Finds the first token at or after `from`: its start, the token, and the length of its pattern.
    fn next(&self, text: &str, from: usize) -> Option<(usize, &AddedToken, usize)> {
        if self.is_empty() {
            return None;
        }
        let bytes = text.as_bytes();
        let here = |at: usize| {
            let mut patterns = self.patterns.iter();
            let (pattern, token) =
                patterns.find(|(pattern, _)| bytes[at..].starts_with(pattern.as_bytes()))?;
            Some((at, token, pattern.len()))
        };
        (from..bytes.len())
            .step_by(8)
            .flat_map(|at| {
                self.positions(read(bytes, at))
                    .map(move |position| at + position)
            })
            .filter(|&at| at < bytes.len())
            .find_map(here)
    }

    /// Positions in a block of eight bytes where a pattern may start.
    fn positions(&self, block: u64) -> ByteMask {
        let starts = self.starts.iter();
        starts
            .map(|&byte| ByteMask::equal(block, byte))
            .fold(ByteMask::default(), ByteMask::or)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(content: &str, id: u32) -> AddedToken {
        AddedToken {
            content: content.to_owned(),
            id,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: true,
            split: false,
        }
    }

    fn split(tokens: Vec<AddedToken>, text: &str) -> Vec<(Option<u32>, &str)> {
        let tokens = AddedTokens::new(tokens.into_iter().map(|t| (t.content.clone(), t)));
        let mut pieces = Vec::new();
        tokens.split(text, |piece| {
            pieces.push((piece.id, &text[piece.start..piece.end]))
        });
        pieces
    }

    #[test]
    fn the_longest_counts() {
        let tokens = vec![token("<a>", 1), token("<a>b", 2)];
        assert_eq!(
            split(tokens, "x<a>b<a>"),
            [(None, "x"), (Some(2), "<a>b"), (Some(1), "<a>")]
        );
        assert_eq!(split(vec![], "x"), [(None, "x")]);
        assert_eq!(split(vec![], ""), []);
    }

    #[test]
    fn white_space_is_taken_in_on_request() {
        let mut left = token("<m>", 1);
        left.lstrip = true;
        assert_eq!(
            split(vec![left.clone()], "a  <m> b"),
            [(None, "a"), (Some(1), "  <m>"), (None, " b")]
        );
        left.rstrip = true;
        assert_eq!(
            split(vec![left], "a <m> <m>b"),
            [
                (None, "a"),
                (Some(1), " <m> "),
                (Some(1), "<m>"),
                (None, "b")
            ]
        );
    }

    #[test]
    fn a_single_word_is_not_found_inside_another() {
        let mut single = token("ab", 1);
        single.single_word = true;
        assert_eq!(
            split(vec![single.clone()], "abc ab"),
            [(None, "abc "), (Some(1), "ab")]
        );
        // As `tokenizers` 0.23 has it.
        for (text, found) in [
            ("ab_", false),
            ("_ab", false),
            ("ab\u{301}", false),
            ("ab\u{200D}", false),
            ("ab\u{203F}", false),
            ("éab", false),
            ("ab\u{663}", false),
            ("ab\u{2044}", true),
            ("ab-", true),
        ] {
            let pieces = split(vec![single.clone()], text);
            assert_eq!(pieces.contains(&(Some(1), "ab")), found, "{text:?}");
        }
    }
}
