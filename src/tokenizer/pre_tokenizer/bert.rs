//! BERT's pre-tokenizer, in three paths: a fast path for ASCII words, which are found and lower-cased eight bytes at a
//! time; a cached path for characters whose normalised form is cached and independent of their neighbours; and the slow
//! path, through `normalize`.
//!
//! ASCII white space and punctuation end a word whatever the normalizer does, and no text after them depends on the
//! text before. So a text is cut there, and each piece takes the fastest path that can handle it.

use crate::tokenizer::model::wordpiece::WordPiece;
use crate::tokenizer::normalizer::char_cache::{CharAction, CharCache};
use crate::tokenizer::normalizer::{NormalizedChar, normalize};
use crate::tokenizer::swar::{ByteMask, LOWER, read};
use crate::tokenizer::vocab::key::{Key, Short};

/// Maximum length of an ASCII word on the fast path; a longer one takes the cached path.
const LONGEST: usize = 128;

/// Role of a byte in cutting a text into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByteClass {
    /// White space that ends a word.
    Space,
    /// A word of its own.
    Punctuation,
    /// Part of a word.
    Alphanumeric,
    /// A control, or part of a character that is not ASCII.
    Other,
}

static CLASSES: [ByteClass; 256] = classes();

const fn classes() -> [ByteClass; 256] {
    let mut classes = [ByteClass::Other; 256];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte as u8 {
            // Vertical tab and form feed are excluded: a normalizer that cleans removes them, for any other they are
            // spaces.
            b' ' | b'\t' | b'\n' | b'\r' => ByteClass::Space,
            byte if byte.is_ascii_punctuation() => ByteClass::Punctuation,
            byte if byte.is_ascii_alphanumeric() => ByteClass::Alphanumeric,
            _ => ByteClass::Other,
        };
        byte += 1;
    }
    classes
}

fn class(byte: u8) -> ByteClass {
    CLASSES[usize::from(byte)]
}

/// Whether a word ends before this byte.
fn cuts(byte: u8) -> bool {
    matches!(class(byte), ByteClass::Space | ByteClass::Punctuation)
}

/// Tokenizes a text without added tokens. `offset` is its position in the whole text.
pub(in crate::tokenizer) fn scan(
    text: &str,
    offset: u32,
    characters: &CharCache,
    pieces: &mut WordPiece<'_>,
) {
    let bytes = text.as_bytes();
    let case = if characters.normalizer().lowers() {
        LOWER
    } else {
        0
    };
    let mut word = [0; LONGEST + 8];
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        match class(byte) {
            ByteClass::Space => at += 1,
            ByteClass::Punctuation => {
                at += 1;
                pieces.push_short(Short::new([byte.into(), 0], 1), offset + start as u32);
            }
            ByteClass::Alphanumeric => {
                // Most words end in the first block of eight bytes, nearly all in the second.
                let first = read(bytes, start);
                let mut second = 0;
                let mut len = ByteMask::alphanumeric(first).leading_len();
                if len == 8 {
                    second = read(bytes, start + 8);
                    len += ByteMask::alphanumeric(second).leading_len();
                }
                let long = len == Short::MAX;
                if long {
                    len = copy_word(bytes, start, case, &mut word);
                }
                at += len;
                if bytes.get(at).is_some_and(|&next| !cuts(next)) || len > LONGEST {
                    at = cached_path(text, start, offset, characters, pieces);
                } else if long {
                    pieces.push_ascii(Key::new(&word, 0, len), offset + start as u32);
                } else {
                    let word = Short::new([first | case, second | case], len);
                    pieces.push_short(word, offset + start as u32);
                }
            }
            ByteClass::Other => at = cached_path(text, start, offset, characters, pieces),
        }
    }
}

/// Copies the letters and digits from `start` on into `word`, with the bits of `case` set, and counts them.
///
/// May stop counting after [`LONGEST`] bytes. Bytes of `word` past the count are unspecified.
fn copy_word(bytes: &[u8], start: usize, case: u64, word: &mut [u8; LONGEST + 8]) -> usize {
    let mut len = 0;
    for copy in word.as_chunks_mut::<8>().0 {
        let block = read(bytes, start + len);
        *copy = (block | case).to_le_bytes();
        let run = ByteMask::alphanumeric(block).leading_len();
        len += run;
        if run < 8 {
            break;
        }
    }
    len
}

