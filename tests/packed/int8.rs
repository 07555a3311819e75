//! Every fixture in int8: near single precision, and the same out of a packed file as out of a folder.

use std::path::Path;

use bertless::{Dtype, Model, Precision, Task};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype as Stored, TensorView};

use crate::{assert_same, fixture, fixtures, input, inputs, one_thread, packed};

/// What a model says of a fixture's texts, in numbers, all in a row: logits, or embeddings.
fn numbers(model: &Model, dir: &Path) -> Vec<f32> {
    let mut all = Vec::new();
    for row in inputs(dir) {
        let said = match model.task() {
            Task::Embedding => model.embed(row["first"].as_str().unwrap()),
            _ => {
                let logits = model.logits(input(&row));
                logits.map(|logits| logits.into_iter().collect())
            }
        };
        // Some texts have no mask, and some questions no context: what both say is compared elsewhere.
        all.extend(said.unwrap_or_default());
    }
    assert!(!all.is_empty());
    all
}

fn root_mean_square(numbers: &[f32]) -> f32 {
    let squares: f32 = numbers.iter().map(|x| x * x).sum();
    (squares / numbers.len() as f32).sqrt()
}

/// The root mean square of the differences, and the greatest, as shares of the root mean square of what is expected.
fn errors(found: &[f32], expected: &[f32]) -> (f32, f32) {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    let off: Vec<f32> = pairs.map(|(a, b)| (a - b).abs()).collect();
    let all = root_mean_square(expected);
    let greatest = off.iter().copied().fold(0f32, f32::max);
    (root_mean_square(&off) / all, greatest / all)
}

/// A product is off by about a hundredth of its size, however many terms it has: weights that are spread normally by 0.008
/// (127 steps of the greatest of a row), activations by less (255 steps of a token's span). One or two layers of these give
/// the fixtures 0.001 (MobileBERT's) to 0.055. With a scale, a zero point or a channel that is another's it is 1.
const TOLERANCE: f32 = 0.08;
/// Of single numbers, of which there are thousands in a fixture: the worst of any is 0.26.
const WORST: f32 = 0.4;

#[test]
fn every_family_and_task_is_near_its_answers_in_f32() {
    for dir in fixtures() {
        let name = dir.file_name().unwrap().to_string_lossy();
        let load = |dtype| Model::load_with(&dir, one_thread().dtype(dtype)).unwrap();
        let exact = numbers(&load(Dtype::F32), &dir);
        let file = packed(&dir, Precision::Int8);
        let file = Model::from_static_with(file, one_thread()).unwrap();
        for (from, model) in [("folder", load(Dtype::Int8)), ("file", file)] {
            let (all, worst) = errors(&numbers(&model, &dir), &exact);
            println!("{name}, {from}: {all:.4}, at worst {worst:.4}");
            assert!(
                all <= TOLERANCE && worst <= WORST,
                "{name}, {from}: {all}, {worst}"
            );
            // It is computed in bytes.
            assert!(all >= 5e-4, "{name}, {from}: {all}");
        }
    }
}

/// A copy of a model's folder with its tables as a packed file has them.
fn with_tables_of(packed: &SafeTensors<'_>, dir: &Path, copy: &Path) -> usize {
    let mut tables = Vec::new();
    for (name, tensor) in packed.iter() {
        // Matrices are panels.
        let &[_, width] = tensor.shape() else {
            continue;
        };
        if tensor.dtype() != Stored::I8 {
            continue;
        }
        let scales = packed.tensor(&format!("{name}.scale")).unwrap();
        let scales = scales.data().as_chunks().0.iter();
        let rows = tensor.data().chunks_exact(width).zip(scales);
        let numbers = rows.flat_map(|(row, &scale)| {
            let scale = f32::from_le_bytes(scale);
            row.iter().map(move |&byte| f32::from(byte as i8) * scale)
        });
        let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
        let name = name.rsplit('/').next().unwrap();
        tables.push((name, tensor.shape().to_vec(), bytes));
    }
    let mut replaced = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let (from, to) = {
            let entry = entry.unwrap();
            (entry.path(), copy.join(entry.file_name()))
        };
        if from.is_dir() {
            std::fs::create_dir(&to).unwrap();
            replaced += with_tables_of(packed, &from, &to);
            continue;
        }
        let bytes = std::fs::read(&from).unwrap();
        if from
            .extension()
            .is_none_or(|extension| extension != "safetensors")
        {
            std::fs::write(&to, bytes).unwrap();
            continue;
        }
        let own = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = own.iter().map(|(name, tensor)| {
            let table = tables.iter().find(|(table, ..)| name.ends_with(table));
            let tensor = table.map_or(tensor, |(_, shape, bytes)| {
                replaced += 1;
                TensorView::new(Stored::F32, shape.clone(), bytes).unwrap()
            });
            (name, tensor)
        });
        std::fs::write(&to, safetensors::serialize(tensors, None).unwrap()).unwrap();
    }
    replaced
}

