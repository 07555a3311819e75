//! Tables whose columns have names: separated by tabs, without quoting, row by row; `.csv` and `.jsonl` as trainings read them.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Result, anyhow};
use bertless::train::{column_names, read_rows};

use super::super::input::Item;
use super::super::lines::{Lines, Place};
use super::super::stream::Source;

/// Usual names of the columns of one text or a pair.
pub(super) const TEXTS: &[(&str, Option<&str>)] = &[
    ("text", Some("text_pair")),
    ("sentence1", Some("sentence2")),
    ("sentence", None),
    ("text", None),
];
/// The same where there must be two.
pub(super) const PAIRS: &[(&str, Option<&str>)] = &[
    ("sentence1", Some("sentence2")),
    ("text", Some("text_pair")),
];

/// Words parted by spaces.
pub(super) const TOKENS: &[(&str, Option<&str>)] = &[("tokens", None)];
pub(super) const QUESTIONS: &[(&str, Option<&str>)] = &[("question", Some("context"))];

/// A table whose header is read.
pub(super) struct Header {
    rest: Rest,
    file: String,
    names: Vec<String>,
}

/// What is below a header.
enum Rest {
    /// Lines with tabs, still to be read.
    Lines(Lines),
    /// A file of another kind, which is read whole.
    File(PathBuf),
}

/// A table whose columns are found.
pub(super) enum Table {
    Lines {
        lines: Lines,
        /// How many columns each row has.
        width: usize,
        columns: Columns,
    },
    Rows {
        file: Rc<str>,
        /// Which cells they are of.
        columns: Columns,
        rows: std::vec::IntoIter<(usize, Vec<String>)>,
    },
}

/// Which of a row's cells are needed.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    text: usize,
    pair: Option<usize>,
    expected: usize,
}

impl Columns {
    fn row(self, place: Place, cell: impl Fn(usize) -> String) -> Row {
        Row {
            item: Item {
                first: cell(self.text),
                second: self.pair.map(&cell),
                place,
            },
            expected: cell(self.expected),
        }
    }
}

/// What is asked, and what is expected.
#[derive(Debug, Clone)]
pub(super) struct Row {
    item: Item,
    pub(super) expected: String,
}

impl AsRef<Item> for Row {
    fn as_ref(&self) -> &Item {
        &self.item
    }
}

impl Row {
    /// The first text, or the only one.
    pub(super) fn text(&self) -> &str {
        &self.item.first
    }

    /// An error about this row.
    pub(super) fn blame(&self, reason: impl std::fmt::Display) -> anyhow::Error {
        self.item.place.blame(anyhow!("{reason}"))
    }
}

/// Opens a table and reads its header.
pub(super) fn open(path: &Path) -> Result<Header> {
    let file = path.display().to_string();
    let kind = path.extension().and_then(|kind| kind.to_str());
    if matches!(kind, Some("csv" | "jsonl")) {
        return Ok(Header {
            names: column_names(path)?,
            rest: Rest::File(path.to_owned()),
            file,
        });
    }
    let mut lines = Lines::open(path)?;
    let Some((header, _)) = lines.next()? else {
        return Err(anyhow!("{file}: there is no header"));
    };
    Ok(Header {
        rest: Rest::Lines(lines),
        file,
        names: header.split('\t').map(str::to_owned).collect(),
    })
}

/// Names that own their text.
pub(super) fn names(names: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    let own = |name: &str| name.to_owned();
    names
        .iter()
        .map(|(first, second)| (own(first), second.map(own)))
        .collect()
}

impl Header {
    /// Finds the columns: the first of `texts` and of `expected` that are there.
    pub(super) fn with(
        self,
        texts: &[(String, Option<String>)],
        expected: &[String],
    ) -> Result<Table> {
        let mut found = None;
        for (first, second) in texts {
            let first = self.column(first)?;
            let second = second.as_ref().map(|name| self.column(name)).transpose()?;
            match (first, second) {
                (Some(text), None) => found = found.or(Some((text, None))),
                (Some(text), Some(Some(pair))) => found = found.or(Some((text, Some(pair)))),
                _ => {}
            }
        }
        let wanted = texts.iter().map(|(first, second)| match second {
            Some(second) => format!("{first} and {second}"),
            None => first.clone(),
        });
        let (text, pair) = found.ok_or_else(|| self.missing(wanted, "text"))?;
        let mut column = None;
        for name in expected {
            column = column.or(self.column(name)?);
        }
        let wanted = expected.iter().cloned();
        let expected = column.ok_or_else(|| self.missing(wanted, "label"))?;
        let columns = Columns {
            text,
            pair,
            expected,
        };
        match self.rest {
            Rest::Lines(lines) => Ok(Table::Lines {
                lines,
                width: self.names.len(),
                columns,
            }),
            Rest::File(path) => {
                let wanted = [Some(text), pair, Some(expected)].into_iter().flatten();
                let names: Vec<&str> = wanted.map(|at| &*self.names[at]).collect();
                Ok(Table::Rows {
                    file: self.file.into(),
                    columns: Columns {
                        text: 0,
                        pair: pair.map(|_| 1),
                        expected: names.len() - 1,
                    },
                    rows: read_rows(&path, &names)?.into_iter(),
                })
            }
        }
    }

