//! Packed files: they answer as their folder does, from every kind of source, and all damage is detected.

mod damage;
mod int8;
mod precision;
mod size;

use std::path::{Path, PathBuf};

use crate::folders::Folders;
use bertless::{Input, Model, ModelOptions, Packed, Tokenizer, WeightFormat};
use safetensors::SafeTensors;
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("fixtures/models").join(name)
}

fn fixtures() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(fixture("")).unwrap();
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() > 50);
    folders
}

/// A packed file in memory, for good.
fn packed(dir: &Path, precision: WeightFormat) -> &'static [u8] {
    match Model::pack(dir, precision) {
        Ok(packed) => at(packed.to_vec(), 0),
        Err(error) => panic!("{}: {error}", dir.display()),
    }
}

/// The bytes at an address that is so far from a multiple of 64, for good.
fn at(bytes: Vec<u8>, distance: usize) -> &'static [u8] {
    let len = bytes.len();
    let memory = vec![0u8; len + 128].leak();
    let start = (memory.as_ptr() as usize).next_multiple_of(64) - memory.as_ptr() as usize;
    let place = &mut memory[start + distance..][..len];
    place.copy_from_slice(&bytes);
    place
}

fn one_thread() -> ModelOptions {
    ModelOptions::new().threads(1)
}

/// The texts and pairs of a fixture.
fn inputs(dir: &Path) -> Vec<Value> {
    let json = std::fs::read(dir.join("reference.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    json["inputs"].as_array().unwrap().clone()
}

fn input(row: &Value) -> Input<'_> {
    let first = row["first"].as_str().unwrap_or("The only text.");
    match row["second"].as_str() {
        Some(second) => Input::Pair(first, second),
        None => Input::Text(first),
    }
}

/// Everything that two models say is the same to the bit.
#[track_caller]
fn assert_same(model: &Model, expected: &Model, dir: &Path) {
    let name = dir.display();
    for row in inputs(dir) {
        let input = input(&row);
        let states = model.hidden_states(input).map_err(|e| e.to_string());
        let expected_states = expected.hidden_states(input).map_err(|e| e.to_string());
        assert_eq!(states, expected_states, "{name}");
        let answer = model.predict(input).map_err(|e| e.to_string());
        let expected_answer = expected.predict(input).map_err(|e| e.to_string());
        assert_eq!(answer, expected_answer, "{name}");
    }
    let (found, wanted) = (model.summary(), expected.summary());
    assert_eq!(found.parameters, wanted.parameters, "{name}");
    assert_eq!(found.max_length, wanted.max_length, "{name}");
    assert_eq!(found.labels, wanted.labels, "{name}");
    assert!(found.packed.is_some() && wanted.packed.is_none());
}

#[test]
fn every_family_and_task_answers_as_its_folder_does() {
    for dir in fixtures() {
        let expected = Model::load_with(&dir, one_thread()).unwrap();
        let file = packed(&dir, WeightFormat::F32);
        let model = Model::from_bytes_with(file, one_thread()).unwrap();
        assert_same(&model, &expected, &dir);
    }
}

#[test]
fn a_file_on_disk_answers_as_its_folder_does() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("model.safetensors");
    for name in [
        "bert-mask",
        "sentence-max",
        "mpnet-classify",
        "mobilebert-mask",
    ] {
        let dir = fixture(name);
        let expected = Model::load_with(&dir, one_thread()).unwrap();
        for precision in WeightFormat::ALL {
            let made = Model::pack(&dir, precision).unwrap();
            made.replace(&file).unwrap();
            let memory = Model::from_bytes_with(at(made.to_vec(), 0), one_thread()).unwrap();
            for threads in [1, 3] {
                let options = ModelOptions::new().threads(threads);
                let model = Model::load_with(&file, options).unwrap();
                for row in inputs(&dir) {
                    let answer = model.predict(input(&row)).map_err(|e| e.to_string());
                    let other = memory.predict(input(&row)).map_err(|e| e.to_string());
                    assert_eq!(answer, other, "{name} {precision}");
                }
                if precision == WeightFormat::F32 {
                    assert_same(&model, &expected, &dir);
                }
            }
        }
    }
}

