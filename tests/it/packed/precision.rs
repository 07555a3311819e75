//! Differences between models with weights of fewer bits and the originals.

use std::sync::{Arc, Mutex};

use bertless::{Dtype, Model, PackOptions, PackedMatrix, QuantizationOutcome, WeightFormat};

use safetensors::SafeTensors;

use super::{at, fixture, input, inputs, one_thread, packed};

/// A fixture of each family.
const FAMILIES: [&str; 5] = [
    "bert-base",
    "electra-base",
    "mobilebert-base",
    "mpnet-base",
    "distilbert-base",
];

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
    for name in FAMILIES {
        let load = |dtype| Model::load_with(fixture(name), one_thread().dtype(dtype)).unwrap();
        let (exact, halves, bytes) = (load(Dtype::F32), load(Dtype::Bf16), load(Dtype::Int8));
        let whole = packed(&fixture(name), WeightFormat::F32).len();
        for (precision, bound, least) in [
            // The fixtures' weights have few bits, which f16 holds all.
            (WeightFormat::F16, 1e-6, 0.0),
            (WeightFormat::Bf16, 0.1, 1e-5),
            (WeightFormat::Int8, 0.15, 1e-5),
        ] {
            let file = packed(&fixture(name), precision);
            let model = Model::from_bytes_with(file, one_thread()).unwrap();
            // What fewer bits do to the products of networks of random weights is another test's matter; here it is the
            // tables, and in bf16 the heads.
            let unpacked = match precision {
                WeightFormat::Bf16 => &halves,
                WeightFormat::Int8 => &bytes,
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

/// What is stored in bf16 computes in it, or in f32 if it is asked to.
#[test]
fn a_file_in_bf16_computes_in_either_type() {
    for name in FAMILIES {
        let exact = Model::load_with(fixture(name), one_thread()).unwrap();
        let file = packed(&fixture(name), WeightFormat::Bf16);
        let open = |options| Model::from_bytes_with(file, options);
        let halves = open(one_thread()).unwrap();
        let asked = open(one_thread().dtype(Dtype::Bf16)).unwrap();
        let floats = open(one_thread().dtype(Dtype::F32)).unwrap();
        let types = [&halves, &asked, &floats].map(Model::dtype);
        assert_eq!(types, [Dtype::Bf16, Dtype::Bf16, Dtype::F32]);
        assert_eq!(distance(&asked, &halves, name), 0.0, "{name}");
        // Rounded weights alone, and activations rounded as well.
        let (of_weights, of_both) = (
            distance(&floats, &exact, name),
            distance(&halves, &exact, name),
        );
        println!("{name}: {of_weights:e}, computed in bf16 {of_both:e}");
        assert!(
            of_weights > 1e-5 && of_weights < 0.1,
            "{name}: {of_weights:e}"
        );
        assert!(of_both > 1e-5 && of_both < 0.1, "{name}: {of_both:e}");
        assert!(distance(&floats, &halves, name) > 1e-5, "{name}");
        let error = open(one_thread().dtype(Dtype::Int8)).unwrap_err();
        assert!(
            error.to_string().contains("in bf16, not in int8"),
            "{error}"
        );
    }
}

/// Matrices of bytes and of floats in one file, in every family: each is computed with as it is.
#[test]
fn what_is_kept_in_f32_is_computed_in_f32() {
    for name in FAMILIES {
        let load = |options: PackOptions| {
            let made = Model::pack_with(fixture(name), options).unwrap();
            let model = Model::from_bytes_with(at(made.to_vec(), 0), one_thread()).unwrap();
            (made, model)
        };
        let int8 = PackOptions::new(WeightFormat::Int8);
        let (made, bytes) = load(int8.clone());
        assert!(
            made.matrices()
                .iter()
                .all(|m| m.stored == QuantizationOutcome::Int8)
        );
        assert!(
            made.matrices()
                .iter()
                .all(|m| m.error > 1e-3 && m.error < 0.02)
        );

        let (made, first) = load(int8.clone().keep_f32("layer.0."));
        for matrix in made.matrices() {
            let kept = matrix.name.contains("layer.0.");
            assert_eq!(
                matrix.stored == QuantizationOutcome::F32Requested,
                kept,
                "{matrix:?}"
            );
        }
        let (made, none) = load(int8.max_error(0.0));
        let for_error = |m: &PackedMatrix| m.stored == QuantizationOutcome::F32ForError;
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
            Model::pack(fixture(name), WeightFormat::Bf16)
                .unwrap()
                .matrices()
                .is_empty()
        );
    }
}

/// The texts of a fixture, as far as they are single.
fn texts(name: &str) -> Vec<String> {
    let rows = inputs(&fixture(name));
    let texts = rows.iter().filter(|row| row["second"].is_null());
    texts
        .map(|row| row["first"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn calibrated_by_texts_every_family_is_nearer_to_them() {
    let (mut before, mut after) = (0.0, 0.0);
    for name in FAMILIES {
        let int8 = PackOptions::new(WeightFormat::Int8);
        let exact = Model::load_with(fixture(name), one_thread().dtype(Dtype::F32)).unwrap();
        let options = int8.clone().calibrate(texts(name));
        let made = Model::pack_with(fixture(name), options).unwrap();
        for matrix in made.matrices() {
            assert!(
                matrix.output_error.is_some_and(|error| error < 0.05),
                "{matrix:?}"
            );
        }
        let bytes = at(made.to_vec(), 0);
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        let smoothed = tensors.names().into_iter();
        let smoothed = smoothed.filter(|name| name.ends_with(".smoothing")).count();
        // Of two layers both inputs that come from a norm; MobileBERT's feed-forwards alone.
        assert!(smoothed >= 2, "{name}: {smoothed}");
        let model = Model::from_bytes_with(bytes, one_thread()).unwrap();
        let plain =
            Model::from_bytes_with(packed(&fixture(name), WeightFormat::Int8), one_thread());
        let (found, plain) = (
            distance(&model, &exact, name),
            distance(&plain.unwrap(), &exact, name),
        );
        println!("{name}: {found:e}, not calibrated {plain:e}");
        before += plain;
        after += found;

        // From disk as in place.
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("m");
        made.save(&file).unwrap();
        let read = Model::load_with(&file, one_thread()).unwrap();
        for text in texts(name) {
            let states = |model: &Model| model.hidden_states(text.as_str()).unwrap();
            assert_eq!(states(&read), states(&model), "{name}");
        }
    }
    assert!(after < before, "{after} {before}");
}

/// A pair is read as the model reads it; and whoever watches hears of each matrix.
#[test]
fn pairs_calibrate_too() {
    let dir = fixture("bert-cross");
    let rows = inputs(&dir);
    let both = rows.iter().filter_map(|row| {
        let second = row["second"].as_str()?;
        Some((row["first"].as_str()?, second))
    });
    let both: Vec<(&str, &str)> = both.collect();
    assert!(both.len() > 3);
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let int8 = PackOptions::new(WeightFormat::Int8);
    let pairs = int8
        .clone()
        .calibrate_pairs(both.clone())
        .watch(move |done, of| tell.lock().unwrap().push((done, of)));
    let pairs = Model::pack_with(&dir, pairs).unwrap();
    let all = pairs.matrices().len();
    let counted: Vec<(usize, usize)> = (1..=all).map(|done| (done, all)).collect();
    assert_eq!(*told.lock().unwrap(), counted);

    // Both texts of a pair were read, and as one.
    let firsts = int8.clone().calibrate(both.iter().map(|(first, _)| *first));
    let firsts = Model::pack_with(&dir, firsts).unwrap();
    assert_ne!(pairs.matrices(), firsts.matrices());
    let exact = Model::load_with(&dir, one_thread()).unwrap();
    let model = Model::from_bytes_with(at(pairs.to_vec(), 0), one_thread()).unwrap();
    assert!(distance(&model, &exact, "bert-cross") < 0.1);
}

#[test]
fn the_bound_of_a_calibrated_matrix_is_that_of_its_outputs() {
    let name = "bert-base";
    let int8 = PackOptions::new(WeightFormat::Int8).calibrate(texts(name));
    let pack = |options| Model::pack_with(fixture(name), options).unwrap();
    let all = pack(int8.clone());
    let mut errors: Vec<f64> = all
        .matrices()
        .iter()
        .filter_map(|m| m.output_error)
        .collect();
    errors.sort_by(f64::total_cmp);
    let bound = errors[errors.len() / 2];
    let some = pack(int8.max_error(bound));
    for (before, after) in all.matrices().iter().zip(some.matrices()) {
        assert_eq!(before.output_error, after.output_error);
        let above = after.output_error.unwrap() > bound;
        assert_eq!(
            after.stored == QuantizationOutcome::F32ForError,
            above,
            "{after:?}"
        );
    }
    // What is kept in f32 needs no smoothing.
    let bytes = some.to_vec();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    for matrix in some.matrices() {
        let smoothed = tensors
            .tensor(&format!("{}.smoothing", matrix.name))
            .is_ok();
        assert!(
            !smoothed || matrix.stored == QuantizationOutcome::Int8,
            "{matrix:?}"
        );
    }

    let none = PackOptions::new(WeightFormat::Int8).calibrate([""; 0]);
    let error = Model::pack_with(fixture(name), none).unwrap_err();
    assert!(
        error.to_string().contains("no text to calibrate by"),
        "{error}"
    );
    let floats = PackOptions::new(WeightFormat::F16).calibrate(["A text."]);
    let error = Model::pack_with(fixture(name), floats).unwrap_err();
    assert!(error.to_string().contains("calibrate"), "{error}");
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
    assert!(Model::pack(place.path(), WeightFormat::Bf16).is_ok());
    let error = Model::pack(place.path(), WeightFormat::F16)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "weight encoder.layer.0.output.dense.weight in F16 is not finite"
    );
}
