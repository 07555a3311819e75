//! Tests of tables that cannot be learned from, and of label names.

use super::*;

/// Tables that cannot be learned from are refused before the first step, and nothing is written.
#[test]
fn nothing_to_learn_is_an_error_and_leaves_no_folder() {
    let place = Place::new();
    place.write("one.tsv", "text\tlabel\na\t1\nb\t1.0\nc\t 1\n");
    place.write(
        "two.jsonl",
        "{\"text\": \"a\", \"label\": [\"x\", \"y\"]}\n",
    );
    for case in [
        "classification | one.tsv | all rows have the label \"1\": there is nothing to tell apart",
        "classification | two.jsonl | two.jsonl, line 1: there are several labels, \"x y\"",
        "similarity | pairs.jsonl | pairs.jsonl, line 1: score 5 is out of reach",
    ] {
        let [task, table, reason] = case.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("{case}");
        };
        let settings = [
            ("task", task),
            ("data.train", table),
            ("training.max-length", "16"),
        ];
        let error = place.job("bert-base", "out", &settings, 1).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(reason), "{error}");
        assert!(!Path::new(&place.path("out")).exists());
    }
    // Evaluation compares scores only by rank.
    let settings = [
        ("task", "multiple-negatives"),
        ("data.train", "pairs.jsonl"),
        ("data.dev", "pairs.jsonl"),
        ("training.max-length", "16"),
    ];
    place.job("bert-base", "out", &settings, 1).unwrap();
}

#[test]
fn lists_and_spaces_make_no_labels_of_their_own() {
    let place = Place::new();
    place.write(
        "sets.jsonl",
        "{\"text\": \"a\", \"labels\": [\"joy\", \"sad, so\"]}\n{\"text\": \"b\", \"labels\": [\" joy\"]}\n",
    );
    place.write(
        "sets.tsv",
        "text\tlabels\na\tjoy, calm\nb\tcalm,joy\nc\tsad\n",
    );
    for (table, names, counts) in [
        ("sets.jsonl", &["joy", "sad, so"][..], &[2, 1][..]),
        ("sets.tsv", &["calm", "joy", "sad"], &[2, 2, 1]),
    ] {
        let settings = [
            ("task", "multi-label"),
            ("data.train", table),
            ("training.max-length", "16"),
        ];
        let job = place.job("bert-base", "out", &settings, 1).unwrap();
        assert_eq!(job.labels(), names);
        assert_eq!(job.label_counts().as_deref(), Some(counts));
    }
}

/// A model whose weights are not finite could not be opened.
#[test]
fn a_training_that_goes_astray_at_its_last_step_leaves_no_model() {
    let place = Place::new();
    let settings = [
        ("task", "classification"),
        ("data.train", "train.tsv"),
        ("training.epochs", "1"),
        ("training.batch-size", "32"),
        ("training.warmup-ratio", "0"),
        ("training.learning-rate", "1e39"),
        ("training.max-length", "16"),
    ];
    let mut job = place.job("bert-classify", "out", &settings, 1).unwrap();
    let error = job.train(&mut Quiet { stop_at: None }).unwrap_err();
    assert!(matches!(error, Error::NonFinite { .. }), "{error}");
    assert!(!Path::new(&place.path("out/model.safetensors")).exists());
}
