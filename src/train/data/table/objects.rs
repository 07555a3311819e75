//! Rows of JSON lines.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Read;

use super::blame;
use super::cell::Cell;
use super::json::{Members, Value};
use super::lines::{Ends, Lines, content, text};
use crate::error::{Result, excerpt};
use crate::replace_lone_surrogates;

/// A JSON object as a row of a table: cells by name.
///
/// ```
/// use bertless::train::{Cell, JsonRow};
///
/// let row = JsonRow::parse(r#"{"text": "A delight.", "labels": ["joy", "calm"], "id": 7}"#)?;
/// assert_eq!(row.get("text")?, Some(Cell::from("A delight.")));
/// assert_eq!(row.get("labels")?, Some(Cell::list(["joy", "calm"])));
/// assert_eq!(row.get("label")?, None);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct JsonRow(BTreeMap<String, Value>);

impl JsonRow {
    /// Parses a line. Half a surrogate pair, such as `\ud83d` alone, becomes U+FFFD, the replacement character
    /// ([`replace_lone_surrogates`]).
    ///
    /// # Errors
    /// The reason, if the line is not a JSON object, or if the object has a key twice.
    pub fn parse(line: &str) -> Result<Self, String> {
        let text = replace_lone_surrogates(line);
        let Members(members) = serde_json::from_str(&text).map_err(|error| unread(line, &error))?;
        let mut cells = BTreeMap::new();
        for (name, raw) in members {
            let value = Value::of(&name, raw);
            match cells.entry(name) {
                Entry::Vacant(place) => place.insert(value),
                Entry::Occupied(place) => {
                    return Err(format!(
                        "key {} stands twice in the object",
                        excerpt(place.key())
                    ));
                }
            };
        }
        Ok(Self(cells))
    }

    /// Names of the cells.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the cell of this name; `None` if it is missing or null.
    ///
    /// # Errors
    /// The reason, for a value that cannot be a cell: an object, or a list of anything but scalars.
    pub fn get(&self, name: &str) -> Result<Option<Cell>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Cell(cell)) => Ok(Some(cell.clone())),
            Some(Value::Other(reason)) => Err(reason.clone()),
        }
    }
}

/// Returns the reason why a line is not a JSON object.
fn unread(line: &str, error: &serde_json::Error) -> String {
    let said = error.to_string();
    // The parser sees a single line; the caller knows its number in the file.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = excerpt(said.strip_suffix(&place).unwrap_or(&said));
    let hint = if line.trim_start().starts_with('[') {
        "; a row is an object, and has a line of its own"
    } else if error.is_eof() {
        "; a row is one line, whole"
    } else {
        ""
    };
    format!("no JSON object: {what} (column {}){hint}", error.column())
}

/// A reader of JSON objects, one per line. Empty lines are skipped.
///
/// ```
/// let lines = &b"{\"text\": \"one\"}\n\n{\"text\": \"two\"}\n"[..];
/// let mut lines = bertless::train::JsonLines::new("texts.jsonl", lines);
/// let (number, row) = lines.next_row()?.expect("a row");
/// assert_eq!((number, row.names().collect()), (1, vec!["text"]));
/// assert_eq!(lines.next_row()?.map(|(number, _)| number), Some(3));
/// assert_eq!(lines.next_row()?, None);
/// # Ok::<(), bertless::Error>(())
/// ```
pub struct JsonLines(Lines);

impl std::fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("JsonLines").field(&self.0.file()).finish()
    }
}

impl JsonLines {
    /// Creates a reader of `input`, which errors call `name`.
    pub fn new(name: impl Into<String>, input: impl Read + Send + 'static) -> Self {
        Self(Lines::new(name.into(), Ends::Any, input))
    }

    /// Returns the next object and its line number, counted from 1.
    ///
    /// # Errors
    /// `Io`; `Table` for an input that is not text; `Data` with the line for bytes that are not UTF-8 or not a JSON object.
    pub fn next_row(&mut self) -> Result<Option<(usize, JsonRow)>> {
        loop {
            let Some((number, line)) = self.0.next()? else {
                return Ok(None);
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let row = text(content(line, Ends::Any)).and_then(JsonRow::parse);
            return match row {
                Ok(row) => Ok(Some((number, row))),
                Err(reason) => Err(blame(self.0.file(), number, reason)),
            };
        }
    }

    /// Whether a line has already been read from the input, so that returning its object need not wait.
    pub fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    /// Number of bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    pub(super) fn lines(&self) -> &Lines {
        &self.0
    }
}
