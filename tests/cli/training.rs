//! `bertless train`, and what it leaves.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use super::{bertless, command, fixture};

/// A folder with a table and a recipe whose output is named by a flag.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let words = [
        ("good", "positive"),
        ("bad", "negative"),
        ("great", "positive"),
        ("worst", "negative"),
    ];
    let things = ["film", "movie", "story", "plot", "acting", "music"];
    let rows = words
        .iter()
        .flat_map(|word| things.iter().map(move |thing| (word, thing)));
    let rows: String = rows
        .map(|((word, label), thing)| format!("{label}\tthe {thing} was {word}\n"))
        .collect();
    let table = place.path().join("t.tsv");
    fs::write(&table, format!("label\ttext\n{rows}")).unwrap();
    let recipe = format!(
        "model = {:?}\noutput = 'unsaid'\ntask = 'classification'\n\
         [data]\ntrain = {table:?}\ndev = {table:?}\n\
         [training]\nepochs = 40\nbatch = 8\nrate = 5e-3\nmax-length = 16\nmeasure-every = 30\nsave-every = 4\n",
        fixture("bert-classify")
    );
    fs::write(place.path().join("r.toml"), recipe).unwrap();
    place
}

#[test]
fn a_run_that_is_killed_goes_on_and_ends_with_the_same_model() {
    let place = place();
    let path = |name: &str| place.path().join(name).display().to_string();
    let arguments = |output: &str| {
        [
            "train".to_owned(),
            path("r.toml"),
            "--output".to_owned(),
            path(output),
            "--threads".to_owned(),
            "1".to_owned(),
        ]
    };
    let run = |output: &str| {
        let arguments = arguments(output);
        bertless(&arguments.each_ref().map(String::as_str))
    };
    let whole = run("whole");
    assert_eq!(whole.code, Some(0), "{whole:?}");
    assert!(whole.out.starts_with("accuracy "), "{whole:?}");
    assert!(
        whole
            .err
            .contains("24 examples to learn from, 24 to measure with"),
        "{whole:?}"
    );

    for wait in [300, 500, 800] {
        let mut child = command();
        let mut child = child
            .args(arguments("killed"))
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(run("killed").code, Some(0));
    let weights = |output: &str| fs::read(path(&format!("{output}/model.safetensors"))).unwrap();
    assert!(weights("whole") == weights("killed"));

    let log = fs::read_to_string(path("killed/training/log.jsonl")).unwrap();
    assert_eq!(
        log.lines()
            .filter(|line| line.contains("\"figures\""))
            .count(),
        4
    );
    assert!(
        fs::read_to_string(path("killed/training/curves.svg"))
            .unwrap()
            .contains("accuracy")
    );
    // What it says of the best model is what the model does.
    let evaluated = bertless(&[
        "evaluate",
        "--model",
        &path("whole"),
        "--data",
        &path("t.tsv"),
        "--json",
    ])
    .object();
    let accuracy = format!("accuracy {:.4}", evaluated["accuracy"].as_f64().unwrap());
    assert!(whole.out.starts_with(&accuracy), "{accuracy} {whole:?}");
}

#[test]
fn what_is_wrong_is_one_line() {
    let place = place();
    let path = |name: &str| place.path().join(name).display().to_string();
    let recipe = path("r.toml");
    for (arguments, says) in [
        (vec![], "missing field `model`"),
        (vec!["no.toml"], "no.toml"),
        (
            vec![&*recipe, "--set", "training.speed=1"],
            "unknown field `speed`",
        ),
        (vec![&*recipe, "--rate", "fast"], "training.rate"),
        (
            vec![&*recipe, "--set", "data.text=words"],
            "line 1: there is no column words, only label, text",
        ),
    ] {
        let ran = bertless(&[&["train"], &arguments[..]].concat());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains(says), "{ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    }
}
