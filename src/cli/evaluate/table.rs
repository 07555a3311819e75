//! Reads the examples of an evaluation from a table.

use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Result, anyhow, bail};
use bertless::Error;
use bertless::train::{Cell, TableFormat, TableReader};

use super::super::input::{Item, ItemSource};
use super::super::lines::{Location, Opened};

/// A table and the columns that are read from it.
pub(super) struct GoldTable {
    reader: TableReader,
    file: Rc<str>,
    size: Option<u64>,
    /// Whether no row has been read.
    fresh: bool,
}

/// A text or pair, and its expected answer.
#[derive(Debug, Clone)]
pub(super) struct GoldExample {
    item: Item,
    /// Byte ranges of the words of the first text.
    pub(super) words: Vec<Range<usize>>,
    pub(super) expected: Cell,
}

impl AsRef<Item> for GoldExample {
    fn as_ref(&self) -> &Item {
        &self.item
    }
}

impl GoldExample {
    /// An error about this example, which names its line.
    pub(super) fn blame(&self, reason: impl std::fmt::Display) -> anyhow::Error {
        self.item.location.blame(anyhow!("{reason}"))
    }
}

/// Opens a table and reads its header.
pub(super) fn open(path: &Path) -> Result<GoldTable> {
    let opened = Opened::new(path)?;
    let name = opened.name.to_string();
    Ok(GoldTable {
        reader: TableReader::new(name, TableFormat::of(path)?, opened.input)?,
        file: opened.name,
        size: opened.size,
        fresh: true,
    })
}

impl GoldTable {
    /// Whether there is a column of this name. For JSON lines the first object decides.
    pub(super) fn has(&self, name: &str) -> bool {
        self.reader.names().iter().any(|own| own == name)
    }

    /// Selects the columns of the texts and of the expected answers, each by the first of its names that the table has.
    pub(super) fn with(mut self, texts: &[Vec<String>], expected: &[String]) -> Result<Self> {
        fn borrowed(column: &[String]) -> Vec<&str> {
            column.iter().map(String::as_str).collect()
        }
        let texts: Vec<Vec<&str>> = texts.iter().map(|column| borrowed(column)).collect();
        let expected = borrowed(expected);
        for (at, column) in texts.iter().enumerate() {
            let flags = match at {
                0 => "--text-column names another",
                _ => "--text-column and --pair-column name others",
            };
            self.select(&[column], flags)?;
        }
        self.select(&[&expected], "--label-column names another")?;
        let mut all: Vec<&[&str]> = texts.iter().map(Vec::as_slice).collect();
        all.push(&expected);
        self.select(&all, "")?;
        Ok(self)
    }

    fn select(&mut self, columns: &[&[&str]], flags: &str) -> Result<()> {
        self.reader.select(columns).map_err(|error| match error {
            // Where cells are not told apart, no name of a column helps.
            Error::Data { .. } if self.reader.names().len() > 1 => anyhow!("{error}; {flags}"),
            error => error.into(),
        })
    }
}

impl ItemSource for GoldTable {
    type Item = GoldExample;

    fn next(&mut self) -> Result<Option<GoldExample>> {
        let Some(mut row) = self.reader.next_row()? else {
            return if self.fresh {
                bail!("{}, line 1: there is nothing below the header", self.file)
            } else {
                Ok(None)
            };
        };
        self.fresh = false;
        let expected = row.cells.pop().unwrap_or_default();
        let words = row.cells.first().map(Cell::words);
        let mut texts = row.cells.iter().map(|cell| cell.text().to_owned());
        Ok(Some(GoldExample {
            words: words.unwrap_or_default(),
            item: Item {
                first: texts.next().unwrap_or_default(),
                second: texts.next(),
                location: Location::Line(Rc::clone(&self.file), row.line),
            },
            expected,
        }))
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.reader.bytes(), self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, content: &str) -> Result<GoldTable> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let expected = ["label", "labels"].map(str::to_owned);
        let table = open(&path)?;
        let texts = super::super::columns_of_texts(&table);
        table.with(&texts, &expected)
    }

    fn rows(content: &str) -> Result<Vec<(String, Option<String>, String)>> {
        rows_of("t.tsv", content)
    }

    fn rows_of(name: &str, content: &str) -> Result<Vec<(String, Option<String>, String)>> {
        let mut table = table(name, content)?;
        let mut rows = Vec::new();
        while let Some(row) = table.next()? {
            let expected = row.expected.text().to_owned();
            rows.push((row.item.first, row.item.second, expected));
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
        let found = rows("hypothesis\tlabel\tpremise\nb\tx\ta\n").unwrap();
        assert_eq!(found, [row("a", Some("b"), "x")]);
        let found = rows("sentence1\tlabel\na\tx\n").unwrap();
        assert_eq!(found, [row("a", None, "x")]);
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
            (
                "words\tlabel\n",
                "t.tsv, line 1: there is no column sentence, nor text, nor sentence1, nor premise, only words, label; \
                 --text-column names another",
            ),
            ("text\tlabel\ttext\n", "two columns text"),
            ("text;label\na;1\n", "those of .tsv tabs"),
            (
                "text\tlabel\n",
                "t.tsv, line 1: there is nothing below the header",
            ),
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
