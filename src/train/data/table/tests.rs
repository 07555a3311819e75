use super::*;

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

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (name, content, says) in [
        (
            "t.tsv",
            "text\tintent\n",
            "t.tsv, line 1: there is no column label, only text, intent",
        ),
        (
            "t.tsv",
            "text\tlabel\ttext\n",
            "line 1: there are two columns text",
        ),
        (
            "t.tsv",
            "id\tlabel\n",
            "line 1: there is no column sentence, nor text, only id, label",
        ),
        (
            "t.tsv",
            "text\tlabel\na\t1\nb\n",
            "line 3: 1 columns, but the header has 2",
        ),
        ("t.csv", "text,label\na,b,c\n", "line 2: 3 columns"),
        (
            "t.jsonl",
            "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"a\"}\n",
            "line 2: there is no key label",
        ),
        ("t.jsonl", "[]\n", "line 1: no JSON object"),
        (
            "t.jsonl",
            "{\"text\": {}, \"label\": 1}\n",
            "line 1: key sentence or text is neither",
        ),
    ] {
        let error = read(name, content).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
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
