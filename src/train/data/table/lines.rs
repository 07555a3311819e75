//! Numbered lines of a file or of any other reader.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use super::blame;
use super::format::foreign;
use crate::error::{Error, Result};

/// Number of bytes in a read.
const BUFFER: usize = 1 << 16;
/// The UTF-8 byte order mark, which is not part of the text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Line terminators.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ends {
    /// A line feed, with or without a carriage return before it.
    Feed,
    /// A line feed, a carriage return, or both.
    Any,
}

/// Lines as bytes, one after the other.
pub(super) struct Lines {
    input: BufReader<Box<dyn Read + Send>>,
    file: String,
    ends: Ends,
    /// Bytes read, up to and including a line feed.
    held: Vec<u8>,
    /// Number of bytes of `held` in lines that were already returned.
    at: usize,
    number: usize,
    bytes: u64,
}

impl Lines {
    pub(super) fn new(file: String, ends: Ends, input: impl Read + Send + 'static) -> Self {
        Self {
            input: BufReader::with_capacity(BUFFER, Box::new(input)),
            file,
            ends,
            held: Vec::new(),
            at: 0,
            number: 0,
            bytes: 0,
        }
    }

    /// The name of the file.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the next line has already been read from the input, so that returning it does not wait.
    pub(super) fn is_ready(&self) -> bool {
        self.at < self.held.len() || self.input.buffer().contains(&b'\n')
    }

    /// Reads bytes up to a line feed. Returns whether there are any.
    fn fill(&mut self) -> Result<bool> {
        let io = |cause| Error::Io {
            path: PathBuf::from(&self.file),
            cause,
        };
        self.held.clear();
        self.at = 0;
        if self.bytes == 0 {
            let head = self.input.fill_buf().map_err(io)?;
            if let Some(what) = foreign(head) {
                return Err(self.refuse(what));
            }
        }
        let read = self.input.read_until(b'\n', &mut self.held).map_err(io)?;
        if self.bytes == 0 {
            // The first bytes of a pipe may have been too few to identify the file.
            if let Some(what) = foreign(&self.held) {
                return Err(self.refuse(what));
            }
            let feeds = self.held.ends_with(b"\n");
            if self.ends == Ends::Feed && !feeds && self.held.trim_ascii_end().contains(&b'\r') {
                return Err(self.refuse(
                    "has lines that end in carriage returns alone: save it with line feeds first",
                ));
            }
            if self.held.starts_with(BYTE_ORDER_MARK) {
                self.at = BYTE_ORDER_MARK.len();
            }
        }
        self.bytes += read as u64;
        Ok(self.at < self.held.len())
    }

    fn refuse(&self, reason: &str) -> Error {
        Error::Table {
            file: self.file.clone(),
            reason: reason.to_owned(),
        }
    }

    /// Returns the next line with its terminator, and its number, counted from 1.
    ///
    /// # Errors
    /// `Io`; `Table` for a file whose first bytes are not text.
    pub(super) fn next(&mut self) -> Result<Option<(usize, &[u8])>> {
        if self.at == self.held.len() && !self.fill()? {
            return Ok(None);
        }
        self.number += 1;
        let rest = &self.held[self.at..];
        let length = match rest.iter().position(|&byte| byte == b'\r') {
            Some(at) if self.ends == Ends::Any && rest.get(at + 1) != Some(&b'\n') => at + 1,
            _ => rest.len(),
        };
        let line = &self.held[self.at..][..length];
        self.at += length;
        Ok(Some((self.number, line)))
    }
}

/// Returns a line without its terminator.
pub(super) fn content(line: &[u8], ends: Ends) -> &[u8] {
    match (line, ends) {
        ([rest @ .., b'\r', b'\n'] | [rest @ .., b'\n'], _) => rest,
        ([rest @ .., b'\r'], Ends::Any) => rest,
        _ => line,
    }
}

/// Returns the bytes of a line as text. The error is the reason, if they are not UTF-8.
pub(super) fn text(line: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(line).map_err(|error| {
        let at = error.valid_up_to() + 1;
        format!("byte {at} of the line is not valid UTF-8")
    })
}

