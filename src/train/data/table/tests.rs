use super::*;
use serde_json::Value;

const COLUMNS: &[Column<'_>] = &[&["sentence", "text"], &["label"]];

fn read(name: &str, content: &str) -> Result<Vec<(usize, String, String)>, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    let table = Table::read(&path, COLUMNS).map_err(|error| {
        let message = error.to_string();
        message.rsplit('/').next().unwrap_or_default().to_owned()
    })?;
    let cell = |cell: &Cell| cell.text().to_owned();
    let row = |row: Row| (row.line, cell(&row.cells[0]), cell(&row.cells[1]));
    Ok(table.rows.into_iter().map(row).collect())
}

fn row(line: usize, first: &str, second: &str) -> (usize, String, String) {
    (line, first.to_owned(), second.to_owned())
}

#[test]
fn columns_by_name_in_any_order_and_quotes_by_the_kind_of_file() {
    let found = read(
        "t.tsv",
        "\u{feff}label\tid\ttext\n1\t7\t\"a\" b\n\n0\t8\t\"c\r\n",
    )
    .unwrap();
    assert_eq!(found, [row(2, "\"a\" b", "1"), row(4, "\"c", "0")]);
    let found = read("t.csv", "label,text\n1,\"a, \"\"b\"\"\nc\"\n0,d\n").unwrap();
    assert_eq!(found, [row(2, "a, \"b\"\nc", "1"), row(4, "d", "0")]);
    let lines = "{\"text\": \"a\\tb\", \"label\": 3, \"id\": null}\n\n{\"label\": [\"x\", 0.5], \"sentence\": \"c\"}\n";
    let found = read("t.jsonl", lines).unwrap();
    assert_eq!(found, [row(1, "a\tb", "3"), row(3, "c", "x 0.5")]);
}

#[test]
fn lines_are_texts_and_names_are_those_of_the_first_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let path = file("t.txt", "a\tb\r\n\n\"c\n");
    let rows = Table::read(&path, &[&["sentence", "text"]]).unwrap().rows;
    let rows: Vec<(usize, &str)> = rows.iter().map(|r| (r.line, r.cells[0].text())).collect();
    assert_eq!(rows, [(1, "a\tb"), (3, "\"c")]);
    for (name, content) in [
        ("n.tsv", "\u{feff}a b\tc\r\n1\t2\n"),
        ("n.csv", "\"a b\",c\n1,2\n"),
        ("n.jsonl", "\n{\"a b\": 1, \"c\": 2}\n{}\n"),
    ] {
        let names = Table::names(&file(name, content)).unwrap();
        assert_eq!(names, ["a b", "c"], "{name}");
    }
    assert!(Table::names(&file("empty.tsv", "")).is_err());
}

/// Asserts what is said of tables: file name, content and a part of the message.
#[track_caller]
fn all_fail(cases: &[&str]) {
    for case in cases {
        let [name, content, says] = case.splitn(3, " | ").collect::<Vec<_>>()[..] else {
            panic!("{case}");
        };
        let error = wrong(name, content);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    all_fail(&[
        "t.tsv | text\tintent\n | t.tsv, line 1: there is no column label, only text, intent",
        "t.tsv | text\tlabel\ttext\n | line 1: there are two columns text",
        "t.tsv | id\tlabel\n | line 1: there is no column sentence, nor text, only id, label",
        "t.tsv | text\tlabel\na\t1\nb\n | line 3: 1 columns, but the header has 2",
        "t.csv | text,label\na,b,c\n | line 2: 3 columns",
        "t.jsonl | {\"text\": \"a\", \"label\": 1}\n{\"text\": \"a\"}\n | line 2: there is no key label",
        "t.jsonl | []\n | line 1: no JSON object",
        "t.jsonl | {\"text\": {}, \"label\": 1}\n | line 1: key text is neither a value nor a list of values",
    ]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.tsv");
    std::fs::write(&path, b"text\tlabel\na\t1\nb\xff\t0\n").unwrap();
    let error = Table::read(&path, COLUMNS).unwrap_err().to_string();
    assert!(
        error.ends_with("t.tsv, line 3: column text is not valid UTF-8"),
        "{error}"
    );
    let missing = Table::read(&dir.path().join("no"), COLUMNS).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }));
}

/// The error message for a table, without its folder.
#[track_caller]
fn wrong(name: &str, content: &str) -> String {
    read(name, content).unwrap_err()
}

#[test]
fn a_quote_that_is_not_closed_or_closes_too_early_is_named_by_the_line_that_it_opens_in() {
    let rows = |cell: &str| format!("text,label\na,1\n\n{cell}b,1\nc,0\nd,1\n");
    assert_eq!(
        wrong("t.csv", &rows("\"")),
        "t.csv, line 4: the quote that opens here is never closed"
    );
    // The next one to open closes it instead.
    let two = rows("\"").replace("d,1", "\"d,1");
    assert_eq!(
        wrong("t.csv", &two),
        "t.csv, line 4: the quote that opens here closes in line 6 with text behind it, where a comma or the end of the line \
         belongs"
    );
    let one = wrong("t.csv", &rows("\"b\" and "));
    assert!(
        one.starts_with("t.csv, line 4: the quote that opens here closes with text"),
        "{one}"
    );
    // In the last cell of a row, in the last row without a line feed, and in the header.
    assert!(wrong("t.csv", "text,label\na,\"1\nb,0\n").contains("line 2: the quote"));
    assert!(wrong("t.csv", "text,label\na,1\nb,\"0").contains("line 3: the quote"));
    assert!(wrong("t.csv", "\"text,label\na,1\n").contains("line 1: the quote"));
}

