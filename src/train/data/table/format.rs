//! Formats of table files, and detection of files that are not tables.

use std::path::Path;

use crate::error::{Error, Result};

/// Format of a table file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TableFormat {
    /// Tab-separated cells, in which a quote is part of the text. The first line names the columns.
    Tabs,
    /// Comma-separated cells. A cell that contains commas, quotes or line breaks is quoted. The first line names the columns.
    Commas,
    /// JSON objects, one per line, whose keys are the names of the columns.
    JsonLines,
    /// Texts, one per line, in a column named `text`.
    Lines,
}

impl TableFormat {
    /// Returns the format for a file's extension, in lower or upper case: `.csv`, `.jsonl` or `.ndjson`, `.txt`, and tabs for
    /// any other but `.json`.
    ///
    /// # Errors
    /// `Table` for `.json`, because a JSON document cannot be read row by row.
    pub fn of(path: &Path) -> Result<Self> {
        Ok(Self::named(path)?.unwrap_or(Self::Tabs))
    }

    /// Returns the format that a file's extension names, in lower or upper case: `.csv`, `.tsv` or `.tab`, `.jsonl` or
    /// `.ndjson`, `.txt`. `None` for any other extension but `.json`.
    ///
    /// # Errors
    /// `Table` for `.json`, because a JSON document cannot be read row by row.
    pub fn named(path: &Path) -> Result<Option<Self>> {
        let ending = path.extension().and_then(|ending| ending.to_str());
        Ok(Some(match ending.map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => Self::Commas,
            Some("tsv" | "tab") => Self::Tabs,
            Some("jsonl" | "ndjson") => Self::JsonLines,
            Some("txt") => Self::Lines,
            Some("json") => return Err(no_table(&path.display().to_string())),
            _ => return Ok(None),
        }))
    }
}

/// The error for a file that is not a table.
pub(super) fn no_table(file: &str) -> Error {
    Error::Table {
        file: file.to_owned(),
        reason: "not a table of a kind that is read: .tsv, .csv, .jsonl (an object a line) or .txt"
            .to_owned(),
    }
}

/// First bytes of files of other kinds, what they are, and how to convert them.
const FOREIGN: [(&[u8], &str); 11] = [
    (b"\x1f\x8b", "is compressed (gzip): unpack it first"),
    (b"\xfd7zXZ\0", "is compressed (xz): unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed (zstd): unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it first"),
    (
        b"PAR1\x15",
        "is a Parquet file: write it as .jsonl or .csv first",
    ),
    (
        b"ARROW1\0\0",
        "is an Arrow file: write it as .jsonl or .csv first",
    ),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "is an old Office file (.xls): save the sheet as .csv (UTF-8) first",
    ),
    (
        b"SQLite format 3\0",
        "is an SQLite database: write the table as .csv first",
    ),
    (b"\xff\xfe\0\0", UTF_32),
    (b"\0\0\xfe\xff", UTF_32),
    (b"%PDF-", "is a PDF: save its text first"),
];
const UTF_32: &str = "is UTF-32: save it as UTF-8 first";
const UTF_16: &str = "is UTF-16: save it as UTF-8 first (iconv -f UTF-16 -t UTF-8)";
const UTF_16_LE: &str = "is UTF-16: save it as UTF-8 first (iconv -f UTF-16LE -t UTF-8)";
const UTF_16_BE: &str = "is UTF-16: save it as UTF-8 first (iconv -f UTF-16BE -t UTF-8)";

/// Number of bytes in which UTF-16 without a byte order mark is detected.
const HEAD: usize = 1 << 10;

/// Identifies a file that is not UTF-8 text by its first bytes.
///
/// UTF-16 without a byte order mark is detected where every other byte of most characters is a control character, as in the
/// scripts of Europe and the Near East. Other UTF-16 is not valid UTF-8, or cannot be told from it.
pub(super) fn foreign(head: &[u8]) -> Option<&'static str> {
    let known = FOREIGN.iter().find(|(start, _)| head.starts_with(start));
    if let Some((_, what)) = known {
        return Some(what);
    }
    if head.starts_with(b"BZh") && head.get(4..10) == Some(b"1AY&SY") {
        return Some("is compressed (bzip2): unpack it first");
    }
    if head.starts_with(b"PK\x03\x04") {
        let holds = |part: &[u8]| head.windows(part.len()).any(|window| window == part);
        return Some(if holds(b"[Content_Types].xml") || holds(b"xl/") {
            "is an Office file (.xlsx): save the sheet as .csv (UTF-8) first"
        } else {
            "is a zip archive: unpack it first"
        });
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Some(UTF_16);
    }
    let head = &head[..head.len().min(HEAD)];
    let controls = |from: usize| {
        let bytes = head.iter().skip(from).step_by(2);
        bytes
            .filter(|&&byte| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r'))
            .count()
    };
    let many = |controls: usize| controls > 1 && 4 * controls > head.len();
    match (controls(0), controls(1)) {
        (0, odd) if many(odd) => Some(UTF_16_LE),
        (even, 0) if many(even) => Some(UTF_16_BE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf_16(text: &str, big: bool) -> Vec<u8> {
        let units = text.encode_utf16();
        let bytes = units.map(|unit| {
            if big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        });
        bytes.flatten().collect()
    }

    #[test]
    fn other_kinds_of_files_are_named() {
        for (head, says) in [
            (&b"\x1f\x8b\x08\x08"[..], "gzip"),
            (b"BZh91AY&SY\x01", "bzip2"),
            (b"PK\x03\x04\x14\0t.tsv", "zip archive"),
            (b"PK\x03\x04\x14\0[Content_Types].xml", ".xlsx"),
            (b"PAR1\x15\x04", "Parquet"),
            (b"\xff\xfe\0\0g\0\0\0", "UTF-32"),
        ] {
            let said = foreign(head).unwrap_or_default();
            assert!(said.contains(says), "{said}");
        }
        for text in [
            "text\tlabel\r\na good one\t1\r\n",
            "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}\t1\n",
        ] {
            for big in [false, true] {
                let marked = utf_16(&format!("\u{feff}{text}"), big);
                assert_eq!(foreign(&marked), Some(UTF_16));
                let endian = if big { UTF_16_BE } else { UTF_16_LE };
                assert_eq!(foreign(&utf_16(text, big)), Some(endian), "{text}");
            }
        }
    }

    #[test]
    fn text_is_text() {
        for text in [
            "",
            "a",
            "\u{feff}text\tlabel\n",
            "a\0b and more of it",
            "a\0",
            "\u{1b}[31mred\u{1b}[0m",
            "PK is a shop",
            "BZh is a name",
            "PAR1 is one, too",
            "\u{65e5}\u{672c}\u{8a9e}",
        ] {
            assert_eq!(foreign(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_ending_says_which_format() {
        let format = |name: &str| TableFormat::of(Path::new(name)).ok();
        for (name, expected) in [
            ("a.csv", TableFormat::Commas),
            ("A.CSV", TableFormat::Commas),
            ("a.ndjson", TableFormat::JsonLines),
            ("a.txt", TableFormat::Lines),
            ("a.tsv", TableFormat::Tabs),
            ("tmp.Xa4b", TableFormat::Tabs),
            ("-", TableFormat::Tabs),
        ] {
            assert_eq!(format(name), Some(expected), "{name}");
        }
        let error = TableFormat::of(Path::new("t.json")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "t.json: not a table of a kind that is read: .tsv, .csv, .jsonl (an object a line) or .txt"
        );
    }
}
