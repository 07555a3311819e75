//! Tests from tables to folders that open, with tiny networks.

use std::fs;

use super::*;
use crate::config::Task;
use crate::kernels::gemm::Rounding;
use crate::model::Model;
use crate::train::run::log::{Line, read_log};
use crate::train::run::trainer::{At, Trainable};

mod tables;
mod teacher;

const KINDS: [(&str, &str); 4] = [
    ("good", "yes"),
    ("wonderful", "yes"),
    ("bad", "no"),
    ("worst", "no"),
];
const THINGS: [&str; 8] = [
    "film", "movie", "story", "plot", "acting", "music", "lunch", "city",
];

/// A folder with tables.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let rows = |things: &[&str], line: &dyn Fn(&str, &str, &str) -> String| -> String {
            let pairs = KINDS
                .iter()
                .flat_map(|kind| things.iter().map(move |thing| (kind, thing)));
            pairs
                .map(|((word, label), thing)| line(word, label, thing))
                .collect()
        };
        let labelled = |things: &[&str]| {
            let line =
                |word: &str, label: &str, thing: &str| format!("the {thing} was {word}\t{label}\n");
            format!("text\tlabel\n{}", rows(things, &line))
        };
        place.write("train.tsv", &labelled(&THINGS));
        // Networks as small as these need not generalize.
        place.write("dev.tsv", &labelled(&THINGS[..4]));
        place.write(
            "corpus.txt",
            &rows(&THINGS, &|word, _, thing| {
                format!("the {thing} was {word}\n")
            }),
        );
        let scored = |word: &str, label: &str, thing: &str| {
            let score = if label == "yes" { 5 } else { 0 };
            format!(
                "{{\"sentence1\": \"{thing}\", \"sentence2\": \"{word} {thing}\", \"score\": {score}}}\n"
            )
        };
        place.write("pairs.jsonl", &rows(&THINGS, &scored));
        place.write(
            "tags.tsv",
            "tokens\ttags\nada lives in london\tB-PER O O B-LOC\nzoe works\tB-PER O\n",
        );
        place.write(
            "sets.csv",
            "text,labels\n\"good, film\",\"x,y\"\nbad film,y\nplot,\n",
        );
        place.write(
            "questions.tsv",
            "question\tcontext\tanswer\tanswer_start\nwho lives in london?\tada lives in london\tada\t0\n",
        );
        place
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.0.path().join(name), content).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Creates a job on a model of the fixtures or of this folder, with tables and settings.
    fn job(
        &self,
        model: &str,
        output: &str,
        settings: &[(&str, &str)],
        threads: usize,
    ) -> Result<Job> {
        let fixture = fixture(model);
        let model = if Path::new(&fixture).exists() {
            fixture
        } else {
            self.path(model)
        };
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let mut all = vec![
            owned(("model", &model)),
            owned(("output", &self.path(output))),
        ];
        for &(key, value) in settings {
            let is_file = Path::new(&self.path(value)).exists() && !value.is_empty();
            let value = if is_file {
                self.path(value)
            } else {
                value.to_owned()
            };
            all.push((key.to_owned(), value));
        }
        Job::new(None, &all, Some(threads))
    }
}

const CLASSIFIER: [(&str, &str); 8] = [
    ("task", "classification"),
    ("data.train", "train.tsv"),
    ("data.dev", "dev.tsv"),
    ("training.epochs", "15"),
    ("training.batch-size", "8"),
    ("training.learning-rate", "5e-3"),
    ("training.max-length", "16"),
    ("training.save-steps", "7"),
];

fn fixture(model: &str) -> String {
    crate::train::fixture(model).display().to_string()
}

struct Quiet {
    stop_at: Option<u64>,
}

impl Observer for Quiet {
    fn step(&mut self, at: At) -> bool {
        self.stop_at != Some(at.step)
    }
}

fn train(job: &mut Job, stop_at: Option<u64>) -> Outcome {
    job.train(&mut Quiet { stop_at }).unwrap()
}

fn best(job: &Job) -> f64 {
    let lines = read_log(&job.log()).unwrap();
    let figures = lines.iter().filter_map(|line| match line {
        Line::Figures(figures) => Some(figures.figures[0].1),
        Line::Steps(_) => None,
    });
    figures.fold(f64::NEG_INFINITY, f64::max)
}