/// A reader of texts, one per line.
///
/// A line ends with a line feed, with or without a carriage return before it. An empty line is an empty text. A byte order mark
/// at the start is skipped. An input that is not text, such as UTF-16 or a compressed file, is an error that names its kind.
///
/// ```
/// let mut lines = bertless::train::TextLines::new("texts", &b"one\r\n\ntwo"[..]);
/// assert_eq!(lines.next_text()?, Some((1, "one".to_owned())));
/// assert_eq!(lines.next_text()?, Some((2, String::new())));
/// assert_eq!(lines.next_text()?, Some((3, "two".to_owned())));
/// assert_eq!(lines.next_text()?, None);
/// # Ok::<(), bertless::Error>(())
/// ```
pub struct TextLines(Lines);

impl std::fmt::Debug for TextLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TextLines").field(&self.0.file()).finish()
    }
}

impl TextLines {
    /// Creates a reader of `input`, which errors call `name`.
    pub fn new(name: impl Into<String>, input: impl Read + Send + 'static) -> Self {
        Self(Lines::new(name.into(), Ends::Feed, input))
    }

    /// Returns the next text and its line number, counted from 1.
    ///
    /// # Errors
    /// `Io`; `Table` for an input that is not text; `Data` with the line for bytes that are not UTF-8.
    pub fn next_text(&mut self) -> Result<Option<(usize, String)>> {
        let Some((number, line)) = self.0.next()? else {
            return Ok(None);
        };
        match text(content(line, Ends::Feed)).map(str::to_owned) {
            Ok(text) => Ok(Some((number, text))),
            Err(reason) => Err(blame(self.0.file(), number, reason)),
        }
    }

    /// Whether the next text has already been read from the input, so that returning it does not wait.
    pub fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    /// Number of bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &'static [u8]) -> Vec<String> {
        let mut lines = TextLines::new("f", bytes);
        let next = || lines.next_text().unwrap().map(|(_, text)| text);
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_text_is_what_stands_between_line_feeds() {
        let bytes = "\u{feff}a\tb\r\n\nc\rd \n\r".as_bytes();
        assert_eq!(texts(bytes), ["a\tb", "", "c\rd ", "\r"]);
        let mut lines = TextLines::new("f", bytes);
        while lines.next_text().unwrap().is_some() {}
        assert_eq!(lines.bytes(), 15);
    }

    #[test]
    fn lines_of_tables_end_with_any_of_three() {
        let mut lines = Lines::new("f".to_owned(), Ends::Any, &b"a\rb\r\n\n\rc\n\rd\r"[..]);
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            found.push(content(line, Ends::Any).to_vec());
            assert_eq!(number, found.len());
        }
        let expected: [&[u8]; 7] = [b"a", b"b", b"", b"", b"c", b"", b"d"];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_text_is_named_by_its_first_line() {
        let says = |bytes: &'static [u8]| {
            let mut lines = TextLines::new("f", bytes);
            lines.next_text().unwrap_err().to_string()
        };
        assert_eq!(
            says(b"\x1f\x8b\x08\0\n"),
            "f: is compressed (gzip): unpack it first"
        );
        assert!(says(b"g\0o\0o\0d\0\n\0").contains("UTF-16LE"));
        assert!(says(b"one\rtwo\r").contains("carriage returns alone"));
        // In pieces, as a pipe has them.
        let pieces = b"one".chain(&b"\rtwo\r"[..]);
        let error = TextLines::new("f", pieces).next_text().unwrap_err();
        assert!(error.to_string().contains("carriage returns alone"));
        // A long first line, of which the first piece has no line feed.
        let pieces = b"one\rtwo".chain(&b"\r\n"[..]);
        let first = TextLines::new("f", pieces).next_text().unwrap();
        assert_eq!(first, Some((1, "one\rtwo".to_owned())));
        // One byte at a time, as a pipe may bring them.
        let bytes = b"\xff\xfeg\0\n\0".to_vec();
        let mut slow = TextLines::new("f", Slow(bytes.into()));
        assert!(slow.next_text().unwrap_err().to_string().contains("UTF-16"));
        assert_eq!(texts(b"a text\r"), ["a text\r"]);
    }

    struct Slow(std::collections::VecDeque<u8>);

    impl Read for Slow {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            match self.0.pop_front() {
                Some(byte) if !to.is_empty() => {
                    to[0] = byte;
                    Ok(1)
                }
                _ => Ok(0),
            }
        }
    }

    #[test]
    fn what_is_not_utf_8_is_named_by_its_line() {
        let mut lines = TextLines::new("f", &b"a\nbc\xff\n"[..]);
        assert!(lines.next_text().unwrap().is_some());
        let error = lines.next_text().unwrap_err().to_string();
        assert_eq!(error, "f, line 2: byte 3 of the line is not valid UTF-8");
    }
}
