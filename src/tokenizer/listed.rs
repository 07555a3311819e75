//! Vocabularies as files list them: a token a line, or a JSON map. Each is read in one pass, into one text.

use std::borrow::Cow;
use std::fmt;
use std::str::Utf8Error;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::blocks::{Marked, read};

/// The file that has a vocabulary alone.
pub(super) const VOCAB: &str = "vocab.txt";

/// Where a token starts and ends.
pub(super) type Span = [u32; 2];

/// The text that bytes are.
pub(super) fn text(bytes: Cow<'static, [u8]>) -> Result<Cow<'static, str>, Utf8Error> {
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
pub(super) fn lines(text: &str) -> Vec<Span> {
    let bytes = text.as_bytes();
    // A token and its line's end take six bytes at the least in all but small vocabularies.
    let mut spans = Vec::with_capacity(bytes.len() / 6);
    let mut start = 0;
    for from in (0..bytes.len()).step_by(8) {
        let block = read(bytes, from);
        for end in Marked::equal(block, b'\n').map(|place| from + place) {
            spans.push(trimmed(text, start, end));
            start = end + 1;
        }
    }
    if start < bytes.len() {
        spans.push(trimmed(text, start, bytes.len()));
    }
    spans
}

/// Where a line's token is.
fn trimmed(text: &str, start: usize, end: usize) -> Span {
    let is_plain = |byte: &u8| byte.is_ascii_graphic();
    let end = match text.as_bytes()[start..end].last() {
        Some(last) if !is_plain(last) => start + text[start..end].trim_end().len(),
        _ => end,
    };
    [start as u32, end as u32]
}

/// The vocabulary of a `tokenizer.json`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// Tokens and their ids.
    Map {
        /// All tokens, in the order of the file.
        text: String,
        /// Where they are in it.
        spans: Vec<Span>,
        /// Their ids.
        ids: Vec<u32>,
    },
    /// No map: another kind of model has other vocabularies.
    Other,
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListedVisitor)
    }
}

struct ListedVisitor;

impl<'de> Visitor<'de> for ListedVisitor {
    type Value = Listed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tokens and ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed, A::Error> {
        // BERT's own vocabularies fit; memory that is not touched costs nothing.
        let (mut spans, mut ids) = (Vec::with_capacity(1 << 15), Vec::with_capacity(1 << 15));
        let mut text = String::with_capacity(1 << 18);
        while let Some(span) = map.next_key_seed(Append(&mut text))? {
            spans.push(span);
            ids.push(map.next_value()?);
        }
        Ok(Listed::Map { text, spans, ids })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listed, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Listed::Other)
    }
}

/// Adds a string to the text that all tokens share.
struct Append<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = Span;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Span, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Append<'_> {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token")
    }

    fn visit_str<E>(self, token: &str) -> Result<Span, E> {
        let start = self.0.len();
        self.0.push_str(token);
        // Wrong from 4 GiB on, which the vocabulary refuses.
        Ok([start as u32, self.0.len() as u32])
    }
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

    #[test]
    fn a_map_is_read_in_its_order() {
        let listed: Listed = serde_json::from_str(r#"{"b": 1, "\u00e9\n": 0, "": 7}"#).unwrap();
        let expected = Listed::Map {
            text: "bé\n".to_owned(),
            spans: vec![[0, 1], [1, 4], [4, 4]],
            ids: vec![1, 0, 7],
        };
        assert_eq!(listed, expected);
        let list = serde_json::from_str::<Listed>(r#"[["a", -1.5]]"#);
        assert_eq!(list.unwrap(), Listed::Other);
        assert!(serde_json::from_str::<Listed>(r#"{"a": -1}"#).is_err());
        assert!(serde_json::from_str::<Listed>("7").is_err());
    }
}
