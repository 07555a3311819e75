//! Datasets: tables as rows with named fields.

use super::{Cell, Column, Row, Source, Table};
use crate::error::{Error, Result};

/// Names of the columns to read. Each column may have several names; the first that a table has is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ColumnNames {
    pub(crate) text: Vec<String>,
    pub(crate) pair: Option<Vec<String>>,
    pub(crate) target: Option<Vec<String>>,
    pub(crate) answer_start: Option<Vec<String>>,
    /// Columns of a teacher's logits, one per label.
    pub(crate) logits: Vec<String>,
}

/// A row of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TextRow {
    /// Line that the row begins in, counted from 1.
    pub(crate) line: usize,
    pub(crate) text: Cell,
    pub(crate) pair: Option<Cell>,
    pub(crate) target: Option<Cell>,
    pub(crate) answer_start: Option<Cell>,
    pub(crate) logits: Vec<Cell>,
}

/// Rows of a file.
#[derive(Clone, Debug)]
pub(crate) struct Dataset {
    pub(crate) file: String,
    pub(crate) rows: Vec<TextRow>,
}

impl Dataset {
    /// Reads the rows of a source.
    ///
    /// # Errors
    /// Those of [`Source::read`].
    pub(crate) fn read(source: &Source, names: &ColumnNames) -> Result<Self> {
        let logits: Vec<Vec<String>> = names.logits.iter().map(|name| vec![name.clone()]).collect();
        let optional = [&names.pair, &names.target, &names.answer_start];
        let optional = optional.into_iter().flatten();
        let columns = std::iter::once(&names.text).chain(optional).chain(&logits);
        let columns: Vec<Vec<&str>> = columns
            .map(|names| names.iter().map(String::as_str).collect())
            .collect();
        let columns: Vec<Column<'_>> = columns.iter().map(Vec::as_slice).collect();
        let Table { file, rows } = source.read(&columns)?;
        let row = |Row { line, cells }: Row| {
            let mut cells = cells.into_iter();
            let mut next = |is_read: bool| is_read.then(|| cells.next().unwrap_or_default());
            TextRow {
                line,
                text: next(true).unwrap_or_default(),
                pair: next(names.pair.is_some()),
                target: next(names.target.is_some()),
                answer_start: next(names.answer_start.is_some()),
                logits: cells.collect(),
            }
        };
        let rows = rows.into_iter().map(row).collect();
        Ok(Self { file, rows })
    }

    /// Returns an error about one of the rows.
    pub(crate) fn blame(&self, row: &TextRow, reason: impl Into<String>) -> Error {
        Error::Data {
            file: self.file.clone(),
            line: row.line,
            reason: reason.into(),
        }
    }
}

impl TextRow {
    /// Iterates over the text and, if there is one, the second text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Cell> {
        std::iter::once(&self.text).chain(&self.pair)
    }

    /// Iterates over all cells, in the order of the fields.
    pub(crate) fn cells(&self) -> impl Iterator<Item = &Cell> {
        let target = self.target.iter().chain(&self.answer_start);
        self.texts().chain(target).chain(&self.logits)
    }
}
