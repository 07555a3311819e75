//! The texts that a command is about.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use bertless::Input;

use super::lines::{Lines, Place};
use super::usage;

/// Where texts come from, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct InputFlags {
    /// Texts; `-` alone reads them from standard input, a line a text
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
    /// Read texts from a file, a line a text
    #[arg(short, long, value_name = "FILE", conflicts_with = "texts")]
    file: Option<PathBuf>,
    /// Texts belong together two by two: neighbouring arguments, or both columns of a tab-separated line
    #[arg(long, alias = "pair")]
    pairs: bool,
    /// Lines are JSON objects with "text", or "text" and "text_pair", or "question" and "context"
    #[arg(long, conflicts_with = "pairs")]
    jsonl: bool,
}

/// A text or a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) first: String,
    pub(crate) second: Option<String>,
    pub(crate) place: Place,
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

/// Texts as they come.
pub(crate) struct Inputs {
    from: From,
    form: Form,
    /// The question that each text is a context to.
    question: Option<String>,
}

enum From {
    Arguments {
        texts: std::vec::IntoIter<String>,
        taken: usize,
        alone: bool,
    },
    Lines(Lines),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Pair,
    Json,
}

impl InputFlags {
    /// Opens the source of the texts.
    pub(crate) fn open(self) -> Result<Inputs> {
        let form = match (self.pairs, self.jsonl) {
            (true, _) => Form::Pair,
            (_, true) => Form::Json,
            _ => Form::Text,
        };
        let from = match self.file {
            Some(path) => From::Lines(Lines::open(&path)?),
            None if self.texts == ["-"] => From::Lines(Lines::stdin()),
            None if self.texts.is_empty() => {
                return Err(usage("give texts, --file FILE, or - for standard input"));
            }
            None if self.texts.iter().any(|text| text == "-") => {
                return Err(usage("- for standard input stands alone"));
            }
            None if form == Form::Json => {
                return Err(usage("--jsonl reads lines: give --file FILE or -"));
            }
            None if form == Form::Pair && self.texts.len() % 2 == 1 => {
                return Err(usage("--pairs takes an even number of texts"));
            }
            None => {
                let per_item = if form == Form::Pair { 2 } else { 1 };
                From::Arguments {
                    alone: self.texts.len() == per_item,
                    texts: self.texts.into_iter(),
                    taken: 0,
                }
            }
        };
        Ok(Inputs {
            from,
            form,
            question: None,
        })
    }

    /// The same, texts being taken two by two even if nobody says so.
    pub(crate) fn open_pairs(mut self) -> Result<Inputs> {
        if !self.pairs && self.texts.len() % 2 == 1 && self.texts != ["-"] {
            return Err(usage("texts are compared two by two: give an even number"));
        }
        self.pairs = !self.jsonl;
        self.open()
    }
}

impl Inputs {
    /// A single pair.
    pub(crate) fn pair(first: String, second: String) -> Self {
        Self {
            from: From::Arguments {
                texts: vec![first, second].into_iter(),
                taken: 0,
                alone: true,
            },
            form: Form::Pair,
            question: None,
        }
    }

    /// Makes each text the context of a question.
    pub(crate) fn ask(mut self, question: String) -> Result<Self> {
        if self.form != Form::Text {
            return Err(usage("--question takes texts, not --pairs or --jsonl"));
        }
        self.question = Some(question);
        Ok(self)
    }

    /// The next text or pair.
    pub(crate) fn next(&mut self) -> Result<Option<Item>> {
        let item = match &mut self.from {
            From::Arguments {
                texts,
                taken,
                alone,
            } => {
                let Some(first) = texts.next() else {
                    return Ok(None);
                };
                *taken += 1;
                let second = match self.form {
                    Form::Pair => texts.next(),
                    _ => None,
                };
                let place = match alone {
                    true => Place::Only,
                    false => Place::Argument(*taken),
                };
                Item {
                    first,
                    second,
                    place,
                }
            }
            From::Lines(lines) => {
                let Some((line, place)) = lines.next()? else {
                    return Ok(None);
                };
                match self.form {
                    Form::Text => Item {
                        first: line,
                        second: None,
                        place,
                    },
                    Form::Pair => columns(&line, place)?,
                    Form::Json => object(&line, place)?,
                }
            }
        };
        Ok(Some(match &self.question {
            Some(question) => Item {
                first: question.clone(),
                second: Some(item.first),
                place: item.place,
            },
            None => item,
        }))
    }

    pub(crate) fn would_wait(&self) -> bool {
        match &self.from {
            From::Arguments { .. } => false,
            From::Lines(lines) => lines.would_wait(),
        }
    }

    pub(crate) fn progress(&self) -> (u64, Option<u64>) {
        match &self.from {
            From::Arguments { taken, .. } => (*taken as u64, None),
            From::Lines(lines) => lines.progress(),
        }
    }
}

/// A line as two columns.
fn columns(line: &str, place: Place) -> Result<Item> {
    let (first, second) = pair(line, &place)?;
    Ok(Item {
        first,
        second: Some(second),
        place,
    })
}

/// The two columns of a line.
pub(crate) fn pair(line: &str, place: &Place) -> Result<(String, String)> {
    let columns: Vec<&str> = line.split('\t').collect();
    match columns[..] {
        [first, second] => Ok((first.to_owned(), second.to_owned())),
        _ => Err(place.blame(anyhow!(
            "a pair is two columns with a tab between them, and here are {}",
            columns.len()
        ))),
    }
}

/// A line as a JSON object; keys that mean nothing here are left alone.
fn object(line: &str, place: Place) -> Result<Item> {
    #[derive(serde::Deserialize)]
    struct Object {
        text: Option<String>,
        text_pair: Option<String>,
        question: Option<String>,
        context: Option<String>,
    }
    let object: Object = match serde_json::from_str(line) {
        Ok(object) => object,
        Err(error) => return Err(place.blame(error.into())),
    };
    let (first, second) = match object {
        Object {
            text: Some(text),
            text_pair,
            question: None,
            context: None,
        } => (text, text_pair),
        Object {
            text: None,
            text_pair: None,
            question: Some(question),
            context: Some(context),
        } => (question, Some(context)),
        _ => {
            return Err(place.blame(anyhow!(
                r#"an object needs "text", or "text" and "text_pair", or "question" and "context""#
            )));
        }
    };
    Ok(Item {
        first,
        second,
        place,
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
        let pair = shape(columns("a \tb\"", Place::Only)).unwrap();
        assert_eq!(pair, ("a ".to_owned(), Some("b\"".to_owned())));
        for line in ["a", "a\tb\tc"] {
            assert!(
                shape(columns(line, Place::Only))
                    .unwrap_err()
                    .contains("two columns")
            );
        }
    }

    #[test]
    fn objects() {
        let item = |line| shape(object(line, Place::Only));
        assert_eq!(
            item(r#"{"text":"a\tb","id":7}"#).unwrap(),
            ("a\tb".to_owned(), None)
        );
        let pair = ("a".to_owned(), Some("b".to_owned()));
        assert_eq!(item(r#"{"text_pair":"b","text":"a"}"#).unwrap(), pair);
        assert_eq!(item(r#"{"question":"a","context":"b"}"#).unwrap(), pair);
        for wrong in ["", "[]", "{}", r#"{"question":"a"}"#, r#"{"text":1}"#] {
            assert!(item(wrong).is_err(), "{wrong}");
        }
        let at = object("{}", Place::Line("f".into(), 3)).unwrap_err();
        assert!(format!("{at:#}").starts_with("f, line 3: an object needs"));
    }
}
