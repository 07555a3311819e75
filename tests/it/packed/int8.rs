//! Every fixture in int8: close to f32, and the same from a packed file as from a folder.

use std::path::Path;

use bertless::{Dtype, Model, PackOptions, Task, WeightFormat};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype as Stored, TensorView};

use super::{assert_same, fixtures, input, inputs, one_thread, packed};

/// What a model says of a fixture's texts, in numbers, all in a row: logits, or embeddings.
fn numbers(model: &Model, dir: &Path) -> Vec<f32> {
    let mut all = Vec::new();
    for row in inputs(dir) {
        let said = match model.task() {
            Task::Embedding => model.embed(row["first"].as_str().unwrap()).map(Vec::from),
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
        let file = packed(&dir, WeightFormat::Int8);
        let file = Model::from_bytes_with(file, one_thread()).unwrap();
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
        let file = packed(&dir, WeightFormat::Int8);
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
            let model = Model::from_bytes_with(file, one_thread().threads(threads)).unwrap();
            assert_same(&model, &expected, &dir);
        }
    }
}

/// Networks of a layer may be of two types, and then take rows in blocks of two sizes: 96 rows of 512 bytes, 384 of floats.
#[test]
fn networks_of_two_types_share_the_memory_of_a_layer() {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/mobilebert-base");
    let wide = tempfile::tempdir().unwrap();
    widen(&from, wide.path(), 512);
    let options = PackOptions::new(WeightFormat::Int8).keep_f32("ffn.0.");
    let made = Model::pack_with(wide.path(), options).unwrap();
    let file = wide.path().join("packed.safetensors");
    made.save(&file).unwrap();
    let texts = ["a good film about people who eat lunch in the rain"; 30];
    for threads in [1, 2] {
        let model = Model::load_with(&file, one_thread().threads(threads)).unwrap();
        let alone = model.embed(texts[0]).unwrap();
        let together = model.embed_batch(texts).unwrap();
        assert!(together.iter().all(|row| row == &alone[..]));
    }
}

/// Copies a MobileBERT with an inner width of so many, whose new weights are those that were there, again and again.
fn widen(from: &Path, to: &Path, width: usize) {
    let read = |name: &str| std::fs::read(from.join(name)).unwrap();
    for name in ["vocab.txt", "tokenizer_config.json"] {
        std::fs::write(to.join(name), read(name)).unwrap();
    }
    let mut config: serde_json::Value = serde_json::from_slice(&read("config.json")).unwrap();
    config["intermediate_size"] = width.into();
    std::fs::write(to.join("config.json"), config.to_string()).unwrap();
    let bytes = read("model.safetensors");
    let own = SafeTensors::deserialize(&bytes).unwrap();
    let widened: Vec<(String, Vec<usize>, Vec<u8>)> = own
        .iter()
        .map(|(name, tensor)| {
            let mut shape = tensor.shape().to_vec();
            let grows = match name {
                _ if name.contains("intermediate.dense") => Some(0),
                _ if name.ends_with("output.dense.weight") && shape[1] == 16 => Some(1),
                _ => None,
            };
            if let Some(axis) = grows {
                shape[axis] = width;
            }
            let len = 4 * shape.iter().product::<usize>();
            (
                name.to_owned(),
                shape,
                tensor.data().iter().copied().cycle().take(len).collect(),
            )
        })
        .collect();
    let tensors = widened.iter().map(|(name, shape, bytes)| {
        let tensor = TensorView::new(Stored::F32, shape.clone(), bytes).unwrap();
        (name, tensor)
    });
    let bytes = safetensors::serialize(tensors, None).unwrap();
    std::fs::write(to.join("model.safetensors"), bytes).unwrap();
}
