//! Tests of distillation.

use std::ops::Range;

use super::*;
use crate::config::Config;
use crate::kernels::Threads;
use crate::train::model::network::Network;
use crate::train::model::ops::oracle::{assert_close, random, widen};
use crate::train::model::parameters::Gradients;
use crate::train::model::parameters::Parameters;
use crate::weights::ModelFiles;

#[test]
fn a_small_student_learns_from_a_teacher_without_labels() {
    let place = Place::new();
    train(
        &mut place
            .job("bert-classify", "teacher", &CLASSIFIER, 1)
            .unwrap(),
        None,
    );
    let student = [
        ("distillation.teacher", "teacher"),
        ("distillation.hidden", "0.01"),
        ("distillation.attention", "0.01"),
        ("distillation.relations", "0.01"),
        ("distillation.relation-heads", "3"),
        ("student.layers", "1"),
        ("student.intermediate", "16"),
        ("student.vocabulary", "corpus.txt"),
        ("training.epochs", "40"),
        ("training.eval-steps", "60"),
        ("training.dropout", "0"),
    ];
    let settings = [&CLASSIFIER[..], &student].concat();
    let mut job = place.job("teacher", "student", &settings, 1).unwrap();
    let (before, after, share) = job.coverage().unwrap();
    assert!(
        after < before && share == 1.0,
        "{after} of {before}, {share}"
    );
    train(&mut job, None);
    // Half of the answers would be right by chance.
    assert!(best(&job) >= 0.7, "{}", best(&job));
    assert_eq!(accuracy(&place, "student"), best(&job));
    let size = |folder: &str| {
        fs::metadata(place.path(folder) + "/model.safetensors")
            .unwrap()
            .len()
    };
    assert!(size("student") < size("teacher"));
}

#[test]
fn a_student_of_a_teachers_layers_begins_where_the_teacher_is() {
    let place = Place::new();
    let all = [
        &CLASSIFIER[..],
        &[
            ("student.layers", "1"),
            ("student.start", "[1]"),
            ("training.epochs", "1"),
        ],
    ]
    .concat();
    let job = place.job("bert-classify", "o", &all, 1).unwrap();
    let files = ModelFiles::folder(fixture("bert-classify"));
    let base = Network::load(&files, None, 1, &Threads::default());
    let (_, base) = base.unwrap();
    let values = |parameters: &Parameters, name: &str| {
        let name = format!("bert.encoder.layer.{name}.output.dense.weight");
        parameters
            .iter()
            .find(|p| p.name == name)
            .unwrap()
            .values
            .clone()
    };
    assert_eq!(values(&job.trainable.parameters, "0"), values(&base, "1"));
    let wrong = [&CLASSIFIER[..], &[("student.start", "[2]")]].concat();
    let error = place.job("bert-classify", "o", &wrong, 1).unwrap_err();
    assert!(error.to_string().contains("no layer 2"), "{error}");
}

#[test]
fn a_teacher_has_its_own_head_or_needs_none() {
    let place = Place::new();
    let read = |model: &str, file: &str| fs::read(Path::new(&fixture(model)).join(file)).unwrap();
    let headless = place.0.path().join("headless");
    fs::create_dir(&headless).unwrap();
    for (model, file) in [
        ("bert-classify", "config.json"),
        ("bert-classify", "vocab.txt"),
        ("bert-base", "model.safetensors"),
    ] {
        fs::write(headless.join(file), read(model, file)).unwrap();
    }
    let job = |soft: &str, hidden: &str| {
        let settings = [
            ("distillation.teacher", "headless"),
            ("distillation.soft", soft),
            ("distillation.hidden", hidden),
            ("data.labels", "['a', 'b', 'c']"),
        ];
        let mut settings = [&CLASSIFIER[..], &settings].concat();
        settings.retain(|(key, _)| *key != "data.dev");
        place.job("bert-classify", "o", &settings, 1)
    };
    let asked = |mut job: Job| job.trainable.prepare(&mut |_, _| ());
    let error = job("1", "0").and_then(asked).unwrap_err().to_string();
    assert!(
        error.contains("teacher") && error.contains("has no classifier.weight"),
        "{error}"
    );
    job("0", "1").and_then(asked).unwrap();
}

