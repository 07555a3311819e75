//! Tables of named columns: TSV, CSV, JSON lines, and lines of text.
//!
//! Every command that reads texts reads them here. `lines` finds lines, `separated` and `objects` make rows of them, `json`
//! parses members and values of objects, `format` knows the formats of files.

mod cell;
mod format;
mod json;
mod lines;
mod objects;
mod separated;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use cell::Cell;
pub use format::TableFormat;
use format::no_table;
pub use lines::TextLines;
use lines::{Ends, Lines, content};
pub use objects::{JsonLines, JsonRow};
use separated::Separated;

use crate::error::{Error, Result, excerpt};

/// Name of the column in a file of lines.
const LINE: &str = "text";

/// A column given by its name, or by several names of which the first that exists is taken.
pub(crate) type Column<'a> = &'a [&'a str];

/// The rows of a file, with the selected columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) file: String,
    pub(crate) rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Number of the row's first line, counted from 1.
    pub line: usize,
    /// The cells of the selected columns, in the order of the selection.
    pub cells: Vec<Cell>,
}

impl Table {
    /// Reads some columns of a file.
    ///
    /// # Errors
    /// Those of [`TableReader`]; `Table` for anything but a regular file.
    pub(crate) fn read(path: &Path, columns: &[Column<'_>]) -> Result<Self> {
        check_regular(path)?;
        let mut reader = TableReader::open(path)?;
        reader.select(columns)?;
        reader.rest()
    }

    /// Reads the names of a file's columns; of JSON lines the keys of the first object.
    ///
    /// # Errors
    /// Those of [`TableReader::open`]; `Table` for anything but a regular file.
    pub(crate) fn names(path: &Path) -> Result<Vec<String>> {
        check_regular(path)?;
        Ok(TableReader::open(path)?.names)
    }

    /// Returns an error about the whole table.
    pub(crate) fn blame_all(&self, reason: impl Into<String>) -> Error {
        blame(&self.file, 1, reason)
    }

    /// Returns an error about one of the rows.
    pub(crate) fn blame(&self, row: &Row, reason: impl Into<String>) -> Error {
        blame(&self.file, row.line, reason)
    }
}

/// Refuses pipes: reading the header would consume their rows.
fn check_regular(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(data) if !data.is_file() && !data.is_dir() => Err(Error::Table {
            file: path.display().to_string(),
            reason: "is read more than once: write it to a file first".to_owned(),
        }),
        // Other problems are reported when the file is opened.
        _ => Ok(()),
    }
}

fn blame(file: &str, line: usize, reason: impl Into<String>) -> Error {
    Error::Data {
        file: file.to_owned(),
        line,
        reason: reason.into(),
    }
}

/// A reader of a table, row by row.
///
/// The first row names the columns; in JSON lines the keys of the first object do. [`select`](Self::select) chooses the columns
/// that [`next_row`](Self::next_row) returns. A byte order mark at the start, and empty lines, are skipped.
///
/// ```
/// use bertless::train::{TableFormat, TableReader};
///
/// let csv = "label,text\npositive,\"A delight, really.\"\n";
/// let mut table = TableReader::new("t.csv", TableFormat::Commas, csv.as_bytes())?;
/// table.select(&[&["sentence", "text"], &["label"]])?;
/// let row = table.next_row()?.expect("a row");
/// assert_eq!(row.line, 2);
/// assert_eq!(row.cells[0].text(), "A delight, really.");
/// assert_eq!(row.cells[1].text(), "positive");
/// assert_eq!(table.next_row()?, None);
/// # Ok::<(), bertless::Error>(())
/// ```
pub struct TableReader {
    source: Source,
    names: Vec<String>,
    /// Names of each selected column.
    selected: Vec<Vec<String>>,
    /// Index of each selected column, in formats with a header.
    indices: Vec<usize>,
    /// What the number of cells in a row is compared with, for errors.
    header: &'static str,
}

impl std::fmt::Debug for TableReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableReader")
            .field("file", &self.source.lines().file())
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// Rows by format.
enum Source {
    Cells(Box<Separated>),
    /// JSON lines, and the first object, which is read early for its keys.
    Objects(JsonLines, Option<(usize, JsonRow)>),
    Texts(Lines),
}

impl Source {
    fn lines(&self) -> &Lines {
        match self {
            Self::Cells(cells) => cells.lines(),
            Self::Objects(objects, _) => objects.lines(),
            Self::Texts(lines) => lines,
        }
    }
}

