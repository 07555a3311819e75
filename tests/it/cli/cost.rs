//! `cost`: its inputs and its output. Unit tests beside the code check the arithmetic.

use serde_json::Value;

use super::{Ran, begins, bertless, fixture, on};

const GIVEN: [&str; 2] = ["--latency-ms", "1=6,10=20"];

fn cost(rest: &[&str]) -> Ran {
    bertless(&[&["cost"], &GIVEN[..], rest].concat())
}

#[track_caller]
fn about(row: &Value, key: &str, expected: f64) {
    let found = row[key].as_f64().unwrap();
    assert!(
        (found - expected).abs() <= 1e-9 * expected,
        "{key}: {found} {expected}"
    );
}

#[test]
fn bills_by_hand() {
    // 6 ms on a quarter of a vCPU are 24 ms, of a gibibyte each 20 millionths of a dollar a second: 0.48 a million.
    let rates = [
        "--json",
        "--platform",
        "lambda-arm64",
        "--memory",
        "1024",
        "--rate",
        "lambda-arm64.gib_second=0.00002",
        "--rate",
        "lambda-arm64.mb_per_vcpu=4096",
        "--rate",
        "instance.month=2.6298",
    ];
    let ran = cost(&rates);
    let keys = [
        "platform",
        "memory_mb",
        "texts",
        "latency_ms",
        "billed_ms",
        "compute",
        "requests",
        "total",
        "break_even",
    ];
    begins(ran.lines()[0], &keys);
    let rows = ran.objects();
    assert_eq!(rows.len(), 2);
    about(&rows[0], "latency_ms", 24.0);
    about(&rows[0], "compute", 0.48);
    about(&rows[0], "requests", 0.2);
    about(&rows[0], "total", 0.68);
    about(&rows[0], "break_even", 1.0 / 0.68);
    about(&rows[1], "total", 0.16 + 0.02);

    // With every tenth call cold for 20 ms more: a tenth of 80 ms.
    let cold = [&rates[..], &["--cold-share", "0.1", "--init-ms", "20"]].concat();
    about(&cost(&cold).objects()[0], "billed_ms", 32.0);
}

#[test]
fn a_file_of_prices() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        "[cloud-run]\ngib_second = 2e-6\nvcpu_second = 3e-5\n",
    )
    .unwrap();
    let file = file.path().to_str().unwrap();
    let rest = [
        "--json",
        "--prices",
        file,
        "--platform",
        "cloud-run",
        "--memory",
        "512",
    ];
    let alone = &cost(&rest).objects()[0];
    about(alone, "billed_ms", 100.0);
    about(alone, "total", 3.1 + 0.4);
    let shared = [&rest[..], &["--overlap", "10"]].concat();
    about(&cost(&shared).objects()[0], "total", 0.31 + 0.4);
}

#[test]
fn the_same_rows_in_each_form() {
    let rest = [
        "--memory",
        "256,512",
        "--platform",
        "lambda-x86,lambda-arm64",
    ];
    let objects = cost(&[&rest[..], &["--json"]].concat()).objects();
    assert_eq!(objects.len(), 8);

    let ran = cost(&[&rest[..], &["--csv"]].concat());
    let lines = ran.lines();
    let keys: Vec<&str> = lines[0].split(',').collect();
    for (line, object) in lines[1..].iter().zip(&objects) {
        for (key, cell) in keys.iter().zip(line.split(',')) {
            match &object[*key] {
                Value::String(text) => assert_eq!(text, cell),
                _ => about(object, key, cell.parse().unwrap()),
            }
        }
    }

    let ran = cost(&rest);
    let lines = ran.lines();
    assert!(lines[0].starts_with("platform"), "{ran:?}");
    assert_eq!(lines[1].split_whitespace().count(), 9, "{ran:?}");
    assert_eq!(lines[9], "");
    assert!(ran.out.contains("lambda-x86: prices of 2026-"), "{ran:?}");
    assert!(ran.out.contains("texts per call on"), "{ran:?}");
    assert!(!ran.out.contains("overridden"), "{ran:?}");
}

/// A price of one's own is not said to be the table's source's.
#[test]
fn what_was_given_is_said() {
    let rates = ["lambda-x86.gib_second=0.00002", "instance.month=40"];
    let ran = cost(&["--memory", "512", "--rate", rates[0], "--rate", rates[1]]);
    let line = |begins: &str| {
        let line = ran
            .lines()
            .into_iter()
            .find(|line| line.starts_with(begins));
        line.unwrap_or_else(|| panic!("{begins}: {ran:?}"))
            .to_owned()
    };
    assert!(line("lambda-x86: prices").ends_with(" (overridden: gib_second)"));
    assert!(!line("lambda-arm64: prices").contains("as given"));
    assert!(line("instance: ").contains("$ 40 a month (price of 2021-03) (overridden: month);"));
}