/// Teacher and student know tokens and labels by id alone.
#[test]
fn a_teacher_that_is_asked_at_each_step_has_the_students_tokens_and_labels() {
    let place = Place::new();
    let says = |base: &str, settings: &[(&str, &str)]| {
        let all = [&[("training.max-length", "16")], settings].concat();
        let job = place.job(base, "o", &all, 1);
        job.err().map(|error| error.to_string())
    };
    let teacher = fixture("bert-tokens");
    let labels = Config::read(&ModelFiles::folder(&teacher))
        .unwrap()
        .head
        .labels;
    let labelled = |labels: &[String]| {
        let labels = format!("{labels:?}");
        let settings = [
            ("task", "token-classification"),
            ("data.train", "tags.tsv"),
            ("data.labels", &labels),
            ("distillation.teacher", &teacher),
        ];
        says("bert-tokens", &settings)
    };
    assert_eq!(labelled(&labels), None);
    let turned: Vec<String> = labels.iter().rev().cloned().collect();
    let error = labelled(&turned).unwrap();
    assert!(
        error.contains("option labels: they are not those of the teacher"),
        "{error}"
    );

    let other = place.0.path().join("other");
    fs::create_dir(&other).unwrap();
    for file in ["config.json", "model.safetensors", "vocab.txt"] {
        fs::copy(Path::new(&fixture("bert-nli")).join(file), other.join(file)).unwrap();
    }
    let hidden = [
        ("task", "token-classification"),
        ("data.train", "tags.tsv"),
        ("distillation.teacher", "other"),
        ("distillation.soft", "0"),
        ("distillation.hidden", "1"),
        ("data.labels", "['B-PER', 'B-LOC', 'O']"),
    ];
    assert_eq!(says("bert-nli", &hidden), None);
    let words = fs::read_to_string(other.join("vocab.txt")).unwrap();
    let mut words: Vec<&str> = words.lines().collect();
    let last = words.len() - 1;
    words.swap(last - 1, last);
    fs::write(other.join("vocab.txt"), words.join("\n")).unwrap();
    let error = says("bert-nli", &hidden).unwrap();
    assert!(
        error.contains("it has other tokens than the model"),
        "{error}"
    );
}

/// A student of `bert-classify` with one layer, and its teacher, ready to run in each step.
fn student(place: &Place, teacher: &str, settings: &[(&str, &str)]) -> Result<Job> {
    let common = [
        ("distillation.teacher", teacher),
        ("student.layers", "1"),
        ("training.dropout", "0"),
        ("data.labels", "['a', 'b', 'c']"),
    ];
    let mut settings = [&CLASSIFIER[..], &common, settings].concat();
    settings.retain(|(key, _)| *key != "data.dev");
    let mut job = place.job("bert-classify", "o", &settings, 1)?;
    job.trainable.prepare(&mut |_, _| ())?;
    Ok(job)
}

/// Returns the loss of some examples and its gradients, summed over parts with a weight each.
fn forward_backward(job: &mut Job, parts: &[(Range<usize>, f64)]) -> Result<(f64, Gradients)> {
    let exec = job.engine.context();
    let mut gradients = job.trainable.parameters.gradients();
    let mut loss = 0.0;
    for (examples, weight) in parts {
        let examples: Vec<usize> = examples.clone().collect();
        let trainable = &mut job.trainable;
        let part = trainable.forward_backward(&exec, &examples, 0, *weight, &mut gradients)?;
        loss += weight * part.loss;
    }
    Ok((loss, gradients))
}

/// Returns the initial loss of a student on six examples.
fn first_loss(place: &Place, teacher: &str, settings: &[(&str, &str)]) -> Result<f64> {
    let mut job = student(place, teacher, settings)?;
    Ok(forward_backward(&mut job, &[(0..6, 1.0)])?.0)
}

/// A narrow student that learns these intermediate states of its teacher.
fn narrow_student(place: &Place, parts: &[&str]) -> Job {
    let weight = |part: &str| if parts.contains(&part) { "1" } else { "0" };
    let settings = [
        ("distillation.soft", weight("soft")),
        ("distillation.hidden", weight("hidden")),
        ("distillation.attention", weight("attention")),
        ("distillation.relations", weight("relations")),
        ("distillation.relation-heads", "3"),
        ("student.start", "fresh"),
        ("student.hidden", "12"),
        ("student.intermediate", "16"),
    ];
    let mut job = student(place, &fixture("bert-classify"), &settings).unwrap();
    // Away from the initial weights, where all outputs are nearly equal.
    for parameter in job.trainable.parameters.iter_mut() {
        parameter.values.iter_mut().for_each(|x| *x *= 5.0);
    }
    job
}

const PARTS: [&str; 4] = ["soft", "hidden", "attention", "relations"];

/// The gradients of a teacher's losses are their slopes. Each parameter is moved in a direction that is independent of its
/// computed gradient, so that a missing part shows.
#[test]
fn gradients_of_what_a_teacher_teaches_are_slopes() {
    const STEP: f32 = 1e-3;
    let place = Place::new();
    let all = [(0..6, 1.0)];
    for some in PARTS.chunks(1).chain([&PARTS[..]]) {
        let mut job = narrow_student(&place, some);
        let start = job.trainable.parameters.clone();
        let (loss, gradients) = forward_backward(&mut job, &all).unwrap();
        for (index, (parameter, gradient)) in start.iter().zip(gradients.iter()).enumerate() {
            let direction = random(index as u64, gradient.len());
            let mut at = |step: f32| {
                let mut moved = start.clone();
                let values = moved.iter_mut().nth(index).unwrap().values.iter_mut();
                values.zip(&direction).for_each(|(x, d)| *x += step * d);
                job.trainable.parameters = moved;
                forward_backward(&mut job, &all).unwrap().0
            };
            let found = (at(STEP) - at(-STEP)) / (2.0 * f64::from(STEP));
            let both = gradient.iter().zip(&direction);
            let expected: f64 = both.map(|(&x, &d)| f64::from(x) * f64::from(d)).sum();
            // An f32 loss has rounding errors, and so has a slope of nearly zero.
            let tolerance = 0.02 * expected.abs() + 3e-5 * loss;
            assert!(
                (found - expected).abs() <= tolerance,
                "{some:?}, {}: {found} is not {expected}",
                parameter.name
            );
        }
    }
}

