//! Tables of texts and numbers, row by row.

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::Path;

/// What a cell holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'a> {
    Text(&'a str),
    Number(f32),
}

/// How rows are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Tabs,
    Commas,
    Json,
}

impl Format {
    /// By the ending of a file's name, if it is one of a table.
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "jsonl" => Some(Self::Json),
            "csv" => Some(Self::Commas),
            "tsv" => Some(Self::Tabs),
            _ => None,
        }
    }
}

/// A table that is being written.
pub(super) struct Writer {
    format: Format,
    out: BufWriter<File>,
    names: Vec<String>,
}

impl Writer {
    pub(super) fn new(format: Format, path: &Path, names: &[String]) -> Result<Self> {
        let mut writer = Self {
            format,
            out: BufWriter::new(File::create(path)?),
            names: names.to_vec(),
        };
        if format != Format::Json {
            let header: Vec<Cell<'_>> = names.iter().map(|name| Cell::Text(name)).collect();
            writer.write(&header)?;
        }
        Ok(writer)
    }

    /// Why a row cannot be written, if it cannot.
    pub(super) fn refuses(&self, cells: &[Cell<'_>]) -> Option<&'static str> {
        let breaks =
            |cell: &Cell<'_>| matches!(cell, Cell::Text(text) if text.contains(['\t', '\n', '\r']));
        (self.format == Format::Tabs && cells.iter().any(breaks)).then_some(
            "a tab or a line break in a text has no place in a tab-separated table: write .csv or .jsonl",
        )
    }

    /// In the order of the names.
    pub(super) fn write(&mut self, cells: &[Cell<'_>]) -> Result<()> {
        for (at, (cell, name)) in cells.iter().zip(&self.names).enumerate() {
            match (self.format, at) {
                (Format::Tabs, 1..) => self.out.write_all(b"\t")?,
                (Format::Commas, 1..) => self.out.write_all(b",")?,
                (Format::Json, 0) => write!(self.out, "{{{}:", quoted(name))?,
                (Format::Json, _) => write!(self.out, ",{}:", quoted(name))?,
                _ => {}
            }
            match (self.format, cell) {
                (_, Cell::Number(number)) => write!(self.out, "{number}")?,
                (Format::Tabs, Cell::Text(text)) => self.out.write_all(text.as_bytes())?,
                (Format::Json, Cell::Text(text)) => self.out.write_all(quoted(text).as_bytes())?,
                (Format::Commas, Cell::Text(text)) if text.contains([',', '"', '\n', '\r']) => {
                    write!(self.out, "\"{}\"", text.replace('"', "\"\""))?;
                }
                (Format::Commas, Cell::Text(text)) => self.out.write_all(text.as_bytes())?,
            }
        }
        self.out.write_all(match self.format {
            Format::Json => b"}\n",
            _ => b"\n",
        })
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.out.flush()
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