#[test]
fn quotes_that_are_right_or_text() {
    for (cell, expected) in [
        ("\"\"", ""),
        ("\"a \"\"b\"\"\"", "a \"b\""),
        ("\"\"\"\"", "\""),
        ("\"a,\r\n\n b\"", "a,\r\n\n b"),
        // An inch mark, and what other readers of CSV leave as it is, too.
        ("a 5\" pipe", "a 5\" pipe"),
        (" \"a\"", " \"a\""),
    ] {
        let found = read("t.csv", &format!("text,label\n{cell},1\nlast,0\n")).unwrap();
        assert_eq!(found[0], row(2, expected, "1"), "{cell}");
        assert_eq!(found[1].1, "last", "{cell}");
    }
    let ragged = wrong("t.csv", "text,label\n \"a, b\",1\n");
    assert!(
        ragged.contains("line 2: 3 columns") && ragged.contains("a quote is text"),
        "{ragged}"
    );
    // In tables with tabs a quote is text, wherever it stands.
    let found = read("t.tsv", "text\tlabel\n\"a\t1\n5\" pipe\t0\n").unwrap();
    assert_eq!(found, [row(2, "\"a", "1"), row(3, "5\" pipe", "0")]);
}

#[test]
fn a_line_ends_with_any_of_three_and_empty_ones_are_counted() {
    for end in ["\n", "\r\n", "\r"] {
        for (name, content) in [
            ("t.tsv", "text\tlabel\na\t1\n\n\nb\t0\n"),
            ("t.csv", "text,label\na,1\n\n\nb,0"),
            (
                "t.jsonl",
                "\n{\"text\": \"a\", \"label\": 1}\n\n \n{\"text\": \"b\", \"label\": 0}\n\n",
            ),
        ] {
            let found = read(name, &content.replace('\n', end)).unwrap();
            assert_eq!(
                found,
                [row(2, "a", "1"), row(5, "b", "0")],
                "{name} {end:?}"
            );
        }
    }
}

#[test]
fn a_byte_order_mark_behind_empty_lines_is_a_name() {
    for name in ["t.tsv", "t.csv"] {
        for content in ["\r\r\u{feff}\r\r", "\n\u{feff}", "\r\r\n\u{feff}\n"] {
            let error = wrong(name, content);
            assert!(error.contains("there is no column"), "{error}");
        }
        for nothing in ["\r\r\n", "\r", "\u{feff}", "\u{feff}\r\r"] {
            assert!(wrong(name, nothing).contains("there is no header"));
        }
    }
}

#[test]
fn lists_stay_lists_and_null_is_no_value() {
    let lines = "{\"text\": \"a\", \"label\": [\"x y\", 1, true]}\n{\"sentence\": null, \"text\": \"b\", \"label\": []}\n";
    let mut reader = TableReader::new("t", TableFormat::JsonLines, lines.as_bytes()).unwrap();
    reader.select(COLUMNS).unwrap();
    let table = reader.rest().unwrap();
    let items: Vec<_> = table.rows.iter().map(|row| row.cells[1].items()).collect();
    assert_eq!(items, [Some(vec!["x y", "1", "true"]), Some(vec![])]);
    assert_eq!(table.rows[1].cells[0], Cell::from("b"));
    let error = wrong("t.jsonl", "{\"text\": \"a\", \"label\": null}\n");
    assert!(
        error.contains("line 1: key label is null, and a value is needed"),
        "{error}"
    );
}

/// Programs that count in UTF-16 cut emojis in two.
#[test]
fn half_an_emoji_costs_its_own_character() {
    let lines = "{\"text\": \"cut \\ud83d\", \"label\": \"\\ude00\"}\n{\"text\": \"\\ud83d\\ude00\", \"label\": 0}\n";
    let found = read("t.jsonl", lines).unwrap();
    assert_eq!(
        found,
        [row(1, "cut \u{fffd}", "\u{fffd}"), row(2, "\u{1f600}", "0")]
    );
}

