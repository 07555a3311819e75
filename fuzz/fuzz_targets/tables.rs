//! Reads arbitrary bytes as a table. Reading must return an error of bounded length, or rows with a cell for each selected column.
//! The rows must not depend on how many bytes arrive at a time, and must stay the same when they are written as CSV and read again.
//!
//! The first byte selects the format, and how many bytes the second reader gets at a time.
#![no_main]

use std::io::Read;

use bertless::train::{Row, TableFormat, TableReader, TextLines};
use bertless::{Error, Result};
use libfuzzer_sys::fuzz_target;

const FORMATS: [TableFormat; 4] = [
    TableFormat::Tabs,
    TableFormat::Commas,
    TableFormat::JsonLines,
    TableFormat::Lines,
];
/// Maximum length of an error's message, in bytes.
const MAX_MESSAGE: usize = 1_500;

/// Reader that returns at most `most` bytes at a time.
struct Slow {
    bytes: Vec<u8>,
    at: usize,
    most: usize,
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let rest = &self.bytes[self.at..];
        let length = rest.len().min(self.most).min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}

fn rows(format: TableFormat, bytes: &[u8], most: usize, all: bool) -> Result<Vec<Row>> {
    let input = Slow {
        bytes: bytes.to_vec(),
        at: 0,
        most,
    };
    let mut reader = TableReader::new("t", format, input)?;
    let names = reader.names().to_vec();
    let all: Vec<[&str; 1]> = if all {
        names.iter().map(|name| [name.as_str()]).collect()
    } else {
        vec![["text"], ["label"]]
    };
    let columns: Vec<&[&str]> = all.iter().map(<[&str; 1]>::as_slice).collect();
    reader.select(&columns)?;
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row()? {
        assert_eq!(row.cells.len(), columns.len());
        rows.push(row);
    }
    Ok(rows)
}

fn check(bytes: &[u8], read: &Result<Vec<Row>>) {
    // A single carriage return also ends a line of a table.
    let lines = 1 + bytes.iter().filter(|byte| b"\r\n".contains(byte)).count();
    match read {
        Ok(rows) => {
            let mut last = 0;
            for row in rows {
                assert!(
                    last < row.line && row.line <= lines,
                    "{} after {last}",
                    row.line
                );
                last = row.line;
                for cell in &row.cells {
                    for word in cell.words() {
                        assert!(cell.text().get(word).is_some());
                    }
                    let _ = (cell.items(), cell.label(), cell.labels(), cell.tags());
                }
            }
        }
        Err(error) => {
            assert!(error.to_string().len() <= MAX_MESSAGE, "{error}");
            match error {
                Error::Data { line, .. } => assert!((1..=lines).contains(line), "{error}"),
                Error::Table { .. } => {}
                other => panic!("unexpected kind of error: {other}"),
            }
        }
    }
}

fn to_csv(rows: &[Row], columns: usize) -> Vec<u8> {
    let mut csv = Vec::new();
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    csv.extend(names.join(",").bytes());
    for row in rows {
        csv.push(b'\n');
        let cells: Vec<String> = row
            .cells
            .iter()
            .map(|cell| format!("\"{}\"", cell.text().replace('"', "\"\"")))
            .collect();
        csv.extend(cells.join(",").bytes());
    }
    csv
}

fuzz_target!(|data: &[u8]| {
    let Some((which, table)) = data.split_first() else {
        return;
    };
    let format = FORMATS[usize::from(*which) % FORMATS.len()];
    let most = 1 + usize::from(*which) / FORMATS.len();
    for all in [true, false] {
        let read = rows(format, table, usize::MAX, all);
        check(table, &read);
        let slow = rows(format, table, most, all);
        check(table, &slow);
        match (&read, &slow) {
            (Ok(rows), Ok(slow)) => assert_eq!(rows, slow),
            // The readers may find different faults first. The first bytes that a reader gets may or may not suffice to see that a
            // file is not text, which is an `Error::Table`.
            (Err(_), Err(_)) => {}
            (Err(Error::Table { .. }), _) | (_, Err(Error::Table { .. })) => {}
            _ => panic!("{read:?} {slow:?}"),
        }
        let Ok(found) = read else { continue };
        let columns = found.first().map_or(0, |row| row.cells.len());
        if columns == 0 {
            continue;
        }
        let again = rows(
            TableFormat::Commas,
            &to_csv(&found, columns),
            usize::MAX,
            true,
        );
        let again = match again {
            Ok(again) => again,
            // The added quotes can move control characters to positions at which they look like UTF-16.
            Err(Error::Table { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        let texts = |rows: &[Row]| -> Vec<Vec<String>> {
            let texts = |row: &Row| {
                row.cells
                    .iter()
                    .map(|cell| cell.text().to_owned())
                    .collect()
            };
            rows.iter().map(texts).collect()
        };
        assert_eq!(texts(&found), texts(&again));
    }
    let mut lines = TextLines::new("t", std::io::Cursor::new(table.to_vec()));
    while let Ok(Some((_, text))) = lines.next_text() {
        assert!(!text.contains('\n'));
    }
});
