//! Sources of rows: a table file, its columns, and a filter of its rows.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Column, Row, Table};
use crate::error::Result;

/// A table of a recipe. In TOML, either a bare path or a table with these keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Source {
    /// Path of the table.
    pub file: PathBuf,
    /// Name of the text column; overrides the recipe's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Name of the second text's column; overrides the recipe's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// Name of the target column; overrides the recipe's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Condition that a row must meet to be read; all rows are read by default. The key in TOML is `where`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub only: Option<Condition>,
    /// Whether to split each text into sentences, each of which becomes a row. Valid only for single texts without targets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sentences: bool,
}

/// A condition on one cell of a row: `COLUMN = VALUE` or `COLUMN != VALUE`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Condition {
    column: String,
    value: String,
    equal: bool,
}

impl std::str::FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (left, value) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is neither COLUMN = VALUE nor COLUMN != VALUE"))?;
        let (column, equal) = match left.strip_suffix('!') {
            Some(column) => (column, false),
            None => (left, true),
        };
        Ok(Self {
            column: column.trim().to_owned(),
            value: value.trim().to_owned(),
            equal,
        })
    }
}

impl TryFrom<String> for Condition {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> Self {
        let sign = if condition.equal { "=" } else { "!=" };
        format!("{} {sign} {}", condition.column, condition.value)
    }
}

impl From<&Path> for Source {
    fn from(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            ..Self::default()
        }
    }
}

impl Source {
    /// Reads the given columns of the rows that meet the condition. With `sentences`, each sentence of the first column becomes
    /// a row.
    ///
    /// # Errors
    /// Those of [`Table::read`]; `Data` if no row is left.
    pub(crate) fn read(&self, columns: &[Column<'_>]) -> Result<Table> {
        let mut all = columns.to_vec();
        let filter_column = self.only.as_ref().map(|only| [only.column.as_str()]);
        if let Some(filter_column) = &filter_column {
            all.push(filter_column);
        }
        let mut table = Table::read(&self.file, &all)?;
        if let Some(only) = &self.only {
            let taken = |row: &mut Row| {
                let cell = row.cells.pop().unwrap_or_default();
                (cell.text() == only.value) == only.equal
            };
            let taken: Vec<bool> = table.rows.iter_mut().map(taken).collect();
            let mut taken = taken.into_iter();
            table.rows.retain(|_| taken.next() == Some(true));
        }
        if self.sentences {
            let cut = |row: Row| {
                let parts: Vec<Row> = sentences(row.cells[0].text())
                    .map(|sentence| {
                        let mut cells = row.cells.clone();
                        cells[0] = sentence.into();
                        Row {
                            line: row.line,
                            cells,
                        }
                    })
                    .collect();
                parts
            };
            table.rows = table.rows.into_iter().flat_map(cut).collect();
        }
        if table.rows.is_empty() {
            Err(table.blame_all(match &self.only {
                Some(only) => format!("there is no row with {}", String::from(only.clone())),
                None => "there is nothing below the header".to_owned(),
            }))
        } else {
            Ok(table)
        }
    }
}

/// Splits a text after each full stop, question mark or exclamation mark that a space follows.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    let parts = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends = rest.char_indices().zip(rest.chars().skip(1));
        let mut ends = ends.filter(|&((_, c), next)| matches!(c, '.' | '!' | '?') && next == ' ');
        let end = ends.next().map_or(rest.len(), |((at, _), _)| at + 1);
        let (part, behind) = rest.split_at(end);
        rest = behind;
        Some(part.trim())
    });
    // Parts without a letter or digit, such as a mark alone, are dropped.
    parts.filter(|part| part.chars().any(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(content: &str) -> (tempfile::TempDir, Source) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.tsv");
        std::fs::write(&path, content).unwrap();
        (dir, Source::from(path.as_path()))
    }

    fn texts(source: &Source) -> Result<Vec<(usize, String)>, String> {
        let table = source.read(&[&["text"]]).map_err(|e| e.to_string())?;
        let row = |mut row: Row| {
            assert_eq!(row.cells.len(), 1);
            (row.line, row.cells.remove(0).text().to_owned())
        };
        Ok(table.rows.into_iter().map(row).collect())
    }

    #[test]
    fn rows_by_what_one_of_their_cells_says() {
        let (_dir, mut source) = source("text\tseen\na\t-\nb\tdev\nc\t-\n");
        let taken = |source: &mut Source, condition: &str| {
            source.only = Some(condition.parse().unwrap());
            texts(source)
        };
        let row = |line: usize, text: &str| (line, text.to_owned());
        assert_eq!(
            taken(&mut source, "seen = -"),
            Ok(vec![row(2, "a"), row(4, "c")])
        );
        assert_eq!(taken(&mut source, "seen != -"), Ok(vec![row(3, "b")]));
        let none = taken(&mut source, "seen=test").unwrap_err();
        assert!(
            none.ends_with("line 1: there is no row with seen = test"),
            "{none}"
        );
        let none = taken(&mut source, "heard = test").unwrap_err();
        assert!(none.contains("there is no column heard"), "{none}");
        assert!("seen".parse::<Condition>().is_err());
    }

    #[test]
    fn texts_are_cut_into_sentences() {
        let (_dir, mut source) = source("text\nOne. Two two ! v1.5? ...\n\u{e9}!\n");
        source.sentences = true;
        let found = texts(&source).unwrap();
        let found: Vec<(usize, &str)> = found.iter().map(|(at, text)| (*at, &**text)).collect();
        assert_eq!(
            found,
            [(2, "One."), (2, "Two two !"), (2, "v1.5?"), (3, "\u{e9}!")]
        );
    }
}
