//! JSON objects and values as rows and cells of a table; members keep their order.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::cell::Cell;
use crate::error::excerpt;

/// Members of an object in source order, with the source text of their values. A repeated key is kept twice.
pub(super) struct Members<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(All).map(Self)
    }
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Cell(Cell),
    /// A value that cannot be a cell, with the reason. It is an error only if the key is read.
    Other(String),
}

impl Value {
    /// Converts the value of a key. Numbers and truth values become the text that they are written as, digit by digit.
    pub(super) fn of(name: &str, raw: &RawValue) -> Self {
        let raw = raw.get();
        let name = excerpt(name);
        let cell = match raw.as_bytes().first() {
            Some(b'n') => return Self::Null,
            Some(b'[') => list(raw).map_err(|reason| format!("key {name}: {reason}")),
            _ => match scalar(raw) {
                Ok(text) => Ok(text.into()),
                Err(_) => Err(format!(
                    "key {name} is neither a value nor a list of values"
                )),
            },
        };
        cell.map_or_else(Self::Other, Self::Cell)
    }
}

/// Converts a JSON list to a cell.
fn list(raw: &str) -> Result<Cell, String> {
    let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|error| error.to_string())?;
    let items = items.iter().enumerate().map(|(at, item)| {
        let wrong = |what| {
            format!(
                "item {} of the list is {what}, where a value belongs",
                at + 1
            )
        };
        scalar(item.get()).map_err(wrong)
    });
    let items: Result<Vec<String>, String> = items.collect();
    items.map(Cell::list)
}

/// Returns the text of a scalar value. The error names what the value is instead.
fn scalar(raw: &str) -> Result<String, &'static str> {
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).map_err(|_| "no text"),
        Some(b'n') => Err("null"),
        Some(b'[') => Err("a list"),
        Some(b'{') => Err("an object"),
        _ => Ok(raw.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Value::of("k", serde_json::from_str(text).unwrap())
    }

    fn reason(text: &str) -> String {
        match value(text) {
            Value::Other(reason) => reason,
            other => panic!("{text} is {other:?}"),
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        for number in [
            "0",
            "-1",
            "1.50",
            "1e0",
            "18446744073709551616",
            "100000000000000000000",
            "0.30000000000000000001",
            "1e999",
        ] {
            assert_eq!(value(number), Value::Cell(number.into()), "{number}");
            let list = value(&format!(" [ {number} , true ] ").replace(" [", "["));
            assert_eq!(list, Value::Cell(Cell::list([number, "true"])));
        }
        assert_eq!(value("true"), Value::Cell("true".into()));
        assert_eq!(value(r#""a\n\u00e9\"""#), Value::Cell("a\n\u{e9}\"".into()));
        assert_eq!(value("null"), Value::Null);
        assert_eq!(value("[]"), Value::Cell(Cell::list([""; 0])));
    }

    #[test]
    fn what_has_no_form_in_a_table_is_named() {
        assert_eq!(
            reason("{}"),
            "key k is neither a value nor a list of values"
        );
        for (text, item) in [
            (r#"["a", null]"#, "2 of the list is null"),
            ("[[1]]", "1 of the list is a list"),
            (r#"[1, {"a": 2}]"#, "2 of the list is an object"),
        ] {
            let expected = format!("key k: item {item}, where a value belongs");
            assert_eq!(reason(text), expected);
        }
    }
}