#[cfg(feature = "mmap")]
#[test]
fn a_mapped_file_answers_as_its_folder_does() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("model.safetensors");
    let dir = fixture("bert-classify");
    Model::pack(&dir, WeightFormat::F32)
        .unwrap()
        .save(&file)
        .unwrap();
    #[allow(unsafe_code, reason = "the promise that mapping asks for")]
    // SAFETY: the file is in a folder of this test's own, which leaves it alone.
    let mapped = unsafe { one_thread().map() };
    let model = Model::load_with(&file, mapped).unwrap();
    assert_same(&model, &Model::load_with(&dir, one_thread()).unwrap(), &dir);
}

#[test]
fn bytes_at_any_address_serve() {
    let dir = fixture("bert-classify");
    let bytes = packed(&dir, WeightFormat::Int8).to_vec();
    let expected = Model::from_bytes_with(at(bytes.clone(), 0), one_thread()).unwrap();
    for distance in [1, 2, 4, 32, 63] {
        let model = Model::from_bytes_with(at(bytes.clone(), distance), one_thread()).unwrap();
        let answer = model.predict("A fine film.").unwrap();
        assert_eq!(answer, expected.predict("A fine film.").unwrap());
    }
}

#[test]
fn packing_twice_gives_the_same_file() {
    for name in ["bert-classify", "sentence-max"] {
        let dir = fixture(name);
        assert!(packed(&dir, WeightFormat::F32) == packed(&dir, WeightFormat::F32));
    }
}

/// What a change of the format breaks: files that are out there. `bertless pack fixtures/models/bert-classify -o ...`
/// makes it anew.
#[test]
fn the_committed_file_is_what_is_written_today() {
    let committed: &'static [u8] =
        bertless::include_model!("../../../fixtures/packed/bert-classify.safetensors");
    let dir = fixture("bert-classify");
    assert!(committed == packed(&dir, WeightFormat::F32));
    let model = Model::from_bytes_with(committed, one_thread()).unwrap();
    assert_same(&model, &Model::load_with(&dir, one_thread()).unwrap(), &dir);
}

#[test]
fn it_is_a_safetensors_file_whose_tensors_are_aligned() {
    for precision in WeightFormat::ALL {
        let bytes = packed(&fixture("sentence-max"), precision);
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        for (name, tensor) in tensors.iter() {
            let place = tensor.data().as_ptr() as usize - bytes.as_ptr() as usize;
            assert!(
                place.is_multiple_of(64) || name.starts_with("padding/"),
                "{name}"
            );
        }
        for name in [
            "config.json",
            "modules.json",
            "2_Dense/linear.weight",
            "vocabulary/text",
        ] {
            assert!(tensors.tensor(name).is_ok(), "{name}");
        }
        assert!(tensors.tensor("vocab.txt").is_err());
        let json = tensors.tensor("tokenizer.json").unwrap();
        let json: Value = serde_json::from_slice(json.data()).unwrap();
        assert!(json["model"].is_object() && json["model"]["vocab"].is_null());
    }
}

/// Stored once, and as bytes in int8.
#[test]
fn a_tied_decoder_is_the_table_of_words() {
    for dir in fixtures() {
        let name = dir.file_name().unwrap().to_string_lossy();
        if !name.ends_with("-mask") {
            continue;
        }
        for precision in WeightFormat::ALL {
            let bytes = packed(&dir, precision);
            let tensors = SafeTensors::deserialize(bytes).unwrap();
            let words = tensors.tensor("vocabulary/starts").unwrap().shape()[0] - 1;
            let mut tables: Vec<&str> = tensors.names();
            tables.retain(|name| {
                let first = tensors.tensor(name).unwrap().shape()[0];
                name.ends_with(".weight") && first == words
            });
            assert_eq!(tables, ["embeddings.word_embeddings.weight"], "{name}");
            let table = tensors.tensor(tables[0]).unwrap();
            let in_bytes = table.dtype() == safetensors::Dtype::I8;
            assert_eq!(in_bytes, precision == WeightFormat::Int8, "{name}");
            let decoder =
                |name: &&str| name.contains("decoder.weight") || name.contains("projector.weight");
            assert!(!tensors.names().iter().any(decoder), "{name}");
        }
    }
}

#[test]
fn the_tokenizer_alone_is_read_from_it() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("m");
    for name in ["bert-classify", "mpnet-classify", "sentence-max"] {
        let dir = fixture(name);
        Model::pack(&dir, WeightFormat::F32)
            .unwrap()
            .replace(&file)
            .unwrap();
        let (tokenizer, expected) = (
            Tokenizer::load(&file).unwrap(),
            Tokenizer::load(&dir).unwrap(),
        );
        let text = "The unbelievable [MASK] Übermut, isn't it? 中文 zzzzqqq";
        assert_eq!(
            tokenizer.encode(text, None).unwrap(),
            expected.encode(text, None).unwrap()
        );
        assert_eq!(tokenizer.vocab_size(), expected.vocab_size());
        for id in 0..tokenizer.vocab_size() as u32 + 2 {
            assert_eq!(tokenizer.id_to_token(id), expected.id_to_token(id));
        }
    }
}

