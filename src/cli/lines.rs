//! Lines of a file or of standard input.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};

/// How much is read at a time.
const BUFFER: usize = 1 << 16;
const STDIN: &str = "standard input";

/// Where a text comes from, for errors about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the only one.
    Only,
    /// An argument, counted from 1.
    Argument(usize),
    /// A line of a file, counted from 1.
    Line(Rc<str>, usize),
}

impl Place {
    /// An error with its place ahead of it.
    pub(crate) fn blame(&self, error: anyhow::Error) -> anyhow::Error {
        // No text is to blame for the model.
        if let Some(bertless::Error::WrongTask { .. }) = error.downcast_ref() {
            return error;
        }
        match self {
            Self::Only => error,
            Self::Argument(number) => error.context(format!("text {number}")),
            Self::Line(file, number) => error.context(format!("{file}, line {number}")),
        }
    }
}

/// Lines as they come.
pub(crate) struct Lines {
    reader: BufReader<Box<dyn Read>>,
    name: Rc<str>,
    number: usize,
    bytes: u64,
    size: Option<u64>,
    /// Whether whoever writes may be slower than we are.
    waits: bool,
}

impl Lines {
    /// Of a file, or of standard input if it is `-`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::stdin());
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| name.clone())?;
        let size = file.metadata().ok().filter(|data| data.is_file());
        let mut lines = Self::of(name, file);
        lines.size = size.map(|data| data.len());
        Ok(lines)
    }

    pub(crate) fn stdin() -> Self {
        let mut lines = Self::of(STDIN, std::io::stdin());
        lines.waits = true;
        lines
    }

    fn of(name: impl Into<Rc<str>>, reader: impl Read + 'static) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER, Box::new(reader)),
            name: name.into(),
            number: 0,
            bytes: 0,
            size: None,
            waits: false,
        }
    }

    /// The next line and its place, without what ends it: a line feed, or a carriage return and a line feed.
    pub(crate) fn next(&mut self) -> Result<Option<(String, Place)>> {
        let mut line = Vec::new();
        let read = self
            .reader
            .read_until(b'\n', &mut line)
            .with_context(|| self.name.to_string())?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += read as u64;
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        let place = Place::Line(Rc::clone(&self.name), self.number);
        let line = String::from_utf8(line).map_err(|error| {
            let at = error.utf8_error().valid_up_to() + 1;
            place.blame(anyhow::anyhow!("byte {at} of the line is not valid UTF-8"))
        })?;
        // A byte-order mark is no part of the text.
        let line = match line.strip_prefix('\u{feff}') {
            Some(rest) if self.number == 1 => rest.to_owned(),
            _ => line,
        };
        Ok(Some((line, place)))
    }

    /// Whether the next line may have to be waited for.
    pub(crate) fn would_wait(&self) -> bool {
        self.waits && !self.reader.buffer().contains(&b'\n')
    }

    /// Bytes read so far, and in all if that is known.
    pub(crate) fn progress(&self) -> (u64, Option<u64>) {
        (self.bytes, self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &'static [u8]) -> Lines {
        Lines::of("f", bytes)
    }

    #[test]
    fn a_line_is_what_stands_between_line_feeds() {
        let mut lines = lines("\u{feff}a\tb\r\n\nc\rd \n\r".as_bytes());
        let mut texts = Vec::new();
        while let Some((line, _)) = lines.next().unwrap() {
            texts.push(line);
        }
        assert_eq!(texts, ["a\tb", "", "c\rd ", "\r"]);
        assert_eq!(lines.progress(), (15, None));
    }

    #[test]
    fn what_is_not_utf_8_is_named_by_its_line() {
        let mut lines = lines(b"a\nbc\xff\n");
        assert!(lines.next().unwrap().is_some());
        let error = lines.next().unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "f, line 2: byte 3 of the line is not valid UTF-8"
        );
    }
}