/// Accuracy of a folder's model on the dev table.
fn accuracy(place: &Place, folder: &str) -> f64 {
    let model = Model::load(place.path(folder)).unwrap();
    let table = fs::read_to_string(place.path("dev.tsv")).unwrap();
    let rows: Vec<(&str, &str)> = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let right = rows
        .iter()
        .filter(|(text, label)| model.predict(*text).unwrap().label() == Some(label));
    right.count() as f64 / rows.len() as f64
}

#[test]
fn a_classifier_learns_and_its_folder_answers_alike_at_any_number_of_threads_and_after_a_break() {
    let place = Place::new();
    let mut job = place.job("bert-classify", "whole", &CLASSIFIER, 1).unwrap();
    assert_eq!(job.examples(), (32, 16));
    assert_eq!(train(&mut job, None), Outcome::Over);
    assert!(best(&job) >= 0.99, "{}", best(&job));
    assert_eq!(accuracy(&place, "whole"), best(&job));
    let weights = |folder: &str| fs::read(place.path(folder) + "/model.safetensors").unwrap();

    let mut job = place
        .job("bert-classify", "broken", &CLASSIFIER, 2)
        .unwrap();
    assert_eq!(train(&mut job, Some(10)), Outcome::Stopped);
    drop(job);
    // The folder may have moved meanwhile.
    fs::rename(place.path("broken"), place.path("moved")).unwrap();
    let mut job = place.job("bert-classify", "moved", &CLASSIFIER, 2).unwrap();
    assert_eq!(train(&mut job, None), Outcome::Over);
    assert!(weights("whole") == weights("moved"));

    // A run cannot be resumed with another recipe.
    let settings = [&CLASSIFIER[..], &[("training.seed", "2")]].concat();
    let mut job = place.job("bert-classify", "moved", &settings, 2).unwrap();
    let error = job.train(&mut Quiet { stop_at: None }).unwrap_err();
    assert!(error.to_string().contains("other settings"), "{error}");
}

#[test]
fn a_training_in_bf16_learns_too_and_repeats() {
    let place = Place::new();
    let settings = [&CLASSIFIER[..], &[("training.precision", "bf16")]].concat();
    let weights = |folder: &str| fs::read(place.path(folder) + "/model.safetensors").unwrap();
    for (folder, threads) in [("one", 1), ("two", 2)] {
        let mut job = place
            .job("bert-classify", folder, &settings, threads)
            .unwrap();
        assert_eq!(train(&mut job, None), Outcome::Over);
        assert!(best(&job) >= 0.99, "{}", best(&job));
        assert_eq!(accuracy(&place, folder), best(&job));
        // The evaluation runs as the saved model will: in f32.
        let exec = job.engine.context();
        let mut measured = || {
            job.trainable.evaluate(&exec).unwrap();
            let outputs = job.trainable.tape.output().to_vec();
            job.trainable.network.rounding = Rounding::None;
            outputs
        };
        assert_eq!(measured(), measured());
    }
    assert!(weights("one") == weights("two"));

    let mut job = place.job("bert-classify", "exact", &CLASSIFIER, 2).unwrap();
    assert_eq!(train(&mut job, None), Outcome::Over);
    assert!(weights("exact") != weights("one"));
    let mut job = place.job("bert-classify", "one", &CLASSIFIER, 2).unwrap();
    let error = job.train(&mut Quiet { stop_at: None }).unwrap_err();
    assert!(error.to_string().contains("other settings"), "{error}");
}

#[test]
fn what_is_dropped_differs_from_draw_to_draw_and_repeats() {
    let place = Place::new();
    let settings = [&CLASSIFIER[..], &[("training.dropout", "0.3")]].concat();
    let mut job = place.job("bert-classify", "o", &settings, 1).unwrap();
    let exec = job.engine.context();
    let trainable = &mut job.trainable;
    let mut loss = |dropout_key| {
        let mut unused = trainable.parameters.gradients();
        trainable
            .forward_backward(&exec, &[0, 1, 2], dropout_key, 1.0, &mut unused)
            .unwrap()
            .loss
    };
    let (first, second) = (loss(0), loss(1));
    assert_ne!(first, second);
    assert_eq!((loss(0), loss(1)), (first, second));
}

