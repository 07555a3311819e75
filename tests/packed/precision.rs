//! Weights in fewer bits: how far answers move.

use bertless::{Dtype, Model, PackOptions, PackedMatrix, Precision, Stored};

use crate::{at, fixture, input, inputs, one_thread, packed};

/// The largest difference between hidden states, as a share of the largest number.
fn distance(model: &Model, expected: &Model, name: &str) -> f32 {
    let mut worst = 0f32;
    for row in inputs(&fixture(name)) {
        let states = model.hidden_states(input(&row)).unwrap();
        let expected = expected.hidden_states(input(&row)).unwrap();
        for (state, expected) in states.iter().zip(&expected) {
            let largest = expected.iter().fold(0f32, |max, x| max.max(x.abs()));
            let differences = state.iter().zip(expected).map(|(a, b)| (a - b).abs());
            worst = worst.max(differences.fold(0f32, f32::max) / largest);
        }
    }
    worst
}

#[test]
fn fewer_bits_are_near_and_take_less() {
    for name in [
        "bert-base",
        "electra-base",
        "mobilebert-base",
        "mpnet-base",
        "distilbert-base",
    ] {
        let load = |dtype| Model::load_with(fixture(name), one_thread().dtype(dtype)).unwrap();
        let (exact, bytes) = (load(Dtype::F32), load(Dtype::Int8));
        let whole = packed(&fixture(name), Precision::F32).len();
        for (precision, bound, least) in [
            // The fixtures' weights have few bits, which f16 holds all.
            (Precision::F16, 1e-6, 0.0),
            (Precision::Bf16, 0.1, 1e-5),
            (Precision::Int8, 0.15, 1e-5),
        ] {
            let file = packed(&fixture(name), precision);
            let model = Model::from_static_with(file, one_thread()).unwrap();
            // What bytes do to the products of networks of random weights is another test's matter; here it is the tables.
            let unpacked = match precision {
                Precision::Int8 => &bytes,
                _ => &exact,
            };
            assert_eq!(model.dtype(), unpacked.dtype());
            let distance = distance(&model, unpacked, name);
            println!(
                "{name} {precision}: {distance:e}, {} of {whole} bytes",
                file.len()
            );
            assert!(
                distance <= bound && distance >= least,
                "{name} {precision}: {distance:e}"
            );
            assert!(file.len() < whole);
            assert_eq!(model.summary().dtype, precision.name());
        }
    }
}

/// Matrices of bytes and of floats in one file, in every family: each is computed with as it is.
#[test]
fn what_is_kept_in_f32_is_computed_in_f32() {
    for name in [
        "bert-base",
        "electra-base",
        "mobilebert-base",
        "mpnet-base",
        "distilbert-base",
    ] {
        let load = |options: PackOptions| {
            let made = Model::pack_with(fixture(name), options).unwrap();
            let model = Model::from_static_with(at(made.to_vec(), 0), one_thread()).unwrap();
            (made, model)
        };
        let int8 = PackOptions::new(Precision::Int8);
        let (made, bytes) = load(int8.clone());
        assert!(made.matrices().iter().all(|m| m.stored == Stored::Int8));
        assert!(
            made.matrices()
                .iter()
                .all(|m| m.error > 1e-3 && m.error < 0.02)
        );

        let (made, first) = load(int8.clone().keep_f32("layer.0."));
        for matrix in made.matrices() {
            let kept = matrix.name.contains("layer.0.");
            assert_eq!(matrix.stored == Stored::F32AsAsked, kept, "{matrix:?}");
        }
        let (made, none) = load(int8.max_error(0.0));
        let for_error = |m: &PackedMatrix| m.stored == Stored::F32ForError;
        assert!(made.matrices().iter().all(for_error));
        for row in inputs(&fixture(name)) {
            let states = |model: &Model| model.hidden_states(input(&row)).unwrap();
            let (bytes, first, none) = (states(&bytes), states(&first), states(&none));
            // After the embeddings, whose tables are bytes in all three, and after each of two layers.
            assert!(bytes[0] == none[0] && bytes[1] != none[1], "{name}");
            assert!(first[..2] == none[..2] && first[2] != none[2], "{name}");
        }
        assert_eq!(none.dtype(), Dtype::Int8);
        assert!(
            Model::pack(fixture(name), Precision::Bf16)
                .unwrap()
                .matrices()
                .is_empty()
        );
    }
}

#[test]
fn a_number_too_large_for_f16_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let dir = fixture("bert-classify");
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, place.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = place.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let name = "bert.encoder.layer.0.output.dense.weight";
    let start = tensors.tensor(name).unwrap().data().as_ptr() as usize - bytes.as_ptr() as usize;
    bytes[start..start + 4].copy_from_slice(&70_000f32.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    assert!(Model::pack(place.path(), Precision::Bf16).is_ok());
    let error = Model::pack(place.path(), Precision::F16)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "weight encoder.layer.0.output.dense.weight in F16 is not finite"
    );
}
