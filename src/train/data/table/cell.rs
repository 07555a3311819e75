//! What stands in a table's cell.

use std::ops::Range;

use serde_json::Value;

/// A value of a table: a text, or a list where JSON lines have one.
///
/// ```
/// use bertless::train::Cell;
///
/// let cell = Cell::list(["New York", "is", "large"]);
/// assert_eq!(cell.text(), "New York is large");
/// assert_eq!(cell.items(), Some(vec!["New York", "is", "large"]));
/// assert_eq!(Cell::from("a text").items(), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The text; of a list its items with spaces between them.
    text: String,
    /// Where the items of a list are.
    items: Option<Vec<Range<usize>>>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, items: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Cell {
    /// A list of items.
    pub fn list(items: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut text = String::new();
        let mut places = Vec::new();
        for item in items {
            if !places.is_empty() {
                text.push(' ');
            }
            let start = text.len();
            text.push_str(item.as_ref());
            places.push(start..text.len());
        }
        Self {
            text,
            items: Some(places),
        }
    }

    /// Converts a JSON value. Numbers and truth values become the text that they are written as. Objects, and lists of
    /// anything but values, have no form in a table.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(scalar).collect::<Option<_>>()?;
                Some(Self::list(items))
            }
            value => scalar(value).map(Self::from),
        }
    }

    /// The text; of a list its items with spaces between them.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The items of a list.
    pub fn items(&self) -> Option<Vec<&str>> {
        let items = self.items.as_ref()?.iter();
        Some(items.map(|place| &self.text[place.clone()]).collect())
    }
}

/// A JSON value that is not made of others, as a table without types would have it.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
