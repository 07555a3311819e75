//! Which kind of table a file is.

use std::path::Path;

/// How the rows of a table are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TableFormat {
    /// Cells with tabs between them, in which a quote is text. The first line names the columns.
    Tabs,
    /// Cells with commas between them. A cell with commas, quotes or line breaks in it has quotes around it. The first line
    /// names the columns.
    Commas,
    /// JSON objects, one a line, whose keys are the names of the columns.
    JsonLines,
    /// Texts, one a line, in a column that is called `text`.
    Lines,
}

impl TableFormat {
    /// The format by the ending of a file's name: `.csv`, `.jsonl`, `.txt`, or else tabs.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Self::Commas,
            Some("jsonl") => Self::JsonLines,
            Some("txt") => Self::Lines,
            _ => Self::Tabs,
        }
    }
}
