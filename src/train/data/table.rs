//! Tables of named columns: TSV, CSV, and JSON objects a line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The rows of a file, of the columns that were asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) file: String,
    pub(crate) rows: Vec<Row>,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Where it begins, counted from 1.
    pub(crate) line: usize,
    /// A cell for each column that was asked for, in that order.
    pub(crate) cells: Vec<String>,
}

/// The name of the column of a file of lines.
const LINE: &str = "text";

/// A column by its name, or by the first of several names that is there.
pub(crate) type Column<'a> = &'a [&'a str];

impl Table {
    /// Reads a file: JSON lines if its name ends in `.jsonl`, comma-separated with quotes if it ends in `.csv`, lines that
    /// are a column `text` if it ends in `.txt`, else tab-separated, where a quote is text. The first line of the kinds with
    /// separators names the columns.
    ///
    /// Cells of JSON are strings, numbers or truth values, or lists of them, which are joined by spaces. Empty lines are
    /// passed over.
    ///
    /// # Errors
    /// `Io`, and `Data` with the line for a column that is not there or there twice, rows of another length than the
    /// header's, and what is not UTF-8 or not JSON.
    pub(crate) fn read(path: &Path, columns: &[Column<'_>]) -> Result<Self> {
        let io = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let input = BufReader::with_capacity(1 << 16, File::open(path).map_err(io)?);
        let file = path.display().to_string();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let rows = match extension {
            Some("jsonl") => objects(input, &file, columns, io)?,
            Some("csv") => separated(input, &file, columns, io)?,
            Some("txt") => texts(input, &file, columns, io)?,
            _ => lines(input, &file, columns, io)?,
        };
        Ok(Self { file, rows })
    }

    /// The names of a file's columns, of JSON lines those of the first one.
    ///
    /// # Errors
    /// `Io`, and `Data` for a first line that is none.
    pub(crate) fn names(path: &Path) -> Result<Vec<String>> {
        let io = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let mut input = BufReader::new(File::open(path).map_err(io)?);
        let file = path.display().to_string();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("txt") => Ok(vec![LINE.to_owned()]),
            Some("csv") => {
                let mut reader = ReaderBuilder::new().from_reader(input);
                let names = reader
                    .byte_headers()
                    .map_err(|error| blame(&file, 1, error.to_string()))?;
                Ok(Header::of(&file, names.iter(), &[])?.names)
            }
            kind => {
                let mut line = Vec::new();
                while line.trim_ascii().is_empty() {
                    line.clear();
                    if input.read_until(b'\n', &mut line).map_err(io)? == 0 {
                        return Err(blame(&file, 1, "there is no header"));
                    }
                }
                let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
                if kind == Some("jsonl") {
                    let object: Map<String, Value> = serde_json::from_slice(line)
                        .map_err(|error| blame(&file, 1, format!("no JSON object: {error}")))?;
                    return Ok(object.into_iter().map(|(name, _)| name).collect());
                }
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                Ok(Header::of(&file, line.split(|&byte| byte == b'\t'), &[])?.names)
            }
        }
    }

    /// An error about all of its rows.
    pub(crate) fn blame_all(&self, reason: impl Into<String>) -> Error {
        blame(&self.file, 1, reason)
    }

    /// An error about one of its rows.
    pub(crate) fn blame(&self, row: &Row, reason: impl Into<String>) -> Error {
        blame(&self.file, row.line, reason)
    }
}

/// The names of the columns of a table: `.csv`, `.jsonl` (of the first line), else separated by tabs.
///
/// # Errors
/// `Io`, and `Data` for a first line that is none.
pub fn column_names(path: &Path) -> Result<Vec<String>> {
    Table::names(path)
}

/// Some columns of a table, row by row, each with the line that it begins in, counted from 1.
///
/// # Errors
/// `Io`, and `Data` with the line for columns that are not there or there twice, for rows of another length than the header's,
/// and for what is not UTF-8 or not JSON.
pub fn read_rows(path: &Path, columns: &[&str]) -> Result<Vec<(usize, Vec<String>)>> {
    let columns: Vec<Column<'_>> = columns.iter().map(std::slice::from_ref).collect();
    let rows = Table::read(path, &columns)?.rows.into_iter();
    Ok(rows.map(|row| (row.line, row.cells)).collect())
}

fn blame(file: &str, line: usize, reason: impl Into<String>) -> Error {
    Error::Data {
        file: file.to_owned(),
        line,
        reason: reason.into(),
    }
}

/// Tab-separated lines without quoting, by hand: a reader of CSV does not know the lines of what it has passed over.
fn lines(
    input: impl BufRead,
    file: &str,
    columns: &[Column<'_>],
    io: impl Fn(std::io::Error) -> Error,
) -> Result<Vec<Row>> {
    let mut header: Option<Header> = None;
    let mut rows = Vec::new();
    for (at, line) in input.split(b'\n').enumerate() {
        let bytes = line.map_err(&io)?;
        let text = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        match &header {
            None => {
                header = Some(Header::of(
                    file,
                    text.split(|&byte| byte == b'\t'),
                    columns,
                )?)
            }
            Some(_) if text.is_empty() => {}
            Some(header) => {
                let cells: Vec<&[u8]> = text.split(|&byte| byte == b'\t').collect();
                rows.push(header.row(file, at + 1, &cells)?);
            }
        }
    }
    match header {
        Some(_) => Ok(rows),
        None => Err(blame(file, 1, "there is no header")),
    }
}

/// Lines that are texts, and all that there is.
fn texts(
    input: impl BufRead,
    file: &str,
    columns: &[Column<'_>],
    io: impl Fn(std::io::Error) -> Error,
) -> Result<Vec<Row>> {
    let header = Header::of(file, std::iter::once(LINE.as_bytes()), columns)?;
    let mut rows = Vec::new();
    for (at, line) in input.split(b'\n').enumerate() {
        let bytes = line.map_err(&io)?;
        let text = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        if !text.trim_ascii().is_empty() {
            rows.push(header.row(file, at + 1, &[text])?);
        }
    }
    Ok(rows)
}

fn separated(
    input: impl BufRead,
    file: &str,
    columns: &[Column<'_>],
    io: impl Fn(std::io::Error) -> Error,
) -> Result<Vec<Row>> {
    // Rows of another length than the header's are found here, with their own words.
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(input);
    let wrong = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => io(error),
        kind => blame(file, 1, format!("{kind:?}")),
    };
    let names = reader.byte_headers().map_err(&wrong)?.clone();
    let header = Header::of(file, names.iter(), columns)?;
    let mut rows = Vec::new();
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(&wrong)? {
        let line = record.position().map_or(0, |at| at.line()) as usize;
        let cells: Vec<&[u8]> = record.iter().collect();
        rows.push(header.row(file, line, &cells)?);
    }
    Ok(rows)
}

/// The names of all columns, and which are wanted.
struct Header {
    names: Vec<String>,
    wanted: Vec<usize>,
}

impl Header {
    fn of<'a>(
        file: &str,
        cells: impl Iterator<Item = &'a [u8]>,
        columns: &[Column<'_>],
    ) -> Result<Self> {
        let name = |cell| match std::str::from_utf8(cell) {
            // A byte-order mark is no part of a name.
            Ok(name) => Ok(name.trim_start_matches('\u{feff}').to_owned()),
            Err(_) => Err("the header is not valid UTF-8".to_owned()),
        };
        let names: Result<Vec<String>, String> = cells.map(name).collect();
        let names = names.map_err(|reason| blame(file, 1, reason))?;
        let wanted = columns.iter().map(|column| position(&names, column));
        let wanted = wanted
            .collect::<Result<_, _>>()
            .map_err(|reason| blame(file, 1, reason))?;
        Ok(Self { names, wanted })
    }

    fn row(&self, file: &str, line: usize, cells: &[&[u8]]) -> Result<Row> {
        let (found, expected) = (cells.len(), self.names.len());
        if found != expected {
            let reason = format!("{found} columns, but the header has {expected}");
            return Err(blame(file, line, reason));
        }
        let cell = |&at: &usize| match std::str::from_utf8(cells[at]) {
            Ok(cell) => Ok(cell.to_owned()),
            Err(_) => {
                let reason = format!("column {} is not valid UTF-8", self.names[at]);
                Err(blame(file, line, reason))
            }
        };
        let cells = self.wanted.iter().map(cell).collect::<Result<_>>()?;
        Ok(Row { line, cells })
    }
}

/// Where the first of a column's names is.
fn position(names: &[String], column: Column<'_>) -> Result<usize, String> {
    let Some(name) = column
        .iter()
        .find(|name| names.iter().any(|own| own == *name))
    else {
        return Err(format!(
            "there is no column {}, only {}",
            column.join(", nor "),
            names.join(", ")
        ));
    };
    let mut found = (0..names.len()).filter(|&at| names[at] == *name);
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        _ => Err(format!("there are two columns {name}")),
    }
}

fn objects(
    input: impl BufRead,
    file: &str,
    columns: &[Column<'_>],
    io: impl Fn(std::io::Error) -> Error,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (at, line) in input.split(b'\n').enumerate() {
        let text = line.map_err(&io)?;
        let line = at + 1;
        let text = text
            .strip_prefix(b"\xef\xbb\xbf")
            .filter(|_| at == 0)
            .unwrap_or(&text);
        if text.trim_ascii().is_empty() {
            continue;
        }
        let object: Map<String, Value> = serde_json::from_slice(text)
            .map_err(|error| blame(file, line, format!("no JSON object: {error}")))?;
        let cell = |column: &Column<'_>| {
            let found = column.iter().find_map(|name| object.get(*name));
            let found =
                found.ok_or_else(|| format!("there is no key {}", column.join(", nor ")))?;
            cell(found)
                .ok_or_else(|| format!("key {} is neither a value nor a list", column.join(" or ")))
        };
        let cells = columns
            .iter()
            .map(|column| cell(column).map_err(|reason| blame(file, line, reason)));
        let cells = cells.collect::<Result<_>>()?;
        rows.push(Row { line, cells });
    }
    Ok(rows)
}

/// A value as a table without types would have it.
fn cell(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(values) => {
            let cells: Option<Vec<String>> = values.iter().map(cell).collect();
            Some(cells?.join(" "))
        }
        Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column<'_>] = &[&["sentence", "text"], &["label"]];

    fn read(name: &str, content: &str) -> Result<Vec<(usize, String, String)>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let table = Table::read(&path, COLUMNS).map_err(|error| {
            let message = error.to_string();
            message.rsplit('/').next().unwrap_or_default().to_owned()
        })?;
        let row = |row: Row| (row.line, row.cells[0].clone(), row.cells[1].clone());
        Ok(table.rows.into_iter().map(row).collect())
    }

    fn row(line: usize, first: &str, second: &str) -> (usize, String, String) {
        (line, first.to_owned(), second.to_owned())
    }

    #[test]
    fn columns_by_name_in_any_order_and_quotes_by_the_kind_of_file() {
        let found = read(
            "t.tsv",
            "\u{feff}label\tid\ttext\n1\t7\t\"a\" b\n\n0\t8\t\"c\r\n",
        )
        .unwrap();
        assert_eq!(found, [row(2, "\"a\" b", "1"), row(4, "\"c", "0")]);
        let found = read("t.csv", "label,text\n1,\"a, \"\"b\"\"\nc\"\n0,d\n").unwrap();
        assert_eq!(found, [row(2, "a, \"b\"\nc", "1"), row(4, "d", "0")]);
        let lines = "{\"text\": \"a\\tb\", \"label\": 3, \"id\": null}\n\n{\"label\": [\"x\", 0.5], \"sentence\": \"c\"}\n";
        let found = read("t.jsonl", lines).unwrap();
        assert_eq!(found, [row(1, "a\tb", "3"), row(3, "c", "x 0.5")]);
    }

    #[test]
    fn lines_are_texts_and_names_are_those_of_the_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let path = file("t.txt", "a\tb\r\n\n\"c\n");
        let rows = Table::read(&path, &[&["sentence", "text"]]).unwrap().rows;
        let rows: Vec<(usize, &str)> = rows.iter().map(|r| (r.line, &*r.cells[0])).collect();
        assert_eq!(rows, [(1, "a\tb"), (3, "\"c")]);
        for (name, content) in [
            ("n.tsv", "\u{feff}a b\tc\r\n1\t2\n"),
            ("n.csv", "\"a b\",c\n1,2\n"),
            ("n.jsonl", "\n{\"a b\": 1, \"c\": 2}\n{}\n"),
        ] {
            let names = Table::names(&file(name, content)).unwrap();
            assert_eq!(names, ["a b", "c"], "{name}");
        }
        assert!(Table::names(&file("empty.tsv", "")).is_err());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (name, content, says) in [
            (
                "t.tsv",
                "text\tintent\n",
                "t.tsv, line 1: there is no column label, only text, intent",
            ),
            (
                "t.tsv",
                "text\tlabel\ttext\n",
                "line 1: there are two columns text",
            ),
            (
                "t.tsv",
                "id\tlabel\n",
                "line 1: there is no column sentence, nor text, only id, label",
            ),
            (
                "t.tsv",
                "text\tlabel\na\t1\nb\n",
                "line 3: 1 columns, but the header has 2",
            ),
            ("t.csv", "text,label\na,b,c\n", "line 2: 3 columns"),
            (
                "t.jsonl",
                "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"a\"}\n",
                "line 2: there is no key label",
            ),
            ("t.jsonl", "[]\n", "line 1: no JSON object"),
            (
                "t.jsonl",
                "{\"text\": {}, \"label\": 1}\n",
                "line 1: key sentence or text is neither",
            ),
        ] {
            let error = read(name, content).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.tsv");
        std::fs::write(&path, b"text\tlabel\na\t1\nb\xff\t0\n").unwrap();
        let error = Table::read(&path, COLUMNS).unwrap_err().to_string();
        assert!(
            error.ends_with("t.tsv, line 3: column text is not valid UTF-8"),
            "{error}"
        );
        let missing = Table::read(&dir.path().join("no"), COLUMNS).unwrap_err();
        assert!(matches!(missing, Error::Io { .. }));
    }
}
