//! What a table asks and what it expects, row by row.

use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Result, anyhow};
use bertless::train::{Cell, TableFormat, TableReader};

use super::super::input::Item;
use super::super::lines::{Opened, Place};
use super::super::show::shortened;
use super::super::stream::Source;

/// Usual names of the columns of one text or a pair, in the order in which trainings look for them.
pub(super) const TEXTS: &[(&str, Option<&str>)] = &[
    ("sentence1", Some("sentence2")),
    ("text", Some("text_pair")),
    ("sentence", None),
    ("text", None),
    ("sentence1", None),
];
/// Usual names of the columns of a pair.
pub(super) const PAIRS: &[(&str, Option<&str>)] = &[
    ("sentence1", Some("sentence2")),
    ("text", Some("text_pair")),
];

/// The usual name of the column of words.
pub(super) const TOKENS: &[(&str, Option<&str>)] = &[("tokens", None)];
pub(super) const QUESTIONS: &[(&str, Option<&str>)] = &[("question", Some("context"))];

/// The most characters of a header that an error repeats.
const QUOTED: usize = 200;

/// A table, of whose rows some columns are read.
pub(super) struct Table {
    reader: TableReader,
    file: Rc<str>,
    size: Option<u64>,
}

/// What is asked, and what is expected.
#[derive(Debug, Clone)]
pub(super) struct Row {
    item: Item,
    /// Where the words of the first text are.
    pub(super) words: Vec<Range<usize>>,
    pub(super) expected: Cell,
}

impl AsRef<Item> for Row {
    fn as_ref(&self) -> &Item {
        &self.item
    }
}

impl Row {
    /// An error about this row.
    pub(super) fn blame(&self, reason: impl std::fmt::Display) -> anyhow::Error {
        self.item.place.blame(anyhow!("{reason}"))
    }
}

/// Opens a table and reads its header.
pub(super) fn open(path: &Path) -> Result<Table> {
    let opened = Opened::new(path)?;
    let name = opened.name.to_string();
    Ok(Table {
        reader: TableReader::new(name, TableFormat::of(path)?, opened.input)?,
        file: opened.name,
        size: opened.size,
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

impl Table {
    /// Selects the columns: the first of `texts` and of `expected` that are there.
    pub(super) fn with(
        mut self,
        texts: &[(String, Option<String>)],
        expected: &[String],
    ) -> Result<Self> {
        let has = |name: &String| self.reader.names().contains(name);
        let found = texts
            .iter()
            .find(|(first, second)| has(first) && second.as_ref().is_none_or(has));
        let wanted = texts.iter().map(|(first, second)| match second {
            Some(second) => format!("{first} and {second}"),
            None => first.clone(),
        });
        let (text, pair) = found.ok_or_else(|| self.missing(wanted, "text"))?;
        let target = expected.iter().find(|name| has(name));
        let target = target.ok_or_else(|| self.missing(expected.iter().cloned(), "label"))?;
        let columns = [Some(text), pair.as_ref(), Some(target)];
        let columns: Vec<[&str; 1]> = columns
            .into_iter()
            .flatten()
            .map(|name| [&**name])
            .collect();
        let columns: Vec<&[&str]> = columns.iter().map(|name| &name[..]).collect();
        self.reader.select(&columns)?;
        Ok(self)
    }

    fn missing(&self, wanted: impl Iterator<Item = String>, flag: &str) -> anyhow::Error {
        let wanted: Vec<String> = wanted.collect();
        anyhow!(
            "{}: there is no column {}, only {}; --{flag}-column names another",
            self.file,
            wanted.join(", nor "),
            shortened(&self.reader.names().join(", "), QUOTED)
        )
    }
}

impl Source for Table {
    type Item = Row;

    fn next(&mut self) -> Result<Option<Row>> {
        let Some(mut row) = self.reader.next_row()? else {
            return Ok(None);
        };
        let expected = row.cells.pop().unwrap_or_default();
        let words = row.cells.first().map(Cell::words);
        let mut texts = row.cells.iter().map(|cell| cell.text().to_owned());
        Ok(Some(Row {
            words: words.unwrap_or_default(),
            item: Item {
                first: texts.next().unwrap_or_default(),
                second: texts.next(),
                place: Place::Line(Rc::clone(&self.file), row.line),
            },
            expected,
        }))
    }

    fn would_wait(&self) -> bool {
        false // nothing is printed before the end
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.reader.bytes(), self.size)
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
            ("words\tlabel\n", "--text-column"),
            ("text\tlabel\ttext\n", "two columns text"),
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
