//! `vocab.txt`: one token per line.

use std::borrow::Cow;
use std::str::Utf8Error;

use crate::error::{Error, Result};
use crate::tokenizer::model::wordpiece::PREFIX;
use crate::tokenizer::swar::{ByteMask, read as read_block};
use crate::tokenizer::vocab::{ByteSpan, Vocab};
use crate::weights::{ModelFiles, join_within};

/// Name of the file that holds only a vocabulary.
pub(super) const VOCAB: &str = "vocab.txt";

/// Reads the vocabulary of `vocab.txt`, or that of the packed file.
pub(super) fn read(files: &ModelFiles, folder: &str) -> Result<Vocab> {
    if let Some(vocab) = Vocab::stored(files, PREFIX) {
        return vocab;
    }
    let file = join_within(folder, VOCAB, VOCAB)?;
    let bytes = files.require(&file, "tokenizer.json and no vocab.txt")?;
    let text = text(bytes).map_err(|error| Error::Vocabulary {
        file: file.clone(),
        reason: format!("it is not UTF-8 at byte {}", error.valid_up_to()),
    })?;
    let spans = lines(&text);
    Vocab::new(&file, PREFIX, text, spans)
}

/// Converts bytes to text.
fn text(bytes: Cow<'static, [u8]>) -> Result<Cow<'static, str>, Utf8Error> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed),
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(error) => Err(error.utf8_error()),
        },
    }
}

/// Finds the tokens of `vocab.txt`: one a line, without the white space at the line's end.
///
/// Only a line feed ends a line, as in `tokenizers`.
pub(in crate::tokenizer) fn lines(text: &str) -> Vec<ByteSpan> {
    let bytes = text.as_bytes();
    // A token and its line end take at least six bytes on average, except in small vocabularies.
    let mut spans = Vec::with_capacity(bytes.len() / 6);
    let mut start = 0;
    for from in (0..bytes.len()).step_by(8) {
        let block = read_block(bytes, from);
        for end in ByteMask::equal(block, b'\n').map(|position| from + position) {
            spans.push(trimmed(text, start, end));
            start = end + 1;
        }
    }
    if start < bytes.len() {
        spans.push(trimmed(text, start, bytes.len()));
    }
    spans
}

/// Span of a line's token, without the white space at its end.
fn trimmed(text: &str, start: usize, end: usize) -> ByteSpan {
    let is_plain = |byte: &u8| byte.is_ascii_graphic();
    let end = match text.as_bytes()[start..end].last() {
        Some(last) if !is_plain(last) => start + text[start..end].trim_end().len(),
        _ => end,
    };
    [start as u32, end as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_feed_ends_a_line_and_white_space_ahead_of_it_goes() {
        let of = |text: &'static str| -> Vec<&str> {
            let spans = lines(text).into_iter();
            spans
                .map(|[start, end]| &text[start as usize..end as usize])
                .collect()
        };
        assert_eq!(of("a\nb\r\nc\rd\n\ne"), ["a", "b", "c\rd", "", "e"]);
        assert_eq!(of("a\r\r\n\n"), ["a", ""]);
        assert_eq!(of(" a \t\u{3000}\né\u{85}\n \nz "), [" a", "é", "", "z"]);
        assert_eq!(of(""), [""; 0]);
    }
}