impl TableReader {
    /// Opens a file, whose extension selects the format ([`TableFormat::of`]), and reads the names of its columns.
    ///
    /// # Errors
    /// `Io`; `Table` for a file of another kind, such as UTF-16, `.gz` or `.json`; `Data` for a table without a first row.
    pub fn open(path: &Path) -> Result<Self> {
        let format = TableFormat::of(path)?;
        let input = File::open(path).map_err(|cause| Error::Io {
            path: path.to_owned(),
            cause,
        })?;
        Self::new(path.display().to_string(), format, input)
    }

    /// Creates a reader of `input`, which errors call `name`, and reads the names of its columns.
    ///
    /// # Errors
    /// `Io`; `Table` for an input that is not text, or is JSON instead of cells; `Data` for a table without a first row.
    pub fn new(
        name: impl Into<String>,
        format: TableFormat,
        input: impl Read + Send + 'static,
    ) -> Result<Self> {
        let name = name.into();
        let (source, names) = match format {
            TableFormat::Tabs => headed(Separated::by_tabs(Lines::new(name, Ends::Any, input)))?,
            TableFormat::Commas => {
                headed(Separated::by_commas(Lines::new(name, Ends::Any, input)))?
            }
            TableFormat::JsonLines => {
                let mut objects = JsonLines::new(name, input);
                let Some(first) = objects.next_row()? else {
                    return Err(blame(objects.lines().file(), 1, "there is no row"));
                };
                let names = first.1.names().map(str::to_owned).collect();
                (Source::Objects(objects, Some(first)), names)
            }
            TableFormat::Lines => {
                let lines = Lines::new(name, Ends::Feed, input);
                (Source::Texts(lines), vec![LINE.to_owned()])
            }
        };
        Ok(Self {
            source,
            names,
            selected: Vec::new(),
            indices: Vec::new(),
            header: ", but the header has",
        })
    }

    /// Creates a reader of tab-separated cells without a header: the first line is a row, too.
    pub fn without_header(
        name: impl Into<String>,
        columns: &[&str],
        input: impl Read + Send + 'static,
    ) -> Self {
        let lines = Lines::new(name.into(), Ends::Any, input);
        Self {
            source: Source::Cells(Box::new(Separated::by_tabs(lines))),
            names: columns.iter().map(|&name| name.to_owned()).collect(),
            selected: columns.iter().map(|&name| vec![name.to_owned()]).collect(),
            indices: (0..columns.len()).collect(),
            header: " with tabs between them, where there must be",
        }
    }

    /// Name of the file in errors.
    pub fn name(&self) -> &str {
        self.source.lines().file()
    }

    /// Names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Selects columns, each by the first of its names that exists.
    ///
    /// # Errors
    /// `Data` for a column that is missing or duplicated. Objects of JSON lines are checked one by one, by
    /// [`next_row`](Self::next_row).
    pub fn select(&mut self, columns: &[&[&str]]) -> Result<()> {
        let owned = |column: &&[&str]| column.iter().map(|&name| name.to_owned()).collect();
        self.selected = columns.iter().map(owned).collect();
        if matches!(self.source, Source::Objects(..)) {
            return Ok(());
        }
        let indices = self
            .selected
            .iter()
            .map(|names| column_index(&self.names, names));
        match indices.collect() {
            Ok(indices) => self.indices = indices,
            Err(reason) => return Err(blame(self.name(), 1, reason)),
        }
        Ok(())
    }

    /// Returns the cells of the selected columns in the next row.
    ///
    /// # Errors
    /// `Io`, and `Data` with the line for a row with another number of cells than there are columns, for an object without a
    /// selected key, and for what is not UTF-8 or not JSON.
    pub fn next_row(&mut self) -> Result<Option<Row>> {
        let Self {
            source,
            names,
            selected,
            indices,
            header,
        } = self;
        let (line, cells) = match source {
            Source::Cells(rows) => match rows.next()? {
                None => return Ok(None),
                Some(record) => (record.line, cells_at(&record.cells, names, indices, header)),
            },
            Source::Objects(objects, ahead) => {
                let next = match ahead.take() {
                    Some(first) => Some(first),
                    None => objects.next_row()?,
                };
                let Some((line, object)) = next else {
                    return Ok(None);
                };
                let cells = selected.iter().map(|names| cell_named(&object, names));
                (line, cells.collect())
            }
            Source::Texts(lines) => loop {
                let Some((number, line)) = lines.next()? else {
                    return Ok(None);
                };
                let text = content(line, Ends::Feed);
                if !text.trim_ascii().is_empty() {
                    break (number, cells_at(&[text], names, indices, header));
                }
            },
        };
        match cells {
            Ok(cells) => Ok(Some(Row { line, cells })),
            Err(reason) => Err(blame(self.name(), line, reason)),
        }
    }

