//! The way through most text: words of ASCII are found and lower-cased eight bytes at a time.
//!
//! ASCII white space and punctuation end a word whatever the normalizer does, and nothing that follows them depends on
//! what came ahead. So a text is cut there, and only what lies between two such places and is not all letters and
//! digits takes the long way, by `normalize`, character by character.

use super::normalize::{Normalizer, normalize};
use super::table::{Key, read};
use super::wordpiece::WordPiece;

/// A longer word takes the long way.
const LONGEST: usize = 128;
/// A byte in each place of a block.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// What a byte means for cutting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// White space that ends a word.
    Space,
    /// A word of its own.
    Punctuation,
    /// Part of a word.
    Alphanumeric,
    /// A control, or part of a character that is not ASCII.
    Other,
}

static CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte as u8 {
            // Vertical tab and form feed are removed where the normalizer cleans, and elsewhere are spaces.
            b' ' | b'\t' | b'\n' | b'\r' => Class::Space,
            byte if byte.is_ascii_punctuation() => Class::Punctuation,
            byte if byte.is_ascii_alphanumeric() => Class::Alphanumeric,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
}

fn class(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

/// Makes tokens of a text without added tokens; `offset` is where it starts in the whole text.
pub(super) fn scan(text: &str, offset: u32, normalizer: &Normalizer, pieces: &mut WordPiece<'_>) {
    let bytes = text.as_bytes();
    let lower = normalizer.lower || normalizer.lower_first;
    let mut word = [0; LONGEST + 8];
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        match class(byte) {
            Class::Space => at += 1,
            Class::Punctuation => {
                at += 1;
                pieces.push_ascii(Key::new(bytes, start, at), offset + start as u32);
            }
            Class::Alphanumeric => {
                let len = copy_word(bytes, at, lower, &mut word);
                at += len;
                let ends = bytes
                    .get(at)
                    .is_none_or(|&next| matches!(class(next), Class::Space | Class::Punctuation));
                if ends && len <= LONGEST {
                    pieces.push_ascii(Key::new(&word, 0, len), offset + start as u32);
                } else {
                    at = long_way(text, start, offset, normalizer, pieces);
                }
            }
            Class::Other => at = long_way(text, start, offset, normalizer, pieces),
        }
    }
}

/// Copies the letters and digits from `start` on into `word`, in lower case if `lower` says so, and counts them.
///
/// Of more than [`LONGEST`] not all need be counted; past the last one, `word` is anything.
#[inline]
fn copy_word(bytes: &[u8], start: usize, lower: bool, word: &mut [u8; LONGEST + 8]) -> usize {
    // Letters are lower-cased by this bit, and digits have it.
    let case = if lower { 0x20 * ONES } else { 0 };
    for (index, copy) in word.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let block = read(bytes, start + 8 * index);
        *copy = (block | case).to_le_bytes();
        let others = !alphanumerics(block) & HIGH;
        if others != 0 {
            return 8 * index + others.trailing_zeros() as usize / 8;
        }
    }
    LONGEST + 8
}

/// The high bit of each byte that is an ASCII letter or digit.
#[inline]
fn alphanumerics(block: u64) -> u64 {
    // Without their high bits, bytes can be compared by sums that stay inside them.
    let low = block & !HIGH;
    let at_least = |bytes: u64, least: u8| bytes + u64::from(0x80 - least) * ONES;
    let between =
        |bytes: u64, first: u8, last: u8| at_least(bytes, first) & !at_least(bytes, last + 1);
    let letters = between(low | 0x20 * ONES, b'a', b'z');
    let digits = between(low, b'0', b'9');
    (letters | digits) & !block & HIGH
}

/// Makes tokens of the characters from `start` up to the next place to cut, which is returned.
#[cold]
fn long_way(
    text: &str,
    start: usize,
    offset: u32,
    normalizer: &Normalizer,
    pieces: &mut WordPiece<'_>,
) -> usize {
    let rest = text[start..].bytes();
    let len = rest
        .take_while(|&byte| matches!(class(byte), Class::Alphanumeric | Class::Other))
        .count();
    let end = start + len;
    let offset = offset + start as u32;
    normalize(normalizer, &text[start..end], offset, |unit| {
        pieces.push(unit)
    });
    pieces.end_word();
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_digits_are_told_from_all_other_bytes() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                for around in [0x00, 0xFF, b'a', b'/'] {
                    let mut block = [around; 8];
                    block[place] = byte;
                    let found = alphanumerics(u64::from_le_bytes(block)).to_le_bytes();
                    for (byte, found) in block.iter().zip(found) {
                        assert_eq!(found, u8::from(byte.is_ascii_alphanumeric()) << 7);
                    }
                }
            }
        }
    }
}
