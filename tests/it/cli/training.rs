//! `bertless train`, `label` and `distill`, and the files that they write.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use super::{Ran, bertless, command, fixture};

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
         [training]\nepochs = 40\nbatch-size = 8\nlearning-rate = 5e-3\nmax-length = 16\neval-steps = 30\nsave-steps = 4\n",
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
            .contains("24 training examples, 24 evaluation examples"),
        "{whole:?}"
    );
    let labels = "labels: negative 12, positive 12\n";
    assert!(whole.err.contains(labels), "{whole:?}");

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
        (vec!["no.toml"], "no.toml"),
        (
            vec![&*recipe, "--set", "training.speed=1"],
            "unknown field `speed`",
        ),
        (
            vec![&*recipe, "--set", "training.learning-rate=fast"],
            "training.learning-rate",
        ),
        (
            vec!["--set", "task=\"regression\""],
            "missing field `model`",
        ),
        (
            vec![&*recipe, "--set", "training.precision=int8"],
            "expected `f32` or `bf16` in `training.precision`",
        ),
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

/// Paths that look like numbers or other values of TOML are paths.
#[test]
fn without_a_recipe_flags_say_what_to_train() {
    let place = place();
    let flags = "train --task classification --train t.tsv --dev t.tsv --epochs 1 --set training.max-length=16";
    for (missing, output) in [("--model <MODEL>", "-o out"), ("--output <FOLDER>", "-m m")] {
        let ran = within(&place, &format!("{flags} {output}"));
        super::errors::fails(&ran, 1, "missing field");
        let ran = within(&place, &format!("train --task classification {output}"));
        super::errors::fails(&ran, 2, missing);
    }
    let model = fixture("bert-classify").display().to_string();
    for output in ["2024", "true", "a'b\"c"] {
        let ran = within(
            &place,
            &format!("{flags} --model {model} --output {output}"),
        );
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(place.path().join(output).join("config.json").exists());
    }
}

/// Runs a command in a folder, where paths of recipes are looked for.
fn within(place: &tempfile::TempDir, arguments: &str) -> Ran {
    let output = command()
        .current_dir(place.path())
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    Ran {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    }
}

