//! Reads the texts that a command answers: from arguments, a file or standard input.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, bail};
use bertless::train::{
    JsonLines, JsonRow, Row, TEXT_COLUMNS, TableFormat, TableReader, TextLines, usual_pair,
};
use bertless::{Error, Input};

use super::lines::{Location, Opened};
use super::usage;

/// Flags that say where texts come from, and in what format.
#[derive(Debug, clap::Args)]
pub(crate) struct InputFlags {
    /// Texts; a single `-` reads standard input, one text per line
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
    /// Read texts from a file, one per line; a .jsonl file is read as with --jsonl. Tables (.csv, and .tsv without --pairs)
    /// are refused: write the column of texts to a .txt file first
    #[arg(short, long, value_name = "FILE", conflicts_with = "texts")]
    file: Option<PathBuf>,
    /// Read pairs of texts: two arguments each, or two tab-separated columns per line, without a header; empty lines are
    /// skipped
    #[arg(long, alias = "pair")]
    pairs: bool,
    /// Read one JSON object per line: pairs from "sentence1" and "sentence2", "text" and "text_pair", "premise" and
    /// "hypothesis", or "question" and "context"; single texts from "sentence", "text", "sentence1" or "premise"; empty
    /// lines are skipped
    #[arg(long, conflicts_with = "pairs")]
    jsonl: bool,
}

/// A text or a pair of texts, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) first: String,
    pub(crate) second: Option<String>,
    pub(crate) location: Location,
}

impl Item {
    pub(crate) fn input(&self) -> Input<'_> {
        match &self.second {
            Some(second) => Input::Pair(&self.first, second),
            None => Input::Text(&self.first),
        }
    }
}

impl AsRef<Item> for Item {
    fn as_ref(&self) -> &Item {
        self
    }
}

/// A source of items that hold a text or a pair.
pub(crate) trait ItemSource {
    type Item: AsRef<Item>;

    fn next(&mut self) -> Result<Option<Self::Item>>;

    /// Whether the next item may block, so that the items at hand should be answered first.
    fn would_wait(&self) -> bool {
        false
    }

    /// Number of bytes read so far, and the total if it is known.
    fn progress(&self) -> (u64, Option<u64>) {
        (0, None)
    }
}

/// Texts or pairs, read one by one.
pub(crate) struct Inputs {
    from: Origin,
    format: InputFormat,
    /// The question asked about each text, if any.
    question: Option<String>,
    /// The error for a pair, where only single texts are accepted.
    no_pairs: Option<&'static str>,
}

enum Origin {
    Arguments {
        texts: std::vec::IntoIter<String>,
        taken: usize,
        alone: bool,
    },
    InputLines {
        lines: InputLines,
        file: Rc<str>,
        size: Option<u64>,
        waits: bool,
    },
}

/// Readers of lines, one for each format.
enum InputLines {
    Texts(TextLines),
    Pairs(Box<TableReader>),
    Objects(JsonLines),
}

impl Origin {
    /// Opens a file, or standard input if the path is `-`. A name that ends in `.jsonl` overrides `format`.
    fn file(path: &Path, format: InputFormat) -> Result<Self> {
        let opened = Opened::new(path)?;
        let named = match format {
            InputFormat::Json => None,
            _ => TableFormat::named(path)
                .context("--jsonl reads objects, one a line, whatever the file is called")?,
        };
        let (kind, do_so) = match (format, named) {
            (_, Some(TableFormat::JsonLines)) => return Ok(Self::lines(opened, InputFormat::Json)),
            (InputFormat::Text, Some(TableFormat::Commas | TableFormat::Tabs)) => (
                "a table, and texts are read from lines",
                "write its column of texts to a .txt, or its rows to a .jsonl",
            ),
            (InputFormat::Pair, Some(TableFormat::Commas)) => (
                "a table with commas, and pairs are two columns with a tab between them",
                "write its columns of texts to a .tsv without a header, or its rows to a .jsonl",
            ),
            _ => return Ok(Self::lines(opened, format)),
        };
        // What is no text at all is named as what it is first.
        let name = opened.name.to_string();
        match TextLines::new(&*name, opened.input).next_text() {
            Err(error @ (Error::Table { .. } | Error::Io { .. })) => Err(error.into()),
            _ => bail!("{name} is {kind}: {do_so} first"),
        }
    }