/// Tables are bytes only in a packed file; given those, a folder that is quantised at load computes the same to the bit,
/// decoders that are the table of words included.
#[test]
fn every_family_and_task_is_quantised_alike_at_load_and_by_pack() {
    for dir in fixtures() {
        let file = packed(&dir, Precision::Int8);
        let copy = tempfile::tempdir().unwrap();
        let tensors = SafeTensors::deserialize(file).unwrap();
        assert_eq!(
            with_tables_of(&tensors, &dir, copy.path()),
            1,
            "{}",
            dir.display()
        );
        let expected = Model::load_with(copy.path(), one_thread().dtype(Dtype::Int8)).unwrap();
        for threads in [1, 3] {
            let model = Model::from_static_with(file, one_thread().threads(threads)).unwrap();
            assert_same(&model, &expected, &dir);
        }
    }
}

/// What the tensors of a kind take in a file.
fn bytes_of(packed: &bertless::Packed, kind: &str) -> usize {
    let kinds = packed.inventory();
    let mut kinds = kinds.iter().filter(|found| found.kind == kind);
    kinds.next().unwrap().bytes
}

/// The sizes of a BERT encoder that decide how large its file is.
struct Sizes {
    layers: usize,
    hidden: usize,
    intermediate: usize,
    words: usize,
    positions: usize,
}

impl Sizes {
    /// (n, k) of each matrix of a layer.
    fn layer(&self) -> [(usize, usize); 4] {
        let (hidden, inner) = (self.hidden, self.intermediate);
        let up = (inner, hidden);
        [(3 * hidden, hidden), (hidden, hidden), up, (hidden, inner)]
    }

    /// A byte a weight, n padded to panels and k to groups of four.
    fn matrices(&self) -> usize {
        let padded = |(n, k): (usize, usize)| n.next_multiple_of(16) * k.next_multiple_of(4);
        self.layers * self.layer().map(padded).iter().sum::<usize>()
    }

    /// A byte a number; a table of fewer than 64 rows is in f32.
    fn tables(&self) -> usize {
        let row = |rows: usize| if rows < 64 { 4 } else { 1 };
        let rows = [self.words, self.positions, 2];
        rows.iter()
            .map(|&rows| rows * row(rows) * self.hidden)
            .sum()
    }

    /// A scale and a sum for each channel of a matrix, its bias, a scale for each row of a table, and norms.
    fn numbers(&self) -> usize {
        let channels = self.layer().map(|(n, _)| 2 * n.next_multiple_of(16) + n);
        let layer = channels.iter().sum::<usize>() + 4 * self.hidden;
        let rows = [self.words, self.positions].into_iter();
        let rows: usize = rows.filter(|&rows| rows >= 64).sum();
        4 * (self.layers * layer + rows + 2 * self.hidden)
    }
}

/// The arithmetic of a file's size, to the byte, and what it says of TinyBERT.
#[test]
fn files_are_as_large_as_their_numbers() {
    let dir = fixture("bert-head-26");
    let config = std::fs::read(dir.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let size = |key: &str| config[key].as_u64().unwrap() as usize;
    let packed = Model::pack(&dir, Precision::Int8).unwrap();
    let own = Sizes {
        layers: size("num_hidden_layers"),
        hidden: size("hidden_size"),
        intermediate: size("intermediate_size"),
        words: size("vocab_size"),
        positions: size("max_position_embeddings"),
    };
    assert_eq!(bytes_of(&packed, "matrices"), own.matrices());
    assert_eq!(bytes_of(&packed, "tables"), own.tables());
    assert_eq!(bytes_of(&packed, "numbers"), own.numbers());
    let tiny = Sizes {
        layers: 4,
        hidden: 312,
        intermediate: 1200,
        words: 30_522,
        positions: 512,
    };
    let weights = tiny.matrices() + tiny.tables() + tiny.numbers();
    // With 0.8 MB of vocabulary, header and settings 15.4 MB, or 14.7 MiB.
    assert_eq!(weights, 14_576_024);
}
