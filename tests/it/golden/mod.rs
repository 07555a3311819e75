//! Every fixture model agrees with the reference implementations in ids, hidden states of each layer, logits and
//! predictions. `fixtures/generate.py` writes models and references.

mod answers;
mod heads;
mod sentences;
mod states;

use std::path::{Path, PathBuf};

use bertless::{Input, Model, ModelOptions};
use safetensors::SafeTensors;
use serde_json::Value;

/// A fixture's folder and what the references say of it.
struct Fixture {
    name: String,
    dir: PathBuf,
    task: String,
    /// One row a text.
    inputs: Vec<Value>,
    tensors: Vec<u8>,
}

impl Fixture {
    fn open(dir: &Path) -> Self {
        let json = std::fs::read(dir.join("reference.json")).unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        Self {
            name: dir.file_name().unwrap().to_string_lossy().into_owned(),
            dir: dir.to_owned(),
            task: json["task"].as_str().unwrap().to_owned(),
            inputs: json["inputs"].as_array().unwrap().clone(),
            tensors: std::fs::read(dir.join("reference.safetensors")).unwrap(),
        }
    }

    fn model(&self) -> Model {
        self.model_with(ModelOptions::new())
    }

    fn model_with(&self, options: ModelOptions) -> Model {
        match Model::load_with(&self.dir, options) {
            Ok(model) => model,
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    /// A tensor of floats, if there is one of this name.
    fn floats(&self, name: &str) -> Option<Vec<f32>> {
        let tensors = SafeTensors::deserialize(&self.tensors).unwrap();
        let tensor = tensors.tensor(name).ok()?;
        let bytes = tensor.data().as_chunks().0;
        Some(bytes.iter().map(|&b| f32::from_le_bytes(b)).collect())
    }

    /// A tensor of whole numbers, if there is one of this name.
    fn numbers(&self, name: &str) -> Option<Vec<u32>> {
        let tensors = SafeTensors::deserialize(&self.tensors).unwrap();
        let tensor = tensors.tensor(name).ok()?;
        let bytes = tensor.data().as_chunks().0;
        Some(bytes.iter().map(|&b| u32::from_le_bytes(b)).collect())
    }
}

/// All fixtures whose task is one of these.
fn fixtures(tasks: &[&str]) -> Vec<Fixture> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models");
    let folders = std::fs::read_dir(models)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut fixtures: Vec<Fixture> = folders.map(|dir| Fixture::open(&dir)).collect();
    fixtures.retain(|fixture| tasks.contains(&fixture.task.as_str()));
    fixtures.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(fixtures.len() >= 2, "fixtures of {tasks:?}");
    fixtures
}

/// The text or pair of a row.
fn input(row: &Value) -> Input<'_> {
    let first = row["first"].as_str().unwrap();
    match row["second"].as_str() {
        Some(second) => Input::Pair(first, second),
        None => Input::Text(first),
    }
}

/// The largest difference, and the largest magnitude of what is expected.
fn difference(got: impl IntoIterator<Item = f32>, expected: &[f32]) -> (f32, f32) {
    let got: Vec<f32> = got.into_iter().collect();
    assert_eq!(got.len(), expected.len());
    let differences = got.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let largest = expected.iter().fold(0f32, |max, x| max.max(x.abs()));
    (differences.fold(0f32, f32::max), largest)
}

/// References are f64 results rounded to f32; ours are f32 throughout. Through two layers of rounding at 6e-8 an
/// operation, measured errors stay below 2.5e-6 of a tensor's largest number; a wrong turn anywhere gives 1e-2 and more.
const TOLERANCE: f32 = 5e-6;

#[track_caller]
fn assert_close(got: impl IntoIterator<Item = f32>, expected: &[f32], what: &str) {
    let (difference, largest) = difference(got, expected);
    assert!(
        difference <= TOLERANCE * largest.max(1.0),
        "{what}: differs by {difference:e} where the largest number is {largest}"
    );
}

/// Scores are probabilities or values; the references' own are f32.
#[track_caller]
fn assert_score(got: f32, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap() as f32;
    let difference = (got - expected).abs();
    assert!(
        difference <= 1e-5 * expected.abs().max(1.0),
        "{what}: {got} instead of {expected}"
    );
}