#[test]
fn every_task_learns_and_gives_a_model_that_opens() {
    let place = Place::new();
    for (case, found) in [
        (
            "classification distilbert-base train.tsv",
            Task::Classification,
        ),
        ("multi-label bert-base sets.csv", Task::Classification),
        ("regression bert-base pairs.jsonl", Task::Classification),
        (
            "token-classification distilbert-classify tags.tsv",
            Task::TokenClassification,
        ),
        (
            "question-answering bert-base questions.tsv",
            Task::QuestionAnswering,
        ),
        ("similarity sentence-mean pairs.jsonl", Task::Embedding),
        ("multiple-negatives bert-base pairs.jsonl", Task::Embedding),
    ] {
        let [task, model, table] = case.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{case}");
        };
        let settings = [
            ("task", task),
            ("data.train", table),
            ("data.dev", table),
            ("data.scale", "5"),
            ("training.learning-rate", "5e-3"),
            ("training.epochs", "20"),
            ("training.max-length", "20"),
            ("training.logging-steps", "1"),
            ("training.dropout", "0"),
        ];
        let mut job = place.job(model, task, &settings, 1).unwrap();
        assert_eq!(train(&mut job, None), Outcome::Over, "{task}");
        let losses: Vec<f64> = read_log(&job.log())
            .unwrap()
            .iter()
            .filter_map(|line| match line {
                Line::Steps(steps) => Some(steps.loss),
                Line::Figures(_) => None,
            })
            .collect();
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        assert!(last < 0.9 * first, "{task}: {first} {last}");
        let model = Model::load(place.path(task)).unwrap();
        assert_eq!(model.task(), found, "{task}");
        match task {
            "multi-label" => assert_eq!(model.labels(), ["x", "y"]),
            "token-classification" => assert_eq!(model.labels(), ["B-LOC", "B-PER", "O"]),
            "similarity" | "multiple-negatives" => assert!(best(&job) > -1.0),
            _ => {}
        }
    }
}

#[test]
fn a_small_model_is_trained_without_a_word_on_its_positions() {
    let place = Place::new();
    let settings: Vec<_> = CLASSIFIER
        .into_iter()
        .filter(|(key, _)| *key != "training.max-length")
        .collect();
    let job = place.job("bert-classify", "out", &settings, 1).unwrap();
    assert_eq!(job.recipe().training.max_length, Some(40));
}

#[test]
fn what_is_wrong_is_named() {
    let place = Place::new();
    for case in [
        "data.target=labels | train.tsv, line 1: there is no column labels",
        "data.labels=['yes'] | train.tsv, line 18: label \"no\" is none of yes",
        "training.max-length=99 | option training.max-length: 99 tokens are too many: the model has 40 positions",
        "training.metric=f1 | \"f1\" is none of accuracy, macro-f1, mcc",
        "training.class-weights=[1, 2, 3] | option class-weights: there are 3 of them, for 2 labels",
        "distillation.teacher=/no/such | /no/such",
        "data.dev={ file = 'a.tsv', pair = 'b' } | a.tsv, line 1: it has a second text",
        "data.dev={ file = 'a.tsv', sentences = true } | a.tsv, line 1: sentences can be cut of texts alone",
        "student.heads=5 | 5 heads do not divide",
        "data.train=corpus.txt | corpus.txt, line 1: there is no column label, only text",
    ] {
        let (change, reason) = case.split_once(" | ").unwrap();
        let settings = [&CLASSIFIER[..], &[change.split_once('=').unwrap()]].concat();
        let job = place.job("bert-classify", "wrong", &settings, 1);
        let done = job.and_then(|mut job| job.train(&mut Quiet { stop_at: None }));
        let error = done.unwrap_err().to_string();
        assert!(error.contains(reason), "{change}: {error}");
    }
}

