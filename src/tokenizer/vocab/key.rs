//! Look-up keys: hashing pieces of text, and comparing them with tokens.

use super::token_spans::TokenSpan;
use crate::tokenizer::swar::{low_bytes, read};

/// Constants that keep products of blocks from being zero.
const SEEDS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93];

/// Mixes two blocks into one: the halves of their 128-bit product, combined.
#[inline]
fn mix(first: u64, second: u64) -> u64 {
    let product = u128::from(first ^ SEEDS[0]) * u128::from(second ^ SEEDS[1]);
    (product >> 64) as u64 ^ product as u64
}

/// Piece of at most sixteen bytes, as most tokens and words are, in two integers padded with zeros.
#[derive(Debug, Clone, Copy)]
pub(in crate::tokenizer) struct Short {
    blocks: [u64; 2],
    len: usize,
}

impl Short {
    /// Maximum length in bytes.
    pub(in crate::tokenizer) const MAX: usize = 16;

    /// Creates a piece from the first `len` bytes of two blocks.
    #[inline]
    pub(in crate::tokenizer) fn new(blocks: [u64; 2], len: usize) -> Self {
        let [first, second] = blocks;
        let blocks = [
            first & low_bytes(len),
            second & low_bytes(len.saturating_sub(8)),
        ];
        Self { blocks, len }
    }

    pub(in crate::tokenizer) fn len(self) -> usize {
        self.len
    }

    /// Bytes of the piece, padded with zeros so that whole blocks can be read from any of them.
    pub(in crate::tokenizer) fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.blocks[0].to_le_bytes());
        bytes[8..16].copy_from_slice(&self.blocks[1].to_le_bytes());
        bytes
    }

    /// Whether the piece equals the bytes of a text at `span`, without the first `skip` of them.
    #[inline]
    pub(super) fn is(self, text: &[u8], span: TokenSpan, skip: usize) -> bool {
        let from = span.start as usize + skip;
        self.len + skip == span.len as usize
            && read(text, from) & low_bytes(self.len) == self.blocks[0]
            && (self.len <= 8 || read(text, from + 8) & low_bytes(self.len - 8) == self.blocks[1])
    }

    #[inline]
    pub(in crate::tokenizer) fn hash(self) -> u64 {
        mix(self.blocks[0], self.blocks[1])
    }
}

/// Piece of a text, in bytes.
///
/// It is read in blocks; bytes of the text past the end of the piece are masked out.
#[derive(Debug, Clone, Copy)]
pub(in crate::tokenizer) struct Key<'a> {
    text: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Key<'a> {
    /// Creates the piece `start..end` of `text`.
    #[inline]
    pub(in crate::tokenizer) fn new(text: &'a [u8], start: usize, end: usize) -> Self {
        Self { text, start, end }
    }

    /// Length in bytes.
    #[inline]
    pub(in crate::tokenizer) fn len(self) -> usize {
        self.end - self.start
    }

    /// First two bytes, padded with zeros.
    #[inline]
    pub(in crate::tokenizer) fn first_two(self) -> [u8; 2] {
        let [first, second, ..] = self.block(0).to_le_bytes();
        [first, second]
    }

    /// First two blocks, including bytes of the text past the end of the piece.
    #[inline]
    pub(in crate::tokenizer) fn blocks(self) -> [u64; 2] {
        [read(self.text, self.start), read(self.text, self.start + 8)]
    }

    /// Whether the first `len` bytes end at a character boundary of UTF-8.
    #[inline]
    pub(in crate::tokenizer) fn is_boundary(self, len: usize) -> bool {
        let at = self.start + len;
        at >= self.end || self.text[at] & 0xC0 != 0x80
    }

    /// First `len` bytes of the piece.
    pub(in crate::tokenizer) fn cut(self, len: usize) -> Self {
        Self {
            end: self.start + len,
            ..self
        }
    }

    /// Piece without its first `len` bytes.
    #[inline]
    pub(in crate::tokenizer) fn skip(self, len: usize) -> Self {
        Self {
            start: self.start + len,
            ..self
        }
    }

    /// Whether the piece equals the bytes of another text at `span`, without the first `skip` of them.
    pub(super) fn is(self, text: &[u8], span: TokenSpan, skip: usize) -> bool {
        let start = span.start as usize;
        let other = Key::new(text, start + skip, start + span.len as usize);
        self.len() + skip == span.len as usize
            && (0..self.len())
                .step_by(8)
                .all(|at| self.block(at) == other.block(at))
    }

    /// Hash of the piece, sixteen bytes at a time, so that most tokens need no branch. Equals the hash of [`Short`] for
    /// a piece of at most sixteen bytes.
    #[inline]
    pub(in crate::tokenizer) fn hash(self) -> u64 {
        let mut hash = mix(self.block(0), self.block(8));
        let mut at = 16;
        while at < self.len() {
            hash = mix(hash ^ self.block(at), self.block(at + 8));
            at += 16;
        }
        hash
    }

    /// Reads the eight bytes from `at`; bytes past the end are read as zeros.
    #[inline]
    fn block(self, at: usize) -> u64 {
        let from = self.start + at;
        read(self.text, from) & low_bytes(self.end.saturating_sub(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packed files hold tables that are built with these hashes.
    #[test]
    fn hashes_are_those_of_packed_files() {
        let text = "a word of fifty bytes, give or take one or two ones".as_bytes();
        for (len, hash) in [
            (1, 0x8952_ED58_5372_FB36),
            (8, 0x11DA_D18F_0BC4_6637),
            (16, 0x01B0_5BF8_8803_69EC),
            (17, 0x3AB5_6265_5351_A7B5),
            (51, 0xA1B4_521F_4E3F_1F25),
        ] {
            assert_eq!(Key::new(text, 0, len).hash(), hash, "{len}");
        }
    }

    #[test]
    fn a_piece_hashes_the_same_in_whatever_form_and_place() {
        let text = "a word of fifty bytes, give or take one or two ones".as_bytes();
        for start in 0..8 {
            for end in start + 1..=text.len() {
                let key = Key::new(text, start, end);
                let alone = Key::new(&text[start..end], 0, end - start);
                assert_eq!(key.hash(), alone.hash());
                let span = |start: usize, end: usize| TokenSpan {
                    start: start as u32,
                    len: (end - start) as u32,
                };
                assert!(key.is(text, span(start, end), 0));
                assert!(!key.is(text, span(start + 1, end + 1), 0));
                if key.len() <= Short::MAX {
                    let short = Short::new(key.blocks(), key.len());
                    assert_eq!(short.hash(), key.hash());
                    assert_eq!(short.bytes()[..key.len()], text[start..end]);
                    assert!(short.is(text, span(0, end), start));
                    assert!(!short.is(text, span(0, end + 1), start));
                }
            }
        }
    }
}