#[test]
fn other_kinds_of_files_are_named() {
    all_fail(&[
        "t.json | [] | t.json: not a table of a kind that is read",
        "t.tsv | [{\"text\": \"a\"}] | t.tsv: not a table of a kind that is read",
        "t.csv | {\"text\": \"a\", \"label\": 1}\n | t.csv: not a table",
        "t.tsv | [\n{\"text\": \"a\"}\n] | t.tsv: not a table",
        "t.csv | text;label\na;1\n | only text;label: cells of .csv have commas",
        "t.jsonl | {\"text\": \"a\", \"label\": 1}\n[1]\n | t.jsonl, line 2: no JSON object: invalid type: sequence, expected an \
         object (column 0); a row is an object, and has a line of its own",
        "t.jsonl | {\"text\": \"a\", \"label\": 1, \"text\": \"b\"}\n | t.jsonl, line 1: key text stands twice in the object",
        "t.jsonl | {\"text\": \"a\", \"label\": [\"x\", null]}\n | t.jsonl, line 1: key label: item 2 of the list is null, where a \
         value belongs",
        "t.jsonl | {\n  \"text\": \"a\"\n}\n | t.jsonl, line 1: no JSON object: EOF while parsing an object (column 1); a row is \
         one line, whole",
    ]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    std::fs::write(&path, b"\x1f\x8b\x08\0").unwrap();
    let error = Table::read(&path, COLUMNS).unwrap_err().to_string();
    assert!(
        error.ends_with("t.csv: is compressed (gzip): unpack it first"),
        "{error}"
    );
}

#[test]
fn errors_repeat_little_of_what_they_are_about() {
    let long = "x".repeat(1_000_000);
    for (name, content) in [
        ("t.tsv", format!("{long}\n")),
        ("t.csv", format!("{long},{long}\n")),
        ("t.jsonl", format!("\"{long}\"\n")),
        ("t.jsonl", format!("{{\"{long}\": 1}}\n")),
    ] {
        let error = wrong(name, &content);
        assert!(error.len() < 600, "{name}: {} bytes", error.len());
    }
}

#[test]
fn a_cell_may_be_long() {
    let long = "a \"\"b\"\", \n".repeat(1 << 19);
    let found = read("t.csv", &format!("text,label\n\"{long}\",1\nb,0\n")).unwrap();
    assert_eq!(found[0].1.len(), long.len() - (4 << 18));
    assert_eq!((found[1].0, &*found[1].1), ((1 << 19) + 3, "b"));
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_table_to_read_twice() {
    let error = Table::names(Path::new("/dev/null")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/dev/null: is read more than once: write it to a file first"
    );
}

use proptest::collection::vec;
use proptest::prelude::*;

const FORMATS: [TableFormat; 4] = [
    TableFormat::Tabs,
    TableFormat::Commas,
    TableFormat::JsonLines,
    TableFormat::Lines,
];

proptest! {
    /// What a writer of the format writes is what the reader returns, whatever the cells contain.
    #[test]
    fn cells_come_back(rows in vec(("[a\",; \t\r\n\u{e9}\u{1f600}]{0,6}", "[a\",;\\\\]{1,4}"), 1..6), crlf: bool) {
        let end = if crlf { "\r\n" } else { "\n" };
        let quoted = |cell: &str| if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\""))
} else { cell.to_owned()
};
        let json = |cell: &str| Value::from(cell).to_string();
        let commas = rows.iter().map(|(text, label)| format!("{},{}", quoted(text), quoted(label)));
        let lines = rows.iter().map(|(text, label)| {
            format!("{{\"label\": {}, \"text\": {}}}", json(label), json(text))
        });
        let tabless = |cell: &str| cell.replace(['\t', '\r', '\n'], " ");
        let tabs = rows.iter().map(|(text, label)| format!("{}\t{label}", tabless(text)));
        let plain: Vec<_> = rows.iter().map(|(text, label)| (tabless(text), label.clone())).collect();
        for (name, header, written, expected) in [
            ("t.csv", Some("text,label"), commas.collect::<Vec<_>>(), &rows),
            ("t.jsonl", None, lines.collect(), &rows),
            ("t.tsv", Some("text\tlabel"), tabs.collect(), &plain),
        ] {
            let all: Vec<&str> = header.into_iter().chain(written.iter().map(String::as_str)).collect();
            let found = read(name, &all.join(end)).unwrap();
            let found: Vec<_> = found.into_iter().map(|(_, text, label)| (text, label)).collect();
            prop_assert_eq!(&found, expected, "{}", name);
        }
    }

    #[test]
    fn any_bytes_are_rows_or_an_error(bytes in vec(prop_oneof![
        4 => proptest::sample::select(b"a\",\t\r\n{}[]:\\u".to_vec()),
        1 => any::<u8>(),
    ], 0..60)) {
        for format in FORMATS {
            let Ok(mut reader) = TableReader::new("t", format, std::io::Cursor::new(bytes.clone())) else {
                continue;
            };
            let names: Vec<String> = reader.names().to_vec();
            let columns: Vec<[&str; 1]> = names.iter().map(|name| [&**name]).collect();
            let columns: Vec<Column<'_>> = columns.iter().map(|column| &column[..]).collect();
            if reader.select(&columns).is_err() {
                continue;
            }
            let mut last = 0;
            while let Ok(Some(row)) = reader.next_row() {
                prop_assert!(row.line > last && row.cells.len() == names.len());
                last = row.line;
            }
        }
    }
}