    /// Whether a line has already been read from the input, so that returning its row need not wait.
    pub fn is_ready(&self) -> bool {
        self.source.lines().is_ready()
    }

    /// Number of bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.source.lines().bytes()
    }

    /// Reads all remaining rows.
    fn rest(mut self) -> Result<Table> {
        let mut rows = Vec::new();
        while let Some(row) = self.next_row()? {
            rows.push(row);
        }
        Ok(Table {
            file: self.name().to_owned(),
            rows,
        })
    }
}

/// Splits off the first row, which names the columns.
fn headed(mut rows: Separated) -> Result<(Source, Vec<String>)> {
    let names = match rows.next()? {
        None => Err("there is no header"),
        Some(header) if is_json(header.cells[0]) => return Err(no_table(rows.lines().file())),
        Some(header) => {
            let names = header.cells.iter().map(|cell| std::str::from_utf8(cell));
            let names: Result<Vec<&str>, _> = names.collect();
            names
                .map(|names| names.into_iter().map(str::to_owned).collect())
                .map_err(|_| "the header is not valid UTF-8")
        }
    };
    match names {
        Ok(names) => Ok((Source::Cells(Box::new(rows)), names)),
        Err(reason) => Err(blame(rows.lines().file(), 1, reason)),
    }
}

/// Returns whether a header's first cell is the start of JSON.
fn is_json(cell: &[u8]) -> bool {
    let starts: [&[u8]; 3] = [b"[{", b"[\"", b"{\""];
    matches!(cell.trim_ascii(), b"[" | b"{") || starts.iter().any(|start| cell.starts_with(start))
}

/// Returns the index of the first of a column's names that exists.
fn column_index(names: &[String], column: &[String]) -> Result<usize, String> {
    let Some(name) = column.iter().find(|name| names.contains(name)) else {
        // A single cell that contains another separator suggests another format.
        let other = names.len() == 1 && names[0].contains([';', '|', '\t', ',']);
        let hint = if other {
            ": cells of .csv have commas between them, those of .tsv tabs"
        } else {
            ""
        };
        return Err(format!(
            "there is no column {}, only {}{hint}",
            excerpt(&column.join(", nor ")),
            excerpt(&names.join(", "))
        ));
    };
    let mut found = (0..names.len()).filter(|&at| names[at] == *name);
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        _ => Err(format!("there are two columns {}", excerpt(name))),
    }
}

/// Returns the cells of a row at some indices.
fn cells_at(
    row: &[&[u8]],
    names: &[String],
    indices: &[usize],
    header: &str,
) -> Result<Vec<Cell>, String> {
    let (found, expected) = (row.len(), names.len());
    if found != expected {
        let hint = if row.iter().any(|cell| cell.contains(&b'"')) {
            "; a quote is text in .tsv, and in .csv within a cell that does not start with one"
        } else {
            ""
        };
        return Err(format!("{found} columns{header} {expected}{hint}"));
    }
    let cell = |&at: &usize| match std::str::from_utf8(row[at]) {
        Ok(cell) => Ok(Cell::from(cell)),
        Err(_) => Err(format!("column {} is not valid UTF-8", excerpt(&names[at]))),
    };
    indices.iter().map(cell).collect()
}

/// Returns the first cell of an object that has one of these names.
fn cell_named(row: &JsonRow, names: &[String]) -> Result<Cell, String> {
    for name in names {
        if let Some(cell) = row.get(name)? {
            return Ok(cell);
        }
    }
    let keys: Vec<&str> = row.names().collect();
    if let Some(null) = names.iter().find(|name| keys.contains(&name.as_str())) {
        return Err(format!(
            "key {} is null, and a value is needed",
            excerpt(null)
        ));
    }
    Err(format!(
        "there is no key {}, only {}",
        excerpt(&names.join(", nor ")),
        excerpt(&keys.join(", "))
    ))
}
