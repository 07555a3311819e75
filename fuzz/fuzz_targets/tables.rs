//! Any bytes as a table: an error of bounded length, or rows with a cell for each column that was asked for.
//!
//! The first byte chooses the kind of file.
#![no_main]

use std::path::{Path, PathBuf};

use bertless::Error;
use bertless::train::{column_names, read_rows};
use libfuzzer_sys::fuzz_target;

const KINDS: [&str; 4] = ["tsv", "csv", "jsonl", "txt"];
/// The longest message that an error may have. Names of columns and what is quoted of the table are part of it.
const MESSAGE: usize = 2_000;

/// A file of this process, in memory where the system has such a folder.
fn place(kind: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => memory.to_owned(),
        false => std::env::temp_dir(),
    };
    folder.join(format!("bertless-fuzz-{}.{kind}", std::process::id()))
}

fn check(error: &Error, lines: usize) {
    assert!(error.to_string().len() <= MESSAGE, "{error}");
    match error {
        Error::Data { line, .. } => assert!((1..=lines).contains(line), "{error}"),
        other => panic!("not about the table: {other}"),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((which, table)) = data.split_first() else {
        return;
    };
    let path = place(KINDS[usize::from(*which) % KINDS.len()]);
    std::fs::write(&path, table).unwrap();
    let lines = 1 + table.iter().filter(|&&byte| byte == b'\n').count();
    let names = column_names(&path);
    match &names {
        Ok(names) => {
            let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
            rows(&path, &wanted, lines);
            rows(&path, &wanted[..wanted.len().min(1)], lines);
        }
        Err(error) => check(error, lines),
    }
    rows(&path, &["text", "label"], lines);
});

fn rows(path: &Path, columns: &[&str], lines: usize) {
    match read_rows(path, columns) {
        Ok(rows) => {
            let mut last = 0;
            for (line, cells) in rows {
                assert!(last < line && line <= lines, "{line} after {last}");
                assert_eq!(cells.len(), columns.len());
                last = line;
            }
        }
        Err(error) => check(&error, lines),
    }
}