    fn column(&self, name: &str) -> Result<Option<usize>> {
        let mut columns = (0..self.names.len()).filter(|&index| self.names[index] == name);
        match (columns.next(), columns.next()) {
            (_, Some(_)) => Err(anyhow!("{}: there are two columns {name:?}", self.file)),
            (column, None) => Ok(column),
        }
    }

    fn missing(&self, wanted: impl Iterator<Item = String>, flag: &str) -> anyhow::Error {
        let wanted: Vec<String> = wanted.collect();
        anyhow!(
            "{}: there is no column {}, only {}; --{flag}-column names another",
            self.file,
            wanted.join(", nor "),
            self.names.join(", ")
        )
    }
}

impl Source for Table {
    type Item = Row;

    fn next(&mut self) -> Result<Option<Row>> {
        match self {
            Self::Lines {
                lines,
                width,
                columns,
            } => loop {
                let Some((line, place)) = lines.next()? else {
                    return Ok(None);
                };
                if !line.is_empty() {
                    return cells(&line, place, *width, *columns).map(Some);
                }
            },
            Self::Rows {
                file,
                columns,
                rows,
            } => Ok(rows.next().map(|(line, cells)| {
                let place = Place::Line(Rc::clone(file), line);
                columns.row(place, |at| cells[at].clone())
            })),
        }
    }

    fn would_wait(&self) -> bool {
        false // nothing is printed before the end
    }

    fn progress(&self) -> (u64, Option<u64>) {
        match self {
            Self::Lines { lines, .. } => lines.progress(),
            Self::Rows { .. } => (0, None),
        }
    }
}

fn cells(line: &str, place: Place, width: usize, columns: Columns) -> Result<Row> {
    let cells: Vec<&str> = line.split('\t').collect();
    match cells.len() == width {
        true => Ok(columns.row(place, |at| cells[at].to_owned())),
        false => Err(place.blame(anyhow!(
            "{} columns, but the header has {width}",
            cells.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, content: &str) -> Result<Table> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let expected = ["label", "labels"].map(str::to_owned);
        open(&path)?.with(&names(TEXTS), &expected)
    }

    fn rows(content: &str) -> Result<Vec<(String, Option<String>, String)>> {
        rows_of("t.tsv", content)
    }

    fn rows_of(name: &str, content: &str) -> Result<Vec<(String, Option<String>, String)>> {
        let mut table = table(name, content)?;
        let mut rows = Vec::new();
        while let Some(row) = table.next()? {
            rows.push((row.item.first, row.item.second, row.expected));
        }
        Ok(rows)
    }

    fn row(first: &str, second: Option<&str>, expected: &str) -> (String, Option<String>, String) {
        (
            first.to_owned(),
            second.map(str::to_owned),
            expected.to_owned(),
        )
    }

    #[test]
    fn columns_by_name_in_any_order_and_quotes_are_text() {
        let found = rows("label\tid\tsentence\n1\t7\t\"a\" b\n\n0\t8\t\"c\r\n").unwrap();
        assert_eq!(found, [row("\"a\" b", None, "1"), row("\"c", None, "0")]);
        let found = rows("sentence2\tlabels\tsentence1\nb\tx,y\ta\n").unwrap();
        assert_eq!(found, [row("a", Some("b"), "x,y")]);
        let found = rows("text_pair\tlabel\ttext\nb\tx\ta\n").unwrap();
        assert_eq!(found, [row("a", Some("b"), "x")]);
    }

    #[test]
    fn tables_of_other_kinds_have_the_same_rows() {
        let expected = [row("a, \"b\"", Some("c"), "x"), row("d", Some("e"), "y")];
        for (name, content) in [
            (
                "t.tsv",
                "label\tsentence1\tsentence2\nx\ta, \"b\"\tc\ny\td\te\n",
            ),
            (
                "t.csv",
                "label,sentence1,sentence2\nx,\"a, \"\"b\"\"\",c\ny,d,e\n",
            ),
            (
                "t.jsonl",
                r#"{"label": "x", "sentence2": "c", "sentence1": "a, \"b\""}
                {"sentence1": "d", "sentence2": "e", "label": "y"}"#,
            ),
        ] {
            assert_eq!(rows_of(name, content).unwrap(), expected, "{name}");
        }
        let error = rows_of("t.csv", "text,label\na,1\nb\n").unwrap_err();
        assert!(
            format!("{error:#}").contains("line 3: 1 columns"),
            "{error:#}"
        );
    }

    #[test]
    fn what_is_wrong_with_a_table_is_said() {
        for (content, says) in [
            ("", "no header"),
            (
                "sentence\tintent\n",
                "there is no column label, nor labels, only sentence, intent",
            ),
            ("sentence1\tlabel\n", "--text-column"),
            ("text\tlabel\ttext\n", "two columns \"text\""),
            (
                "text\tlabel\na\n",
                "line 2: 1 columns, but the header has 2",
            ),
            ("text\tlabel\na\t1\nb\tc\td\n", "line 3: 3 columns"),
        ] {
            let error = format!("{:#}", rows(content).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
    }
}
