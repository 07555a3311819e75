//! Cells of a table.

use std::ops::Range;

use crate::error::excerpt;

/// A value in a table: a text or, in JSON lines, possibly a list.
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
    /// The text of the cell; the items of a list, joined by spaces.
    text: String,
    /// Byte ranges of a list's items in the text.
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
    /// Creates a cell with a list of items.
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

    /// The text of the cell; the items of a list, joined by spaces.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The items of a list; `None` for a text.
    pub fn items(&self) -> Option<Vec<&str>> {
        let items = self.items.as_ref()?.iter();
        Some(items.map(|place| &self.text[place.clone()]).collect())
    }
}

/// Interpretations of a cell in training and evaluation.
impl Cell {
    /// Labels, without surrounding spaces: the items of a list, or the parts of a text between commas. Empty ones are left out.
    pub fn labels(&self) -> Vec<&str> {
        let labels = self
            .items()
            .unwrap_or_else(|| self.text.split(',').collect());
        let labels = labels.into_iter().map(str::trim);
        labels.filter(|label| !label.is_empty()).collect()
    }

    /// The only label, without surrounding spaces.
    ///
    /// # Errors
    /// The reason, for a cell without a label and for a list of several.
    pub fn label(&self) -> Result<&str, String> {
        let label = match self.items() {
            None => self.text.trim(),
            Some(_) => match self.labels()[..] {
                [] => "",
                [label] => label,
                [..] => {
                    let list = excerpt(&self.text);
                    return Err(format!(
                        "there are several labels, {list:?}, where one belongs"
                    ));
                }
            },
        };
        if label.is_empty() {
            Err("there is no label".to_owned())
        } else {
            Ok(label)
        }
    }

    /// Byte ranges of the words in the text: the items of a list, or the parts of a text between spaces.
    pub fn words(&self) -> Vec<Range<usize>> {
        if let Some(items) = &self.items {
            return items.clone();
        }
        let mut start = 0;
        let words = self.text.split(' ').map(|word| {
            let range = start..start + word.len();
            start = range.end + 1;
            range
        });
        words.filter(|range| !range.is_empty()).collect()
    }

    /// Tags of words: the items of a list, or the parts of a text between spaces.
    pub fn tags(&self) -> Vec<&str> {
        let words = self.words().into_iter();
        words.map(|range| self.text[range].trim()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_lists_and_of_texts() {
        let labels = |cell: &Cell| cell.labels().join("|");
        assert_eq!(labels(&"joy, calm ,,sad".into()), "joy|calm|sad");
        assert_eq!(labels(&" ".into()), "");
        // A comma in an item is part of its name.
        assert_eq!(
            labels(&Cell::list([" joy, calm", "sad", ""])),
            "joy, calm|sad"
        );
        assert_eq!(labels(&Cell::list([""; 0])), "");
    }

    #[test]
    fn one_label() {
        assert_eq!(Cell::from(" a, b ").label(), Ok("a, b"));
        assert_eq!(Cell::list(["a b"]).label(), Ok("a b"));
        let several = Cell::list(["a", "b"]).label().unwrap_err();
        assert_eq!(
            several,
            "there are several labels, \"a b\", where one belongs"
        );
        for none in [Cell::from(" "), Cell::list([""; 0])] {
            assert_eq!(none.label(), Err("there is no label".to_owned()));
        }
    }

    #[test]
    fn words_are_parted_by_spaces_alone_and_items_are_words() {
        assert_eq!(Cell::from("\u{e9}  b\u{a0}c ").words(), [0..2, 4..8]);
        assert_eq!(Cell::from("").words(), [0..0; 0]);
        let list = Cell::list(["New York", "", "is"]);
        assert_eq!(list.words(), [0..8, 9..9, 10..12]);
        assert_eq!(Cell::list(["B-LOC", "O ", "O"]).tags(), ["B-LOC", "O", "O"]);
    }
}