/// All texts have one length, so that a mean over tokens is the mean of its parts.
#[test]
fn parts_of_a_batch_teach_what_the_whole_does() {
    let place = Place::new();
    for some in PARTS.chunks(1).chain([&PARTS[..]]) {
        let mut job = narrow_student(&place, some);
        assert_eq!(job.trainable.lengths()[..6], [6; 6]);
        let (loss, whole) = forward_backward(&mut job, &[(0..6, 1.0)]).unwrap();
        let parts = [(0..2, 1.0 / 3.0), (2..6, 2.0 / 3.0)];
        let (sum, parts) = forward_backward(&mut job, &parts).unwrap();
        assert!((sum / loss - 1.0).abs() < 1e-6, "{some:?}: {sum} {loss}");
        let names = job.trainable.parameters.iter().map(|p| &p.name);
        for (name, (whole, parts)) in names.zip(whole.iter().zip(parts.iter())) {
            // Sums of f32 in another order; of biases of keys nothing is left but what was rounded.
            assert_close(&format!("{some:?}, {name}"), parts, &widen(whole), 1e-4);
        }
    }
}

/// The student is a copy of its teacher, but for its token ids.
#[test]
fn a_teacher_reads_the_tokens_of_a_student_that_has_fewer() {
    let place = Place::new();
    // The teacher's hidden states come from either kind of network.
    for attention in ["0", "1"] {
        let settings = [
            ("distillation.soft", "0"),
            ("distillation.hidden", "1"),
            ("distillation.attention", attention),
            ("student.layers", "2"),
            ("student.vocabulary", "corpus.txt"),
        ];
        let mut job = student(&place, &fixture("bert-classify"), &settings).unwrap();
        let (before, after, _) = job.coverage().unwrap();
        assert!(after < before, "{after} of {before}");
        let (loss, _) = forward_backward(&mut job, &[(0..6, 1.0)]).unwrap();
        // The student has nothing to learn.
        assert!(loss < 1e-8, "{loss}");
    }
}

/// The compute type of a teacher changes its outputs and its hidden states slightly.
#[test]
fn a_teacher_in_another_type_teaches_nearly_the_same() {
    let place = Place::new();
    let teacher = fixture("bert-classify");
    let loss = |soft: &str, hidden: &str, dtype: &str| {
        let settings = [
            ("distillation.soft", soft),
            ("distillation.hidden", hidden),
            ("distillation.dtype", dtype),
        ];
        first_loss(&place, &teacher, &settings)
    };
    for (soft, hidden) in [("1", "0"), ("0", "1")] {
        let exact = loss(soft, hidden, "f32").unwrap();
        for dtype in ["bf16", "int8"] {
            let found = loss(soft, hidden, dtype).unwrap();
            assert_ne!(found, exact, "{dtype} is not what is computed in");
            assert!(
                (found / exact - 1.0).abs() < 0.05,
                "{dtype}: {found}, {exact}"
            );
        }
    }
    let error = loss("1", "0", "int4").unwrap_err().to_string();
    assert!(
        error.contains("\"int4\" is not") && error.contains("distillation.dtype"),
        "{error}"
    );
}

/// Hidden states alone come from the encoder, of any family; beside attention they come from the trainable network. Both agree.
#[test]
fn hidden_states_are_the_same_from_either_body() {
    let place = Place::new();
    let loss = |model: &str, hidden: &str, attention: &str| {
        let settings = [
            ("distillation.soft", "0"),
            ("distillation.hidden", hidden),
            ("distillation.attention", attention),
        ];
        first_loss(&place, &fixture(model), &settings)
    };
    let alone = loss("bert-classify", "1", "0").unwrap();
    let both = loss("bert-classify", "1", "1").unwrap();
    let beside = both - loss("bert-classify", "0", "1").unwrap();
    assert!((alone / beside - 1.0).abs() < 1e-5, "{alone} {beside}");

    let other = loss("electra-classify", "1", "0").unwrap();
    assert!(other.is_finite() && other > 0.0, "{other}");
    // The family of this teacher has no trainable network.
    assert!(loss("electra-classify", "1", "1").is_err());
}