    fn lines(opened: Opened, format: InputFormat) -> Self {
        let (name, input) = (opened.name.to_string(), opened.input);
        let lines = match format {
            InputFormat::Text => InputLines::Texts(TextLines::new(name, input)),
            InputFormat::Pair => {
                InputLines::Pairs(Box::new(TableReader::without_header(name, &PAIR, input)))
            }
            InputFormat::Json => InputLines::Objects(JsonLines::new(name, input)),
        };
        Self::InputLines {
            lines,
            file: opened.name,
            size: opened.size,
            waits: opened.waits,
        }
    }
}

/// Keys of a question and its context.
const QUESTION: [&str; 2] = ["question", "context"];
/// The columns of lines that are pairs.
const PAIR: [&str; 2] = ["text", "text_pair"];

/// The format of a text or pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputFormat {
    /// A text per argument or line.
    Text,
    /// Two arguments, or two columns of a line.
    Pair,
    /// A JSON object.
    Json,
}

impl InputFlags {
    /// Opens the source of the texts.
    pub(crate) fn open(self) -> Result<Inputs> {
        let format = match (self.pairs, self.jsonl) {
            (true, _) => InputFormat::Pair,
            (_, true) => InputFormat::Json,
            _ => InputFormat::Text,
        };
        let from = match self.file {
            Some(path) => Origin::file(&path, format)?,
            None if self.texts == ["-"] => Origin::lines(Opened::stdin()?, format),
            None if self.texts.is_empty() => {
                return Err(usage("give texts, --file FILE, or - for standard input"));
            }
            None if self.texts.iter().any(|text| text == "-") => {
                return Err(usage("- for standard input stands alone"));
            }
            None if format == InputFormat::Json => {
                return Err(usage("--jsonl reads lines: give --file FILE or -"));
            }
            None if format == InputFormat::Pair && self.texts.len() % 2 == 1 => {
                return Err(usage("--pairs takes an even number of texts"));
            }
            None => {
                let per_item = if format == InputFormat::Pair { 2 } else { 1 };
                Origin::Arguments {
                    alone: self.texts.len() == per_item,
                    texts: self.texts.into_iter(),
                    taken: 0,
                }
            }
        };
        Ok(Inputs::new(from, format))
    }

    /// Opens the source of the texts in pair mode, whether or not `--pairs` was given.
    pub(crate) fn open_pairs(mut self) -> Result<Inputs> {
        if !self.pairs && self.texts.len() % 2 == 1 && self.texts != ["-"] {
            return Err(usage("texts are compared two by two: give an even number"));
        }
        self.pairs = !self.jsonl;
        self.open()
    }
}

impl Inputs {
    fn new(from: Origin, format: InputFormat) -> Self {
        Self {
            from,
            format,
            question: None,
            no_pairs: None,
        }
    }

    /// Opens a file, or standard input if the path is `-`.
    pub(crate) fn of_file(path: &Path, format: InputFormat) -> Result<Self> {
        Ok(Self::new(Origin::file(path, format)?, format))
    }

    /// One pair, given as arguments.
    pub(crate) fn pair(first: String, second: String) -> Self {
        let from = Origin::Arguments {
            texts: vec![first, second].into_iter(),
            taken: 0,
            alone: true,
        };
        Self::new(from, InputFormat::Pair)
    }

    /// Makes each text the context of a question.
    pub(crate) fn ask(mut self, question: String) -> Result<Self> {
        if self.format != InputFormat::Text {
            return Err(usage("--question takes texts, not --pairs or --jsonl"));
        }
        self.question = Some(question);
        Ok(self.texts_alone("there are two texts: --question takes one"))
    }

