//! The vocabulary of a `tokenizer.json`, read in one pass into one text.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::tokenizer::vocab::ByteSpan;

/// The vocabulary of a `tokenizer.json`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum VocabJson {
    /// Tokens and their ids.
    Map {
        /// All tokens, concatenated in the order of the file.
        text: String,
        /// Span of each token in `text`.
        spans: Vec<ByteSpan>,
        /// Id of each token.
        ids: Vec<u32>,
    },
    /// A value that is not a map, as in models other than WordPiece.
    Other,
}

impl<'de> Deserialize<'de> for VocabJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VocabJsonVisitor)
    }
}

struct VocabJsonVisitor;

impl<'de> Visitor<'de> for VocabJsonVisitor {
    type Value = VocabJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tokens and ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VocabJson, A::Error> {
        // Fits BERT's own vocabularies; memory that is never touched costs nothing.
        let (mut spans, mut ids) = (Vec::with_capacity(1 << 15), Vec::with_capacity(1 << 15));
        let mut text = String::with_capacity(1 << 18);
        while let Some(span) = map.next_key_seed(Append(&mut text))? {
            spans.push(span);
            ids.push(map.next_value()?);
        }
        Ok(VocabJson::Map { text, spans, ids })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<VocabJson, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(VocabJson::Other)
    }
}

/// Adds a string to the text that all tokens share.
struct Append<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ByteSpan;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ByteSpan, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Append<'_> {
    type Value = ByteSpan;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token")
    }

    fn visit_str<E>(self, token: &str) -> Result<ByteSpan, E> {
        let start = self.0.len();
        self.0.push_str(token);
        // The casts truncate from 4 GiB on, which the vocabulary refuses.
        Ok([start as u32, self.0.len() as u32])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_in_its_order() {
        let listed: VocabJson = serde_json::from_str(r#"{"b": 1, "\u00e9\n": 0, "": 7}"#).unwrap();
        let expected = VocabJson::Map {
            text: "bé\n".to_owned(),
            spans: vec![[0, 1], [1, 4], [4, 4]],
            ids: vec![1, 0, 7],
        };
        assert_eq!(listed, expected);
        let list = serde_json::from_str::<VocabJson>(r#"[["a", -1.5]]"#);
        assert_eq!(list.unwrap(), VocabJson::Other);
        assert!(serde_json::from_str::<VocabJson>(r#"{"a": -1}"#).is_err());
        assert!(serde_json::from_str::<VocabJson>("7").is_err());
    }
}
