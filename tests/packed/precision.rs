//! Weights in fewer bits: how far answers move.

use bertless::{Dtype, Model, Precision};

use crate::{fixture, input, inputs, one_thread, packed};

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