    /// Refuses pairs with this error.
    pub(crate) fn texts_alone(mut self, reason: &'static str) -> Self {
        self.no_pairs = Some(reason);
        self
    }
}

impl ItemSource for Inputs {
    type Item = Item;

    fn next(&mut self) -> Result<Option<Item>> {
        let item = match &mut self.from {
            Origin::Arguments {
                texts,
                taken,
                alone,
            } => {
                let Some(first) = texts.next() else {
                    return Ok(None);
                };
                *taken += 1;
                let second = match self.format {
                    InputFormat::Pair => texts.next(),
                    _ => None,
                };
                let location = if *alone {
                    Location::Only
                } else {
                    Location::Argument(*taken)
                };
                Item {
                    first,
                    second,
                    location,
                }
            }
            Origin::InputLines { lines, file, .. } => match lines.next(file)? {
                Some(item) => item,
                None => return Ok(None),
            },
        };
        let wrong = match (&item.second, self.no_pairs, self.format) {
            (Some(_), reason, _) => reason,
            (None, _, InputFormat::Pair) => Some("there is one text, and two are needed"),
            _ => None,
        };
        if let Some(reason) = wrong {
            return Err(item.location.blame(anyhow!(reason)));
        }
        Ok(Some(match &self.question {
            Some(question) => Item {
                first: question.clone(),
                second: Some(item.first),
                location: item.location,
            },
            None => item,
        }))
    }

    fn would_wait(&self) -> bool {
        match &self.from {
            Origin::Arguments { .. } => false,
            Origin::InputLines { lines, waits, .. } => *waits && !lines.is_ready(),
        }
    }

    fn progress(&self) -> (u64, Option<u64>) {
        match &self.from {
            Origin::Arguments { taken, .. } => (*taken as u64, None),
            Origin::InputLines { lines, size, .. } => (lines.bytes(), *size),
        }
    }
}

impl InputLines {
    /// The next item of a file.
    fn next(&mut self, file: &Rc<str>) -> Result<Option<Item>> {
        let location = |line| Location::Line(Rc::clone(file), line);
        match self {
            Self::Texts(lines) => Ok(lines.next_text()?.map(|(line, text)| Item {
                first: text,
                second: None,
                location: location(line),
            })),
            Self::Pairs(rows) => match rows.next_row()? {
                Some(row) => pair(&row, location(row.line)).map(Some),
                None => Ok(None),
            },
            Self::Objects(rows) => match rows.next_row()? {
                Some((line, row)) => object(&row, location(line)).map(Some),
                None => Ok(None),
            },
        }
    }

    fn is_ready(&self) -> bool {
        match self {
            Self::Texts(lines) => lines.is_ready(),
            Self::Pairs(rows) => rows.is_ready(),
            Self::Objects(rows) => rows.is_ready(),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Texts(lines) => lines.bytes(),
            Self::Pairs(rows) => rows.bytes(),
            Self::Objects(rows) => rows.bytes(),
        }
    }
}

/// Takes a pair from a row of two columns. Refuses a row that is a header.
fn pair(row: &Row, location: Location) -> Result<Item> {
    let [first, second] = [0, 1].map(|at| row.cells[at].text());
    let names = [first, second];
    if names == QUESTION || usual_pair(|name| names.contains(&name)).is_some() {
        return Err(location.blame(anyhow!(
            "{first} and {second} are names of columns: pairs are read without a header"
        )));
    }
    Ok(Item {
        first: first.to_owned(),
        second: Some(second.to_owned()),
        location,
    })
}

