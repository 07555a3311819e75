//! The task of a model whose configuration does not name it, found from the head's weights.

use bertless::{
    Embedder, Model, ModelOptions, PredictOptions, Task, WeightFormat, ZeroShot, ZeroShotOptions,
};

use super::{Fixture, fixtures, input};

/// The fixture's folder without `architectures`.
fn unnamed(fixture: &Fixture) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&fixture.dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let config = dir.path().join("config.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    assert!(
        json.as_object_mut()
            .unwrap()
            .remove("architectures")
            .is_some()
    );
    std::fs::write(config, json.to_string()).unwrap();
    dir
}

/// The class that opens a folder in the reference reads its own head from it; here the head says what the class is.
#[test]
fn without_architectures_the_head_says_what_the_model_is_for() {
    let mut tasks = Vec::new();
    for fixture in fixtures(&["base", "classify", "tokens", "question", "mask"]) {
        // A MobileBERT without a pooler may be either kind of classifier; an encoder that is given with a head is more than
        // an encoder.
        if ["mobilebert-no-pooler", "trap-headed-encoder"].contains(&fixture.name.as_str()) {
            continue;
        }
        let named = fixture.model();
        let dir = unnamed(&fixture);
        let model = Model::load(dir.path()).unwrap();
        let what = &fixture.name;
        assert_eq!(model.task(), named.task(), "{what}");
        assert_eq!(model.labels(), named.labels(), "{what}");
        let answer = named.predict(input(&fixture.inputs[0])).unwrap();
        let own = model.predict(input(&fixture.inputs[0])).unwrap();
        assert_eq!(own, answer, "{what}");
        if !tasks.contains(&model.task()) {
            tasks.push(model.task());
            let file = dir.path().join("packed.safetensors");
            Model::pack(dir.path(), WeightFormat::F32)
                .unwrap()
                .save(&file)
                .unwrap();
            let packed = Model::load(&file).unwrap();
            assert_eq!(packed.task(), named.task(), "{what}, packed");
            let own = packed.predict(input(&fixture.inputs[0])).unwrap();
            assert_eq!(own, answer, "{what}, packed");
        }
    }
    assert_eq!(tasks.len(), 5, "{tasks:?}");
}

/// Normalisation that the caller asks for comes after the truncation, as `normalize_embeddings` of the reference does; the
/// model's own came ahead of it.
#[test]
fn a_truncated_embedding_is_normalised_on_request_only() {
    let all = fixtures(&["sentence"]);
    let fixture = all
        .iter()
        .find(|fixture| fixture.name == "sentence-truncated")
        .unwrap();
    let text = fixture.inputs[0]["first"].as_str().unwrap();
    let embed = |options| {
        let model = fixture.model_with(options);
        assert_eq!(
            (model.task(), model.summary().embedding_dim),
            (Task::Embedding, Some(5))
        );
        Embedder::try_from(model).unwrap().embed(text).unwrap()
    };
    let length = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    let plain = embed(ModelOptions::new());
    assert!(length(&plain) < 0.95, "{}", length(&plain));
    let normal = embed(ModelOptions::new().normalize(true));
    assert!((length(&normal) - 1.0).abs() < 1e-6);
    let raw = embed(ModelOptions::new().normalize(false));
    let ratio = raw[0] / plain[0];
    assert!(ratio > 1.1, "{ratio}");
    for (at, x) in plain.iter().enumerate() {
        assert!((x / length(&plain) - normal[at]).abs() < 1e-6);
        assert!((x * ratio - raw[at]).abs() < 1e-5 * ratio);
    }
}

#[test]
fn a_door_opens_for_labels_without_names_and_asks_which_one_it_is() {
    let all = fixtures(&["nli"]);
    let fixture = all
        .iter()
        .find(|fixture| fixture.name == "labels-nli-unnamed")
        .unwrap();
    let door = ZeroShot::try_from(fixture.model()).unwrap();
    let error = door.classify("x", ["a", "b"]).unwrap_err().to_string();
    assert!(
        error.contains("LABEL_0, LABEL_1, LABEL_2") && error.contains("entailment_label"),
        "{error}"
    );
    let scores = |name: &str| {
        let options = ZeroShotOptions {
            entailment_label: Some(name.to_owned()),
            ..ZeroShotOptions::default()
        };
        let options = PredictOptions::new().zero_shot(options);
        door.classify_with("x", ["a", "b"], &options)
            .unwrap()
            .scores
    };
    assert_eq!(scores("LABEL_2"), scores("2"));
    assert_ne!(scores("LABEL_2"), scores("LABEL_1"));
    let sentiment = fixtures(&["classify"]).remove(0);
    assert!(
        ZeroShot::try_from(sentiment.model()).is_err(),
        "{}",
        sentiment.name
    );
}

/// Values of transformers 5.23 and sentence-transformers 6.2.
#[test]
fn a_tokenizers_limit_by_either_name() {
    let all = fixtures(&["classify"]);
    let fixture = all
        .iter()
        .find(|fixture| fixture.name == "bert-classify")
        .unwrap();
    let dir = unnamed(fixture);
    for (json, limit) in [
        (r#"{"model_max_length": 12, "max_len": 11}"#, 12),
        (r#"{"max_len": 11}"#, 11),
        (r#"{"max_len": 999}"#, 40),
        ("{}", 40),
    ] {
        std::fs::write(dir.path().join("tokenizer_config.json"), json).unwrap();
        assert_eq!(
            Model::load(dir.path()).unwrap().max_length(),
            limit,
            "{json}"
        );
    }
}
