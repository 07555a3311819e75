//! Any bytes as a table: an error of bounded length, or rows with a cell for each selected column. Rows do not depend on how
//! many bytes arrive at a time, and rows that are written as CSV are read as the same rows.
//!
//! The first byte chooses the format, and how many bytes the second reader gets at a time.
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
/// Longest message of an error.
const MESSAGE: usize = 1_500;

/// A reader that returns a few bytes at a time.
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
    // A carriage return alone ends a line of a table, too.
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
            assert!(error.to_string().len() <= MESSAGE, "{error}");
            match error {
                Error::Data { line, .. } => assert!((1..=lines).contains(line), "{error}"),
                Error::Table { .. } => {}
                other => panic!("not about the table: {other}"),
            }
        }
    }
}

fn written(rows: &[Row], columns: usize) -> Vec<u8> {
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
        let slowly = rows(format, table, most, all);
        check(table, &slowly);
        match (&read, &slowly) {
            (Ok(rows), Ok(slowly)) => assert_eq!(rows, slowly),
            // Which of several faults is found first may differ, and whether the first bytes are enough to tell that a file is
            // no text.
            (Err(_), Err(_)) => {}
            (Err(Error::Table { .. }), _) | (_, Err(Error::Table { .. })) => {}
            _ => panic!("{read:?} {slowly:?}"),
        }
        let Ok(found) = read else { continue };
        let columns = found.first().map_or(0, |row| row.cells.len());
        if columns == 0 {
            continue;
        }
        let again = rows(
            TableFormat::Commas,
            &written(&found, columns),
            usize::MAX,
            true,
        );
        let again = match again {
            Ok(again) => again,
            // With quotes around them, control characters can stand where those of UTF-16 would.
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