/// Takes a text or pair from a JSON object. Ignores other keys.
fn object(row: &JsonRow, location: Location) -> Result<Item> {
    let get = |name| match row.get(name) {
        Ok(cell) => Ok(cell.map(|cell| cell.text().to_owned())),
        Err(reason) => Err(location.blame(anyhow!(reason))),
    };
    let has = |name: &str| matches!(row.get(name), Ok(Some(_)) | Err(_));
    let question = QUESTION.map(has);
    let pair = usual_pair(has);
    let text = TEXT_COLUMNS.into_iter().find(|name| has(name));
    let (first, second) = match (question, pair, text) {
        ([false, false], Some([first, second]), _) => (get(first)?, get(second)?),
        ([false, false], None, Some(text)) => (get(text)?, None),
        ([true, true], None, None) => (get(QUESTION[0])?, get(QUESTION[1])?),
        _ => (None, None),
    };
    let Some(first) = first else {
        let needed =
            r#"an object needs "text", or "text" and "text_pair", or "question" and "context""#;
        let null = |name: &&str| QUESTION.contains(name) || TEXT_COLUMNS.contains(name);
        return Err(
            location.blame(match row.names().find(|name| null(name) && !has(name)) {
                Some(name) => anyhow!("{needed}, and {name:?} is null"),
                None => anyhow!(needed),
            }),
        );
    };
    Ok(Item {
        first,
        second,
        location,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(item: Result<Item>) -> Result<(String, Option<String>), String> {
        item.map(|item| (item.first, item.second))
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn two_columns_and_no_other_number() {
        let pairs = |content: &'static [u8]| {
            let mut lines =
                InputLines::Pairs(Box::new(TableReader::without_header("f", &PAIR, content)));
            let item = lines.next(&"f".into()).map(Option::unwrap);
            shape(item)
        };
        let pair = ("a ".to_owned(), Some("b\"".to_owned()));
        assert_eq!(pairs(b"a \tb\"\n"), Ok(pair));
        for line in [
            &b"a"[..],
            b"a\tb\tc",
            b"sentence1\tsentence2",
            b"text_pair\ttext",
            b"question\tcontext",
        ] {
            let error = pairs(line).unwrap_err();
            assert!(error.contains("f, line 1: "), "{error}");
        }
    }

    #[test]
    fn objects() {
        let item = |line| {
            let row = JsonRow::parse(line).map_err(|reason| anyhow!(reason));
            shape(row.and_then(|row| object(&row, Location::Only)))
        };
        assert_eq!(
            item(r#"{"text":"a\tb","id":7}"#).unwrap(),
            ("a\tb".to_owned(), None)
        );
        let pair = ("a".to_owned(), Some("b".to_owned()));
        for named in [
            r#"{"sentence2":"b","text":"c","sentence1":"a"}"#,
            r#"{"premise":"a","hypothesis":"b","label":0}"#,
        ] {
            assert_eq!(item(named).unwrap(), pair, "{named}");
        }
        for named in [
            r#"{"sentence":"a","text":"b"}"#,
            r#"{"sentence":null,"text":"a","text_pair":null}"#,
            r#"{"sentence1":"a"}"#,
        ] {
            assert_eq!(item(named).unwrap(), ("a".to_owned(), None), "{named}");
        }
        let null = item(r#"{"text":null,"id":1}"#).unwrap_err();
        assert!(null.ends_with(r#"and "text" is null"#), "{null}");
        assert!(
            item(r#"{"text":"a","text":"b"}"#)
                .unwrap_err()
                .contains("twice")
        );
        assert_eq!(item(r#"{"text_pair":"b","text":"a"}"#).unwrap(), pair);
        assert_eq!(item(r#"{"question":"a","context":"b"}"#).unwrap(), pair);
        // As tables have it.
        assert_eq!(item(r#"{"text":1}"#).unwrap(), ("1".to_owned(), None));
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"question":"a"}"#,
            r#"{"question":"a","context":"b","text":"c"}"#,
            r#"{"text":{}}"#,
        ] {
            assert!(item(wrong).is_err(), "{wrong}");
        }
        let row = JsonRow::parse("{}").unwrap();
        let at = object(&row, Location::Line("f".into(), 3)).unwrap_err();
        assert!(format!("{at:#}").starts_with("f, line 3: an object needs"));
    }
}