#[test]
fn what_has_no_known_rate_is_left_out_and_said() {
    let ran = cost(&[]);
    assert!(ran.out.contains("cloud-run: left out"), "{ran:?}");
    assert!(
        !ran.lines()
            .iter()
            .any(|line| line.starts_with("cloud-run   ")),
        "{ran:?}"
    );
    // 2 platforms, 5 sizes, 2 numbers of texts.
    assert_eq!(cost(&["--json"]).objects().len(), 20);
}

#[test]
fn a_picture_of_every_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cost.svg");
    cost(&[
        "--json",
        "--memory",
        "256,512",
        "--svg",
        file.to_str().unwrap(),
    ])
    .objects();
    let svg = std::fs::read_to_string(file).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    for says in ["texts a call", "lambda-x86, 256 MB", "lambda-arm64, 512 MB"] {
        assert!(svg.contains(says), "{says}");
    }
    assert_eq!(svg.matches("<circle").count(), 8);
    let nowhere = cost(&["--svg", "no/such/folder/cost.svg"]);
    assert_eq!(
        (nowhere.code, nowhere.out.as_str()),
        (Some(1), ""),
        "{nowhere:?}"
    );
    assert!(
        nowhere.err.contains("no/such/folder/cost.svg"),
        "{nowhere:?}"
    );
}

#[test]
fn a_model_is_measured() {
    let rest = [
        "--json",
        "--tokens",
        "8",
        "--texts",
        "1,3",
        "--seconds",
        "0.02",
        "--memory",
        "1769",
    ];
    let cold = [&rest[..], &["--cold-share", "1"]].concat();
    let (warm, cold) = (
        on("bert-base", "cost", &rest),
        on("bert-base", "cost", &cold),
    );
    let (warm, cold) = (warm.objects(), cold.objects());
    assert_eq!(warm.len(), 4);
    let (one, three) = (&warm[0]["latency_ms"], &warm[1]["latency_ms"]);
    assert!(
        0.0 < one.as_f64().unwrap() && one.as_f64() < three.as_f64(),
        "{one} {three}"
    );
    // A start takes longer than a tiny model's answer.
    assert!(warm[0]["billed_ms"].as_f64() < cold[0]["billed_ms"].as_f64());
}

#[test]
fn what_cannot_be_reckoned() {
    let fails = |rest: &[&str], code: i32, says: &str| {
        super::errors::fails(&bertless(&[&["cost"], rest].concat()), code, says);
    };
    let given = |rest: &[&'static str]| [&GIVEN[..], rest].concat();
    fails(&["--latency-ms", "1"], 2, "TEXTS=MS");
    fails(&["--latency-ms", "0=1"], 2, "TEXTS=MS");
    fails(&["--latency-ms", "1=0"], 2, "TEXTS=MS");
    fails(&given(&["--model", "x"]), 2, "--model");
    fails(&given(&["--texts", "1"]), 2, "--texts");
    fails(&given(&["--csv", "--json"]), 2, "--csv");
    fails(
        &given(&["--platform", "azure"]),
        2,
        "lambda-x86, lambda-arm64, cloud-run",
    );
    fails(
        &given(&["--platform", "cloud-run"]),
        2,
        "--rate cloud-run.gib_second=",
    );
    fails(&given(&["--cold-share", "2"]), 2, "from 0 to 1");
    fails(&given(&["--cold-share", "0.1"]), 2, "--init-ms");
    fails(&given(&["--memory", "0"]), 2, "--memory");
    let small = given(&["--memory", "64", "--platform", "lambda-arm64"]);
    fails(
        &small,
        2,
        "lambda-arm64 has 128 to 10240 MB of memory, not 64",
    );
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("prices.toml");
    std::fs::write(&broken, "[lambda-x86]\ngib_second =\n").unwrap();
    let broken = broken.to_str().unwrap();
    let prices = [&GIVEN[..], &["--prices", broken]].concat();
    fails(&prices, 1, "prices.toml: line 2: ");
    fails(&given(&["--rate", "month=1"]), 2, "TABLE.KEY=NUMBER");
    fails(&given(&["--rate", "azure.month=1"]), 1, "azure");
    fails(&given(&["--prices", "no/such/file"]), 1, "no/such/file");
    let rate = ["--rate", "lambda-x86.gib_second=1e308"];
    fails(
        &given(&[rate[0], rate[1], "--svg", "x.svg"]),
        1,
        "more than can be reckoned",
    );
    let model = fixture("bert-base");
    let model = model.to_str().unwrap();
    fails(&["--model", model, "--tokens", "9999"], 1, "--tokens 9999");
    fails(&["--model", model, "--threads", "2"], 2, "one thread");
}
