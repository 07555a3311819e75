//! Reading rows of the word-embedding table in place: the same answers from every kind of source, and clear errors if a
//! read fails. Also texts that are tokenized already.

use std::path::{Path, PathBuf};

use bertless::{Encoding, Error, Model, ModelFiles, ModelOptions};

const FILES: [&str; 5] = [
    "config.json",
    "model.safetensors",
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
];
const WORDS: &str = "bert.embeddings.word_embeddings.weight";

fn folder(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("fixtures/models").join(name)
}

fn read(name: &str, file: &str) -> Vec<u8> {
    std::fs::read(folder(name).join(file)).unwrap()
}

/// The files that a fixture has.
fn files(name: &str) -> impl Iterator<Item = &'static str> {
    let dir = folder(name);
    let there = move |file: &&str| dir.join(file).is_file();
    FILES.into_iter().filter(there)
}

fn parts(name: &str) -> ModelFiles {
    files(name).fold(ModelFiles::new(), |files, file| {
        files.with(file, read(name, file))
    })
}

/// The weights of bert-classify, and at which byte of them the row of an id starts.
fn weights_and_row(id: usize) -> (Vec<u8>, usize) {
    let bytes = read("bert-classify", "model.safetensors");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    let words = &json[WORDS];
    let start = header + words["data_offsets"][0].as_u64().unwrap() as usize;
    let width = words["shape"][1].as_u64().unwrap() as usize;
    (bytes, start + id * width * 4)
}

#[test]
fn a_word_that_is_no_number_is_named_when_it_is_used() {
    let healthy = Model::load(folder("bert-classify")).unwrap();
    let id = healthy.tokenizer().encode("film", None).unwrap().ids[1];
    let (mut bytes, row) = weights_and_row(id as usize);
    bytes[row..row + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let model = Model::from_files(parts("bert-classify").with("model.safetensors", bytes)).unwrap();
    let (good, bad) = ("a good year", "a good film");
    assert_eq!(model.predict(good).unwrap(), healthy.predict(good).unwrap());
    let error = model.predict(bad).unwrap_err();
    assert_eq!(error.to_string(), format!("weight {WORDS} is not finite"));
    assert_eq!(model.predict(good).unwrap(), healthy.predict(good).unwrap());
}

#[test]
fn a_file_that_shrinks_under_a_model_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for file in files("bert-classify") {
        std::fs::write(dir.path().join(file), read("bert-classify", file)).unwrap();
    }
    let model = Model::load(dir.path()).unwrap();
    let answer = model.predict("a good film").unwrap();
    let path = dir.path().join("model.safetensors");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(100).unwrap();
    // Rows that were read last are kept; others are gone.
    assert_eq!(model.predict("a good film").unwrap(), answer);
    let error = model.predict("a bad city").unwrap_err();
    assert!(
        matches!(&error, Error::Io { path: named, .. } if *named == path),
        "{error}"
    );
}

#[test]
fn answers_are_the_same_from_disk_and_from_memory_at_any_number_of_threads() {
    for name in [
        "bert-classify",
        "bert-mask",
        "stored-f16",
        "stored-bf16",
        "stored-f64",
        "mobilebert-mask",
    ] {
        let text = "a good [MASK] in the city";
        let states = |model: Model| {
            (
                model.predict(text).unwrap(),
                model.last_hidden_state(text).unwrap(),
            )
        };
        let disk = states(Model::load(folder(name)).unwrap());
        let memory = parts(name);
        assert_eq!(states(Model::from_files(memory).unwrap()), disk, "{name}");
        for threads in [1, 3] {
            let options = ModelOptions::new().threads(threads);
            let model = Model::load_with(folder(name), options).unwrap();
            assert_eq!(states(model), disk, "{name}, {threads} threads");
        }
    }
}

#[test]
fn texts_that_are_tokens_already() {
    let whole = Model::load(folder("bert-base")).unwrap();
    let model = Model::load_with(folder("bert-base"), ModelOptions::new().max_length(6)).unwrap();
    let texts = ["a good film", "", "worst movie ever"];
    let encode = |text: &&str| model.tokenizer().encode(*text, None).unwrap();
    let encodings: Vec<Encoding> = texts.iter().map(encode).collect();
    let ids = |encoding: &Encoding| Encoding::from_ids(encoding.ids.clone());
    let bare: Vec<Encoding> = encodings.iter().map(ids).collect();
    for encodings in [&encodings, &bare] {
        let states = model.last_hidden_states(encodings).unwrap();
        for (states, text) in states.iter().zip(texts) {
            assert_eq!(*states, whole.last_hidden_state(text).unwrap(), "{text}");
        }
    }
    assert!(model.last_hidden_states(&[]).unwrap().is_empty());

    // Longer than texts may be, as long as there are positions; and more of them than are computed at once.
    assert_eq!((model.max_length(), model.max_positions()), (6, 40));
    let long = vec![Encoding::from_ids(vec![7; 40]); 60];
    let states = model.last_hidden_states(&long).unwrap();
    assert_eq!(states.len(), 60);
    assert!(
        states
            .iter()
            .all(|own| *own == states[0] && own.nrows() == 40)
    );

    let beyond = model.last_hidden_states(&[Encoding::from_ids(vec![7; 41])]);
    assert!(matches!(
        beyond,
        Err(Error::EmbeddingOutOfRange {
            id: 40,
            rows: 40,
            ..
        })
    ));
    let unknown = model.last_hidden_states(&[Encoding::from_ids(vec![u32::MAX])]);
    assert!(matches!(unknown, Err(Error::EmbeddingOutOfRange { .. })));
    let (mut short, mut long) = (
        Encoding::from_ids(vec![7; 3]),
        Encoding::from_ids(vec![7; 3]),
    );
    short.type_ids.pop();
    long.type_ids.push(0);
    for wrong in [
        vec![short, long],
        vec![bare[0].clone(), Encoding::default()],
    ] {
        let error = model.last_hidden_states(&wrong).unwrap_err();
        assert!(
            matches!(&error, Error::Input { index: Some(_), .. }),
            "{error}"
        );
    }
}
