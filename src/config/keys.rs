//! Reader of one JSON settings file, key by key.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Key of config.json that names the model's class.
pub(super) const ARCHITECTURES: &str = "architectures";

/// Keys of a JSON object, with the file's name for errors.
///
/// A missing or `null` key takes the default of the reference implementation, unless every configuration has the key: then it
/// is an error. An invalid value is an error that names its key.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    file: String,
    map: Map<String, Value>,
}

impl Keys {
    /// Parses the bytes of a file. `file` is its name in errors.
    pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Self> {
        let map = serde_json::from_slice(bytes).map_err(|cause| Error::Json {
            file: file.to_owned(),
            cause,
        })?;
        Ok(Self {
            file: file.to_owned(),
            map,
        })
    }

    /// Returns the first of `names` that has a value other than `null`, with that value.
    fn first(&self, names: &[&str]) -> Option<(String, &Value)> {
        names.iter().find_map(|&name| {
            let value = self.map.get(name).filter(|value| !value.is_null())?;
            Some((name.to_owned(), value))
        })
    }

    /// Returns the value of a key. `None` if the key is missing or `null`.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.first(&[name]).map(|(_, value)| value)
    }

    /// Returns whether the object has this key, even with the value `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// Returns the whole number under the first of `names` that has a value, else `default`. A number outside `range` is an error.
    pub(super) fn size(
        &self,
        names: &[&str],
        default: usize,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<usize> {
        Ok(self.optional_size(names, range)?.unwrap_or(default))
    }

    /// Returns the whole number under the first of `names` that has a value, else `None`. A number outside `range` is an error.
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

    /// Returns the whole number under the first of `names` that has a value. It is an error if none has one, or if the number is
    /// outside `range`.
    pub(super) fn required_size(
        &self,
        names: &[&str],
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<usize> {
        self.optional_size(names, range)?
            .ok_or_else(|| self.absent(names))
    }

    /// Returns the string under the first of `names` that has a value. It is an error if none has one.
    pub(super) fn required_text(&self, names: &[&str]) -> Result<&str> {
        self.text(names)?.ok_or_else(|| self.absent(names))
    }

    /// Builds the error for a required key that is missing.
    fn absent(&self, names: &[&str]) -> Error {
        let key = names.first().copied().unwrap_or_default();
        self.wrong(key, "is missing (every configuration has it)")
    }

    /// Returns a boolean, or `default` if the key has no value.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.value(name) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.wrong(name, format!("{value} is neither true nor false"))),
        }
    }

    /// Returns the string under the first of `names` that has a value, else `None`.
    pub(super) fn text(&self, names: &[&str]) -> Result<Option<&str>> {
        match self.first(names) {
            None => Ok(None),
            Some((name, value)) => match value.as_str() {
                Some(text) => Ok(Some(text)),
                None => Err(self.wrong(name, format!("{value} is not a string"))),
            },
        }
    }

    /// Returns a positive, finite number, or `default` if the key has no value.
    pub(super) fn positive(&self, name: &str, default: f32) -> Result<f32> {
        let Some(value) = self.value(name) else {
            return Ok(default);
        };
        let number = value.as_f64().map(|number| number as f32);
        number
            .filter(|number| number.is_finite() && *number > 0.0)
            .ok_or_else(|| self.wrong(name, format!("{value} is not a positive number")))
    }

    /// Returns the object under a key, with the same file name for errors.
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

    /// Returns the first entry of `architectures`, `""` if there is none.
    pub(super) fn architecture(&self) -> Result<&str> {
        let Some(value) = self.value(ARCHITECTURES) else {
            return Ok("");
        };
        match value.as_array().map(|list| list.first()) {
            Some(None) => Ok(""),
            Some(Some(Value::String(name))) => Ok(name),
            _ => Err(self.wrong(ARCHITECTURES, format!("{value} is not a list of names"))),
        }
    }

    /// Iterates over all keys and values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.map.iter()
    }

    /// Builds the error for an invalid value. A reason of more than 300 bytes is cut.
    pub(super) fn wrong(&self, key: impl Into<String>, reason: impl Into<String>) -> Error {
        let mut reason = reason.into();
        // The reason quotes the value, which may be a whole document.
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