#[test]
fn what_a_head_does_not_use_stays_in_the_folder() {
    let place = Place::new();
    let settings = [("training.epochs", "1"), ("training.max-length", "16")];
    let tensors = |folder: &Path| -> Vec<(String, Vec<u8>)> {
        let bytes = fs::read(folder.join("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let all = file.tensors().into_iter();
        let mut poolers: Vec<_> = all
            .filter(|(name, _)| name.contains("pooler"))
            .map(|(name, tensor)| (name, tensor.data().to_vec()))
            .collect();
        poolers.sort();
        poolers
    };
    for (task, table, prefix) in [
        ("multiple-negatives", "pairs.jsonl", ""),
        ("token-classification", "tags.tsv", "bert."),
    ] {
        let model = "bert-base";
        let own = [("task", task), ("data.train", table)];
        let settings = [&settings[..], &own].concat();
        let output = format!("of-{task}");
        let mut job = place.job(model, &output, &settings, 1).unwrap();
        train(&mut job, None);
        let (found, given) = (
            tensors(&place.0.path().join(&output)),
            tensors(Path::new(&fixture(model))),
        );
        assert_eq!(given.len(), 2);
        // Fixtures are in half precision.
        let names: Vec<&str> = found.iter().map(|(name, _)| &**name).collect();
        let expected: Vec<String> = given
            .iter()
            .map(|(name, _)| format!("{prefix}{name}"))
            .collect();
        assert_eq!(names, expected);
        for ((_, found), (_, given)) in found.iter().zip(&given) {
            let halves = given.as_chunks::<2>().0.iter();
            let wide: Vec<u8> = halves
                .flat_map(|&half| half::f16::from_le_bytes(half).to_f32().to_le_bytes())
                .collect();
            assert!(*found == wide, "{task}");
        }
        Model::load(place.path(&output)).unwrap();
    }
    // A student of another width has none.
    let narrow = [
        ("task", "multiple-negatives"),
        ("data.train", "pairs.jsonl"),
        ("student.hidden", "12"),
    ];
    let job = place.job("bert-base", "narrow", &[&settings[..], &narrow].concat(), 1);
    assert!(job.unwrap().trainable.unused.is_empty());
}

/// The fingerprint covers the training data: a run is not resumed on other data, nor on another model.
#[test]
fn another_table_or_model_is_another_run() {
    let place = Place::new();
    let job = |settings: &[(&str, &str)]| {
        place.job("bert-classify", "out", &[&CLASSIFIER, settings].concat(), 1)
    };
    assert_eq!(train(&mut job(&[]).unwrap(), Some(9)), Outcome::Stopped);
    let run = |settings: &[(&str, &str)]| {
        let outcome = job(settings).and_then(|mut job| job.train(&mut Quiet { stop_at: None }));
        outcome.map_err(|error| error.to_string())
    };
    for name in ["train.tsv", "dev.tsv"] {
        let old = fs::read_to_string(place.path(name)).unwrap();
        place.write(name, &old.replacen("was good", "was fine", 1));
        let error = run(&[]).unwrap_err();
        assert!(error.contains("other settings or data"), "{error}");
        place.write(name, &old);
    }
    let error = run(&[("model", &fixture("bert-nli"))]).unwrap_err();
    assert!(error.contains("other settings or data"), "{error}");
    assert_eq!(run(&[]), Ok(Outcome::Over));
    assert_eq!(run(&[]), Ok(Outcome::Over));
    fs::remove_file(place.path("out/model.safetensors")).unwrap();
    let error = run(&[]).unwrap_err();
    assert!(
        error.contains("it is gone, and its training is over"),
        "{error}"
    );
}

#[test]
fn nobody_s_files_are_written_over() {
    let place = Place::new();
    let job = |output: &str, settings: &[(&str, &str)]| {
        let job = place.job(
            "bert-classify",
            output,
            &[&CLASSIFIER, settings].concat(),
            1,
        );
        job.err().map(|error| error.to_string())
    };
    fs::create_dir(place.path("foreign")).unwrap();
    place.write("foreign/README.md", "mine");
    let error = job("foreign", &[]).unwrap();
    assert!(error.contains("foreign: it has files"), "{error}");
    let error = job("foreign", &[("model", &place.path("foreign"))]).unwrap();
    assert!(error.contains("the model itself"), "{error}");
    assert!(
        job("", &[("output", "")])
            .unwrap()
            .contains("output: is empty")
    );
    assert_eq!(fs::read_dir(place.path("foreign")).unwrap().count(), 1);
}

/// Without this setting, a cross-encoder of sentence-transformers would put its single output through a sigmoid.
#[test]
fn numbers_stay_numbers_where_others_load_them() {
    let place = Place::new();
    let settings = [
        ("task", "regression"),
        ("data.train", "pairs.jsonl"),
        ("training.epochs", "1"),
        ("training.max-length", "16"),
    ];
    let mut job = place.job("bert-classify", "out", &settings, 1).unwrap();
    train(&mut job, None);
    let config = fs::read_to_string(place.path("out/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let activation = &config["sentence_transformers"]["activation_fn"];
    assert_eq!(activation, "torch.nn.modules.linear.Identity");
    // The log has a line after the last step, however few there were.
    let lines = read_log(&job.log()).unwrap();
    assert!(matches!(lines[..], [Line::Steps(_)]), "{lines:?}");
}
