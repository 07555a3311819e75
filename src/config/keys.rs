//! One JSON file of settings, read key by key.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The keys of a JSON object, with the name of the file for errors.
///
/// A key that is absent, or `null`, takes the default that the reference implementation gives it, or is an error where it
/// is one that is always written; a key that is there with a value that cannot be is an error which names it.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    file: String,
    map: Map<String, Value>,
}

impl Keys {
    /// Reads a file's bytes.
    pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Self> {
        let map = serde_json::from_slice(bytes).map_err(|source| Error::Json {
            file: file.to_owned(),
            source,
        })?;
        Ok(Self {
            file: file.to_owned(),
            map,
        })
    }

    /// The value of the first of these keys that is there.
    fn first(&self, names: &[&str]) -> Option<(String, &Value)> {
        names.iter().find_map(|&name| {
            let value = self.map.get(name).filter(|value| !value.is_null())?;
            Some((name.to_owned(), value))
        })
    }

    /// The value of a key, unless it is `null`.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.first(&[name]).map(|(_, value)| value)
    }

    /// Whether there is a key of this name, be it `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// A whole number between `range`'s ends, by the first of these names that is there.
    pub(super) fn size(
        &self,
        names: &[&str],
        default: usize,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<usize> {
        Ok(self.optional_size(names, range)?.unwrap_or(default))
    }

    /// The same without a default.
    pub(super) fn optional_size(
        &self,
        names: &[&str],
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<Option<usize>> {
        let Some((name, value)) = self.first(names) else {
            return Ok(None);
        };
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        match size.filter(|size| range.contains(size)) {
            Some(size) => Ok(Some(size)),
            None => {
                let (start, end) = (range.start(), range.end());
                Err(self.wrong(
                    name,
                    match *end {
                        usize::MAX => format!("{value} is not a whole number from {start} on"),
                        _ => format!("{value} is not a number from {start} to {end}"),
                    },
                ))
            }
        }
    }

    /// The same of a key that has no default, by the first of these names that is there.
    pub(super) fn required_size(
        &self,
        names: &[&str],
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<usize> {
        self.optional_size(names, range)?
            .ok_or_else(|| self.absent(names))
    }

    /// A string that has no default, by the first of these names that is there.
    pub(super) fn required_text(&self, names: &[&str]) -> Result<&str> {
        self.text(names)?.ok_or_else(|| self.absent(names))
    }

    /// The error for a key that must be there.
    fn absent(&self, names: &[&str]) -> Error {
        let key = names.first().copied().unwrap_or_default();
        self.wrong(key, "is missing (every configuration has it)")
    }

    /// Yes or no.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.value(name) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.wrong(name, format!("{value} is neither true nor false"))),
        }
    }

    /// A string, by the first of these names that is there.
    pub(super) fn text(&self, names: &[&str]) -> Result<Option<&str>> {
        match self.first(names) {
            None => Ok(None),
            Some((name, value)) => match value.as_str() {
                Some(text) => Ok(Some(text)),
                None => Err(self.wrong(name, format!("{value} is not a string"))),
            },
        }
    }

    /// A positive number.
    pub(super) fn positive(&self, name: &str, default: f32) -> Result<f32> {
        let Some(value) = self.value(name) else {
            return Ok(default);
        };
        let number = value.as_f64().map(|number| number as f32);
        number
            .filter(|number| number.is_finite() && *number > 0.0)
            .ok_or_else(|| self.wrong(name, format!("{value} is not a positive number")))
    }

    /// The object under a key, as keys of the same file.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self {
                file: self.file.clone(),
                map: map.clone(),
            })),
            Some(value) => Err(self.wrong(name, format!("{value} is not an object"))),
        }
    }

    /// All keys and values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.map.iter()
    }

    /// The error for a value that cannot be.
    pub(super) fn wrong(&self, key: impl Into<String>, reason: impl Into<String>) -> Error {
        let mut reason = reason.into();
        // A value may be a whole document; an error is one line.
        if reason.len() > 300 {
            let end = (0..=300).rev().find(|&end| reason.is_char_boundary(end));
            reason.truncate(end.unwrap_or(0));
            reason.push('…');
        }
        Error::Config {
            file: self.file.clone(),
            key: key.into(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(json: &str) -> Keys {
        Keys::read("config.json", json.as_bytes()).unwrap()
    }

    #[test]
    fn absent_and_null_take_the_default() {
        for json in ["{}", r#"{"a": null}"#] {
            assert_eq!(keys(json).size(&["a"], 7, 1..=9).unwrap(), 7);
            assert!(keys(json).flag("a", true).unwrap());
            assert_eq!(keys(json).text(&["a"]).unwrap(), None);
        }
    }

    #[test]
    fn the_first_name_that_is_there_counts() {
        let keys = keys(r#"{"dim": 4}"#);
        assert_eq!(keys.size(&["hidden_size", "dim"], 7, 1..=9).unwrap(), 4);
    }

    #[test]
    fn a_value_that_cannot_be_names_its_key() {
        for json in [
            r#"{"a": -1}"#,
            r#"{"a": 10}"#,
            r#"{"a": 1.5}"#,
            r#"{"a": "1"}"#,
            r#"{"a": 1e30}"#,
        ] {
            let error = keys(json).size(&["a"], 7, 1..=9).unwrap_err();
            assert!(
                matches!(&error, Error::Config { file, key, .. } if file == "config.json" && key == "a")
            );
        }
        assert!(keys(r#"{"a": 1}"#).flag("a", true).is_err());
        assert!(keys(r#"{"a": 0}"#).positive("a", 1.0).is_err());
        assert!(keys(r#"{"a": 1e300}"#).positive("a", 1.0).is_err());
    }

    #[test]
    fn broken_json_names_the_file() {
        let error = Keys::read("config.json", b"{").unwrap_err();
        assert!(matches!(&error, Error::Json { file, .. } if file == "config.json"));
        assert!(Keys::read("config.json", b"[]").is_err());
    }
}
