//! Writers of tables with texts and numbers, row by row.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::Path;

use crate::train::data;

/// The value of a cell.
#[derive(Clone, Copy, Debug)]
pub(super) enum OutputCell<'a> {
    Text(&'a str),
    /// A set of labels: a list in JSON lines, else names separated by commas.
    Labels(&'a [String]),
    /// A list of texts, which only JSON lines can hold.
    List(&'a data::Cell),
    Number(f32),
}

/// Format of a table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Tabs,
    Commas,
    Json,
}

impl Format {
    /// Returns the reason why a row cannot be written in this format, or `None` if it can.
    pub(super) fn refuses(self, cells: &[OutputCell<'_>]) -> Option<&'static str> {
        if self == Self::Json {
            return None;
        }
        let breaks = |text: &str| self == Self::Tabs && text.contains(['\t', '\n', '\r']);
        cells.iter().find_map(|cell| match cell {
            OutputCell::Text(text) if breaks(text) => Some(
                "a tab or a line break in a text has no place in a tab-separated table: write .csv or .jsonl",
            ),
            OutputCell::Labels(labels) if labels.iter().any(|label| label.contains(',')) => Some(
                "a label has a comma in its name, and labels have commas between them: write .jsonl",
            ),
            OutputCell::Labels(labels) if labels.iter().any(|label| breaks(label)) => Some(
                "a tab or a line break in a label has no place in a tab-separated table: write .csv or .jsonl",
            ),
            OutputCell::List(_) => Some("a list has no place in a table without types: write .jsonl"),
            _ => None,
        })
    }

    /// Formats a cell as text.
    fn written<'a>(self, cell: &OutputCell<'a>) -> Cow<'a, str> {
        let text = match *cell {
            OutputCell::Number(number) => return number.to_string().into(),
            OutputCell::Text(text) => Cow::Borrowed(text),
            OutputCell::Labels(labels) if self == Self::Json => {
                return serde_json::Value::from(labels).to_string().into();
            }
            OutputCell::Labels(labels) => labels.join(",").into(),
            OutputCell::List(list) => {
                let items = list.items().unwrap_or_default();
                return serde_json::Value::from(items).to_string().into();
            }
        };
        match self {
            Self::Json => quoted(&text).into(),
            Self::Commas if text.contains([',', '"', '\n', '\r']) => {
                format!("\"{}\"", text.replace('"', "\"\"")).into()
            }
            Self::Tabs | Self::Commas => text,
        }
    }

    /// Returns the format for a file's extension, or `None` if there is none.
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
            let header: Vec<OutputCell<'_>> =
                names.iter().map(|name| OutputCell::Text(name)).collect();
            writer.write(&header)?;
        }
        Ok(writer)
    }

    /// Writes a row; its cells are in the order of the column names.
    pub(super) fn write(&mut self, cells: &[OutputCell<'_>]) -> Result<()> {
        for (at, (cell, name)) in cells.iter().zip(&self.names).enumerate() {
            match (self.format, at) {
                (Format::Tabs, 1..) => self.out.write_all(b"\t")?,
                (Format::Commas, 1..) => self.out.write_all(b",")?,
                (Format::Json, 0) => write!(self.out, "{{{}:", quoted(name))?,
                (Format::Json, _) => write!(self.out, ",{}:", quoted(name))?,
                _ => {}
            }
            let cell = self.format.written(cell);
            self.out.write_all(cell.as_bytes())?;
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