/// Each folder of `fixtures/tokenizer_folders.py`, with the weights of a fixture, cuts texts in one file as it does in many.
#[test]
fn every_folder_s_tokenizer_is_the_same_in_one_file() {
    let folders = Folders::committed();
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let mut compared = 0;
    for case in folders.cases() {
        let mut files = folders.files(case);
        let own = json(&files["config.json"]);
        // transformers refuses some, and one is of no family.
        let (Some(family), Some(ids)) = (own["model_type"].as_str(), case["ids"].as_array()) else {
            continue;
        };
        let weights = fixture(&format!("{family}-classify"));
        let mut config = json(&std::fs::read_to_string(weights.join("config.json")).unwrap());
        config["tokenizer_class"] = own["tokenizer_class"].clone();
        files.insert("config.json".to_owned(), config.to_string());
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        std::fs::copy(
            weights.join("model.safetensors"),
            place("model.safetensors"),
        )
        .unwrap();
        for (name, content) in files {
            std::fs::write(place(&name), content).unwrap();
        }
        let bytes = packed(dir.path(), WeightFormat::F32);
        let model = Model::from_bytes_with(bytes, one_thread()).unwrap();
        let (tokenizer, folder) = (model.tokenizer(), Tokenizer::load(dir.path()).unwrap());
        let name = &case["name"];
        assert_eq!(tokenizer.warnings(), folder.warnings(), "{name}");
        for (text, ids) in folders.texts().iter().zip(ids) {
            let encoding = tokenizer.encode(text.as_str().unwrap(), None).unwrap();
            assert_eq!(&serde_json::json!(encoding.ids), ids, "{name}: {text}");
        }
        compared += 1;
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn what_is_there_is_kept_and_nothing_is_left_beside_it() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("model.safetensors");
    let packed = Model::pack(fixture("bert-classify"), WeightFormat::F32).unwrap();
    std::fs::write(&file, b"mine").unwrap();
    let error = packed.save(&file).unwrap_err();
    assert!(matches!(&error, bertless::Error::Io { path, cause: source }
        if path == &file && source.kind() == std::io::ErrorKind::AlreadyExists));
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    packed.replace(&file).unwrap();
    assert_eq!(std::fs::read(&file).unwrap().len(), packed.bytes());
    assert_eq!(Packed::verify(&file).unwrap(), packed.summary());
    assert!(packed.save(place.path().join("no/folder")).is_err());
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
}

/// A device would be gone for all programs.
#[cfg(unix)]
#[test]
fn only_a_file_is_replaced() {
    let place = tempfile::tempdir().unwrap();
    let packed = Model::pack(fixture("bert-classify"), WeightFormat::F32).unwrap();
    let socket = place.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let link = place.path().join("link");
    std::os::unix::fs::symlink(&socket, &link).unwrap();
    for path in [&socket, &link, &place.path().to_owned()] {
        let error = packed.replace(path).unwrap_err();
        let refused = matches!(&error, bertless::Error::Io { cause: source, .. }
            if source.kind() == std::io::ErrorKind::InvalidInput);
        assert!(refused, "{error}");
    }
    assert!(link.is_symlink() && !socket.is_file());
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2);
}

#[test]
fn the_inventory_counts_every_byte() {
    let packed = Model::pack(fixture("bert-mask"), WeightFormat::Int8).unwrap();
    let kinds = packed.sections();
    assert_eq!(
        kinds.iter().map(|kind| kind.bytes).sum::<usize>(),
        packed.bytes()
    );
    let names: Vec<&str> = kinds.iter().map(|kind| kind.kind).collect();
    for kind in [
        "header",
        "settings",
        "vocabulary",
        "numbers",
        "matrices",
        "tables",
    ] {
        assert!(names.contains(&kind), "{kind} of {names:?}");
    }
}

#[test]
fn included_bytes_are_aligned() {
    let bytes: &'static [u8] = bertless::include_model!("mod.rs");
    assert_eq!(bytes, include_bytes!("mod.rs"));
    assert!((bytes.as_ptr() as usize).is_multiple_of(64));
}