/// Tokenizes the characters from `start` up to the next cut, by the cache of characters, and returns the position of
/// the cut.
fn cached_path(
    text: &str,
    start: usize,
    offset: u32,
    characters: &CharCache,
    pieces: &mut WordPiece<'_>,
) -> usize {
    // A combining mark affects only its own word, so the slow path starts again from the word's start.
    let mut word = start;
    for (at, c) in text[start..].char_indices() {
        let at = start + at;
        if u8::try_from(c).is_ok_and(cuts) {
            pieces.end_word();
            return at;
        }
        let end = at + c.len_utf8();
        let unit = |c| NormalizedChar {
            c,
            start: offset + at as u32,
            end: offset + end as u32,
        };
        match characters.action(c) {
            CharAction::Letter(c) => pieces.extend_word(unit(c)),
            CharAction::Letters => {
                let place = unit(c);
                normalize(characters.normalizer(), &text[at..end], 0, |unit| {
                    pieces.extend_word(NormalizedChar { c: unit.c, ..place })
                });
            }
            CharAction::Alone(c) => {
                pieces.end_word();
                pieces.push_alone(unit(c));
                word = end;
            }
            CharAction::Space => {
                pieces.end_word();
                word = end;
            }
            CharAction::Removed => {}
            CharAction::NeedsContext => {
                pieces.drop_word();
                return slow_path(text, word, offset, characters, pieces);
            }
        }
    }
    pieces.end_word();
    text.len()
}

/// Tokenizes any characters from `start` up to the next cut, through `normalize`, and returns the position of the cut.
#[cold]
fn slow_path(
    text: &str,
    start: usize,
    offset: u32,
    characters: &CharCache,
    pieces: &mut WordPiece<'_>,
) -> usize {
    let rest = text[start..].bytes();
    let end = start + rest.take_while(|&byte| !cuts(byte)).count();
    let offset = offset + start as u32;
    normalize(characters.normalizer(), &text[start..end], offset, |unit| {
        pieces.push(unit)
    });
    pieces.end_word();
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokenizer::model::Token;
    use crate::tokenizer::normalizer::Normalizer;
    use crate::tokenizer::readers::vocab_txt::lines;
    use crate::tokenizer::vocab::Vocab;

    const TOKENS: &str = "[UNK]\na\nb\nab\n##a\n##b\n##ab\n1\n##1\ne\n##e\né\n##é\nи\n##и\n.\n—\n中\n##\u{1161}\n\u{1112}\n##\u{11ab}\n\
        abababab\n##abababab\n##ababababababababab\n\u{301}\n##\u{301}\n##\u{302e}\nA\n##A\n\0\n##\0";

    /// Tokens of a text by the fastest paths, and by the slow path alone.
    fn both(text: &str, normalizer: Normalizer, max_characters: usize) -> [Vec<Token>; 2] {
        let vocab = Vocab::new("vocab.txt", "##", TOKENS.into(), lines(TOKENS)).unwrap();
        let mut short = WordPiece::new(&vocab, 0, max_characters, text.len());
        scan(text, 7, &CharCache::new(normalizer), &mut short);
        short.end_word();
        let mut long = WordPiece::new(&vocab, 0, max_characters, text.len());
        normalize(&normalizer, text, 7, |unit| long.push(unit));
        long.end_word();
        [short.tokens, long.tokens]
    }

    fn text() -> impl Strategy<Value = String> {
        let hard = prop::sample::select(vec![
            "a",
            "b",
            "ab",
            "B",
            "abababab",
            "1",
            " ",
            " ",
            "\t",
            "\u{b}",
            "\u{1c}",
            "\u{85}",
            "\u{3000}",
            ".",
            "—",
            "é",
            "É",
            "й",
            "İ",
            "中",
            "한",
            "≠",
            "\u{301}",
            "\u{323}",
            "\u{344}",
            "\u{302e}",
            "\u{f73}",
            "\u{200b}",
            "\0",
            "😀",
            "\u{20000}",
            "\u{93e}",
            "\u{2001}",
        ]);
        prop_oneof![
            any::<String>(),
            prop::collection::vec(hard, 0..60).prop_map(|pieces| pieces.concat()),
            "[abAB1 .é]{0,300}",
            "[abAB]{100,300}",
        ]
    }

    proptest! {
        #[test]
        fn the_shorter_ways_lead_where_the_long_one_does(
            text in text(),
            lower_first: bool,
            clean: bool,
            chinese: bool,
            strip_accents: Option<bool>,
            lower: bool,
            max_characters in prop::sample::select(vec![0, 1, 5, 100, 200]),
        ) {
            let normalizer = Normalizer { lower_first, clean, chinese, strip_accents, lower };
            let [short, long] = both(&text, normalizer, max_characters);
            prop_assert_eq!(short, long);
        }
    }
}
