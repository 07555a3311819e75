//! Rows of tab-separated or comma-separated cells.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::blame;
use super::lines::Lines;
use crate::error::Result;

/// A reader of rows.
pub(super) struct Separated {
    lines: Lines,
    splitter: Splitter,
    /// Whether a quote at the start of a cell quotes it.
    quoting: bool,
}

/// The cells of a row, as bytes.
pub(super) struct Record<'a> {
    /// Number of the row's first line, counted from 1.
    pub(super) line: usize,
    pub(super) cells: Vec<&'a [u8]>,
}

impl Separated {
    /// Creates a reader of tab-separated cells, in which a quote is part of the text.
    pub(super) fn by_tabs(lines: Lines) -> Self {
        let splitter = ReaderBuilder::new().delimiter(b'\t').quoting(false).build();
        Self::new(lines, splitter, false)
    }

    /// Creates a reader of comma-separated cells. A cell that contains commas, quotes or line breaks is quoted.
    pub(super) fn by_commas(lines: Lines) -> Self {
        Self::new(lines, Reader::new(), true)
    }

    fn new(lines: Lines, mut reader: Reader, quoting: bool) -> Self {
        let (mut cells, mut ends) = (vec![0; 1 << 10], vec![0; 1 << 4]);
        // The parser drops a byte order mark from its first input. `Lines` has dropped the file's own, and what looks like one
        // after empty lines is text, so the first input is an empty line.
        reader.read_record(b"\n", &mut cells, &mut ends);
        Self {
            lines,
            splitter: Splitter {
                reader,
                cells,
                ends,
                bytes: 0,
                count: 0,
            },
            quoting,
        }
    }

    pub(super) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Returns the next row. Empty lines between rows are skipped.
    ///
    /// # Errors
    /// `Io`; `Table` for an input that is not text; `Data`, with the line of the quote, for a quote that is never closed or is
    /// closed in the middle of a cell.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>> {
        let splitter = &mut self.splitter;
        splitter.begin();
        let mut quotes = Quotes::default();
        let mut first = None;
        let mut complete = false;
        while !complete && let Some((number, line)) = self.lines.next()? {
            if first.is_none() && line.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
                continue;
            }
            first = first.or(Some(number));
            if self.quoting
                && let Err(misplaced) = quotes.take(line, number)
            {
                return Err(misplaced.of(self.lines.file()));
            }
            complete = splitter.take(line);
        }
        if let Quotes::Open { line } = quotes {
            let reason = "the quote that opens here is never closed";
            return Err(blame(self.lines.file(), line, reason));
        }
        let Some(line) = first else {
            return Ok(None);
        };
        if !complete {
            // The last line has no terminator.
            splitter.take(&[]);
        }
        Ok(Some(Record {
            line,
            cells: splitter.cells(),
        }))
    }
}

/// State of a row's quotes, after the lines read so far.
///
/// A quote in the middle of an unquoted cell is text, as in other CSV readers, and opens nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Quotes {
    /// At the start of a cell.
    #[default]
    Start,
    /// Inside an unquoted cell.
    Bare,
    /// Inside a quoted cell whose quote opened in this line.
    Open { line: usize },
    /// After a quote that closes the cell, or is the first of a doubled quote.
    Closed { line: usize },
}

/// An error: text after a closing quote.
struct Misplaced {
    /// Line of the opening quote.
    opened: usize,
    /// Line of the closing quote.
    closed: usize,
}

impl Misplaced {
    fn of(self, file: &str) -> crate::error::Error {
        let Self { opened, closed } = self;
        let place = if opened == closed {
            String::new()
        } else {
            format!(" in line {closed}")
        };
        let reason = format!(
            "the quote that opens here closes{place} with text behind it, where a comma or the end of the line belongs"
        );
        blame(file, opened, reason)
    }
}

impl Quotes {
    /// Advances over a line with this number.
    fn take(&mut self, bytes: &[u8], number: usize) -> Result<(), Misplaced> {
        for &byte in bytes {
            *self = match (*self, byte) {
                (Self::Open { line }, b'"') => Self::Closed { line },
                (Self::Open { line }, _) => Self::Open { line },
                (Self::Closed { line }, b'"') => Self::Open { line },
                (_, b',' | b'\r' | b'\n') => Self::Start,
                (Self::Closed { line }, _) => {
                    return Err(Misplaced {
                        opened: line,
                        closed: number,
                    });
                }
                (Self::Start, b'"') => Self::Open { line: number },
                _ => Self::Bare,
            };
        }
        Ok(())
    }
}

/// Splits lines into the cells of a row.
struct Splitter {
    reader: Reader,
    /// Cells, concatenated, and spare room.
    cells: Vec<u8>,
    /// End offset of each cell, and spare room.
    ends: Vec<usize>,
    /// Number of bytes used in `cells`.
    bytes: usize,
    /// Number of entries used in `ends`.
    count: usize,
}

impl Splitter {
    fn begin(&mut self) {
        (self.bytes, self.count) = (0, 0);
    }

    /// Adds a line, or the end of the input, which is an empty slice. Returns whether the row is complete.
    fn take(&mut self, mut line: &[u8]) -> bool {
        loop {
            let (cells, ends) = (&mut self.cells[self.bytes..], &mut self.ends[self.count..]);
            let (result, read, bytes, count) = self.reader.read_record(line, cells, ends);
            line = &line[read..];
            self.bytes += bytes;
            self.count += count;
            match result {
                ReadRecordResult::InputEmpty => return false,
                ReadRecordResult::OutputFull => self.cells.resize(2 * self.cells.len(), 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::Record | ReadRecordResult::End => return true,
            }
        }
    }

    fn cells(&self) -> Vec<&[u8]> {
        let mut start = 0;
        let cells = self.ends[..self.count].iter().map(|&end| {
            let cell = &self.cells[start..end];
            start = end;
            cell
        });
        cells.collect()
    }
}
