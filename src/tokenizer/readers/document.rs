//! Small JSON files of settings. Keeps keys in the order of the file, because new tokens get their ids in that order.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, Result};
use crate::tokenizer::quote::cut;
use crate::weights::{ModelFiles, join_within};

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Flag(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Object),
}

/// A JSON object: keys and values in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Object(Vec<(String, Json)>);

impl Object {
    /// Returns the value of a key; for a duplicate key, the last value.
    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        let mut entries = self.0.iter().rev();
        entries.find(|(name, _)| name == key).map(|(_, json)| json)
    }

    /// All keys and values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(key, json)| (key.as_str(), json))
    }
}

/// A JSON file whose value is an object, with the file's name for errors.
#[derive(Debug, Clone, Default)]
pub(super) struct Document {
    file: String,
    object: Object,
}

impl Document {
    /// Reads a file of a model's `folder`; `None` if the file does not exist.
    ///
    /// # Errors
    /// `Json` for a file that is not a JSON object, `Io` for one that cannot be read.
    pub(super) fn read(files: &ModelFiles, folder: &str, name: &str) -> Result<Option<Self>> {
        let file = join_within(folder, name, name)?;
        let Some(bytes) = files.read(&file)? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(object) => Ok(Some(Self { file, object })),
            Err(cause) => Err(Error::Json { file, cause }),
        }
    }

    /// Path of the file inside the model's folder.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// All keys and values.
    pub(super) fn object(&self) -> &Object {
        &self.object
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        self.object.get(key)
    }

    /// Returns the string under a key; `None` for a key that is absent, `null` or empty.
    ///
    /// # Errors
    /// `Config` for a value of another type.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(other) => Err(self.wrong(key, format!("{other} is not a string"))),
        }
    }

    /// Returns the boolean under a key; `None` for a key that is absent or `null`.
    ///
    /// # Errors
    /// `Config` for a value of another type.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Flag(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.wrong(key, format!("{other} is neither true nor false"))),
        }
    }

    /// Returns the number under a key; `None` for a key that is absent or `null`.
    ///
    /// # Errors
    /// `Config` for a value of another type.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Number(number)) => Ok(Some(*number)),
            Some(other) => Err(self.wrong(key, format!("{other} is not a number"))),
        }
    }

    /// Error for an invalid value of a key.
    pub(super) fn wrong(&self, key: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Config {
            file: self.file.clone(),
            key: cut(&key.into()),
            reason: reason.into(),
        }
    }
}

/// Shows a value as errors quote it: lists and objects are not spelt out.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{:?}", cut(text)),
            Self::List(_) => f.write_str("a list"),
            Self::Object(_) => f.write_str("an object"),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Json, A::Error> {
        ObjectVisitor.visit_map(map).map(Json::Object)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_in_order_and_the_last_of_equals_counts() {
        let json = r#"{"b": [1, -2.5, null], "a": {"é": true}, "b": "x"}"#;
        let object: Object = serde_json::from_str(json).unwrap();
        let keys: Vec<&str> = object.entries().map(|(key, _)| key).collect();
        assert_eq!(keys, ["b", "a", "b"]);
        assert_eq!(object.get("b"), Some(&Json::Text("x".to_owned())));
        assert_eq!(object.get("c"), None);
        for wrong in ["3", "[]", "null", r#"{"a": }"#] {
            assert!(serde_json::from_str::<Object>(wrong).is_err(), "{wrong}");
        }
    }
}