/// The number behind a figure's name.
fn figure(ran: &Ran, name: &str) -> f64 {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut words = ran.out.split([' ', ',']).skip_while(|word| *word != name);
    words.nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_teacher_labels_texts_and_small_students_learn_from_it_and_from_its_table() {
    let place = place();
    let read = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
    let texts: String = read("t.tsv")
        .lines()
        .skip(1)
        .filter_map(|line| Some(format!("{}\n", line.split_once('\t')?.1)))
        .collect();
    fs::write(place.path().join("silver.txt"), texts).unwrap();
    let trained = within(
        &place,
        "train r.toml -o teacher --set training.eval-steps=60",
    );
    let teacher = figure(&trained, "accuracy");
    assert!(teacher > 0.9, "{trained:?}");
    assert!(
        trained.err.contains("bertless predict --model teacher"),
        "{trained:?}"
    );
    let card = read("teacher/README.md");
    assert!(
        card.contains(&format!("| accuracy | {teacher:.4} |")),
        "{card}"
    );
    assert!(card.contains("Labels: negative, positive."), "{card}");

    let labelled = within(
        &place,
        "label -m teacher -d silver.txt -o silver.csv --json",
    );
    assert_eq!(labelled.object()["asked"], 24);
    let table = read("silver.csv");
    assert!(
        table.starts_with("text,label,score,logit:negative,logit:positive\n"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 25);

    // From the teacher itself and texts alone, and from its table; once each with two seeds.
    let student = "--layers 1 --tokens 60 --epochs 60 --batch-size 8 --learning-rate 5e-3 --task classification --dev t.tsv \
                   --set training.max-length=16 --set training.eval-steps=60 --seeds 1,2";
    let by_teacher = within(
        &place,
        &format!("distill --teacher teacher --unlabelled silver.txt -o one {student} --json"),
    );
    assert_eq!(by_teacher.code, Some(0), "{by_teacher:?}");
    let by_teacher: serde_json::Value = serde_json::from_str(&by_teacher.out).unwrap();
    assert_eq!(by_teacher["seeds"].as_array().unwrap().len(), 2);
    assert_eq!(by_teacher["median"][0][0], "accuracy");
    let median = by_teacher["median"][0][1].as_f64().unwrap();
    assert!(median > 0.7 * teacher, "{by_teacher}");
    // Former names of keys are the same keys, with a note.
    let student = student
        .replace("-size", "")
        .replace("learning-", "")
        .replace("eval-steps", "measure-every");
    let by_table = within(
        &place,
        &format!(
            "distill --model teacher --train silver.csv -o two {student} --set distillation.soft=1.0"
        ),
    );
    assert_eq!(by_table.code, Some(0), "{by_table:?}");
    for note in [
        "`training.batch` is now `training.batch-size`\n",
        "`training.rate` is now `training.learning-rate`\n",
        "`training.measure-every` is now `training.eval-steps`\n",
    ] {
        assert_eq!(by_table.err.matches(note).count(), 1, "{by_table:?}");
    }
    let rows: Vec<&str> = by_table.out.lines().collect();
    assert_eq!(rows.len(), 4, "{by_table:?}");
    assert!(rows[0].starts_with("seed") && rows[3].starts_with("median"));
    // The same targets by the same kernels, so the same student.
    let weights = |name: &str| fs::read(place.path().join(name)).unwrap();
    let one = weights("one/seed-2/model.safetensors");
    assert!(one == weights("two/seed-2/model.safetensors"));
    assert!(one != weights("one/seed-1/model.safetensors"));

    let card = read("one/seed-2/README.md");
    assert!(
        card.contains("taught by `teacher`") && card.contains("1 layers"),
        "{card}"
    );
    let recipe = card.split("```toml\n").nth(1).unwrap();
    let recipe = recipe.split("```").next().unwrap();
    fs::write(place.path().join("again.toml"), recipe).unwrap();
    // What stands in the card is the recipe: the run is known to be over.
    let again = within(&place, "train again.toml --json");
    assert_eq!(again.code, Some(0), "{again:?}");
    let again: serde_json::Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(
        again["figures"][0][1],
        by_teacher["seeds"][1]["figures"][0][1]
    );

    let packed = within(
        &place,
        "pack one/seed-2 --dtype int8 -o student.safetensors",
    );
    assert_eq!(packed.code, Some(0), "{packed:?}");
    let evaluated = within(&place, "evaluate -m student.safetensors -d t.tsv --json");
    let accuracy = evaluated.object()["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.6, "{evaluated:?}");
}

#[test]
fn pairs_are_mined_of_lines_and_scored() {
    let place = place();
    fs::write(
        place.path().join("lines.txt"),
        "the film was good\na good plot\nmusic\nthe music\n",
    )
    .unwrap();
    for model in ["sentence-mean", "cross-saved"] {
        let model = fixture(model);
        let arguments = format!(
            "label -m {} -d lines.txt -o pairs.jsonl --mine bm25 --candidates 1",
            model.display()
        );
        let ran = within(&place, &arguments);
        assert_eq!(ran.lines(), ["3 of 3 rows are in pairs.jsonl"]);
        let pairs = fs::read_to_string(place.path().join("pairs.jsonl")).unwrap();
        let first: serde_json::Value = serde_json::from_str(pairs.lines().next().unwrap()).unwrap();
        assert_eq!(first["sentence1"], "the film was good");
        assert!(first["score"].is_number(), "{pairs}");
    }
}

#[test]
fn what_is_wrong_with_labelling_and_distilling_is_one_line() {
    let place = place();
    let classify = fixture("bert-classify").display().to_string();
    let embed = fixture("sentence-mean").display().to_string();
    for (arguments, says) in [
        (
            format!("label -m {embed} -d t.tsv -o o.tsv"),
            "an embedding model says how alike two texts are",
        ),
        (
            format!("label -m {classify} -d t.tsv -o o.tsv --text-column words"),
            "t.tsv, line 1: there is no column words, only label, text",
        ),
        (
            format!("label -m {classify} -d t.tsv -o o.tsv --where label"),
            "neither COLUMN = VALUE nor",
        ),
        (
            format!("label -m {classify} -d t.tsv -o o.tsv --least-score 1.5"),
            "option least_score: 1.5 is above all scores of this model, which are 1 at most",
        ),
        (
            format!("label -m {classify} -d t.tsv -o no/o.tsv"),
            "no/o.tsv: No such file",
        ),
        (
            format!("label -m {classify} -d t.tsv -o t.tsv"),
            "one of the tables that are labelled",
        ),
        (
            format!("label -m {classify} -d t.tsv -o o.parquet"),
            "ends in .tsv, .csv or .jsonl",
        ),
        (
            "train r.toml --seeds 1,2,1".to_owned(),
            "1 stands there twice",
        ),
        ("distill r.toml".to_owned(), "there is no teacher"),
        ("distill r.toml --teacher nowhere".to_owned(), "nowhere"),
        (
            format!("distill r.toml --teacher {embed}"),
            "option teacher: it is for embedding, and not for sequence classification",
        ),
        (
            format!("distill r.toml --model {classify} --set distillation.soft=1.0"),
            "t.tsv, line 1: there is no teacher, and 0 columns of its logits",
        ),
        (
            format!("distill r.toml --teacher {classify} --set distillation.soft=0"),
            "has no weight above 0",
        ),
        (
            "train r.toml --seed 1 --seeds 1,2".to_owned(),
            "cannot be used with",
        ),
    ] {
        let ran = within(&place, &arguments);
        assert!(matches!(ran.code, Some(1 | 2)), "{ran:?}");
        super::errors::fails(&ran, ran.code.unwrap(), says);
        assert!(!place.path().join("o.tsv").exists());
    }
}

/// A model to begin with is a folder; of a packed teacher there is none.
#[test]
fn a_packed_teacher_is_no_model_to_begin_with() {
    let place = place();
    let packed = fixture("../packed/bert-classify.safetensors");
    let packed = packed.display();
    let distill = format!(
        "distill --teacher {packed} --layers 1 --task classification --train t.tsv -o out --set training.max-length=16"
    );
    let ran = within(&place, &distill);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains(
            "is a packed file, of which no student can be made: name the folder of a model (-m)"
        ),
        "{ran:?}"
    );
    let ran = within(&place, &format!("train r.toml -m {packed}"));
    assert!(
        ran.err
            .contains("a training begins with the folder of a model"),
        "{ran:?}"
    );
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    let folder = fixture("bert-classify");
    let attention = format!(
        "{distill} -m {} --set distillation.attention=1",
        folder.display()
    );
    let ran = within(&place, &attention);
    assert!(
        ran.err
            .contains("is a packed file, and a teacher that is asked at each step"),
        "{ran:?}"
    );
    // Beside a folder it teaches.
    let ran = within(
        &place,
        &format!("{distill} -m {} --epochs 1", folder.display()),
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_table_of_labels_without_a_row_is_warned_of() {
    let place = place();
    let classify = fixture("bert-classify").display().to_string();
    let ran = within(
        &place,
        &format!("label -m {classify} -d t.tsv -o o.tsv --least-score 1 --json"),
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("\"written\":0"), "{ran:?}");
    assert!(
        ran.err
            .starts_with("warning: no row has a score of 1 or more"),
        "{ran:?}"
    );
}
