//! Options of single calls, shared models, and models that are opened from memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bertless::{
    AsInput, CancelToken, Classifier, Combine, Embedder, Error, ErrorKind, Input, LongTexts, Model,
    ModelFiles, ModelOptions, Pooling, PredictOptions, Reranker, TokenClassifier, Truncation,
};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models")).join(name)
}

fn model(name: &str) -> Model {
    Model::load_with(fixture(name), ModelOptions::new().threads(1)).unwrap()
}

/// A text of more tokens than the fixtures read at once.
fn long_text() -> String {
    "A great film, with wonderful acting! ".repeat(40)
}

#[test]
fn options_of_a_call_are_those_of_loading() {
    let plain = model("bert-classify");
    let options = PredictOptions::new().top_k(1).max_length(6);
    let loaded = ModelOptions::new().threads(1).calls(options.clone());
    let loaded = Model::load_with(fixture("bert-classify"), loaded).unwrap();
    let text = long_text();
    let answer = plain.predict_with(&text, &options).unwrap();
    assert_eq!(answer, loaded.predict(&text).unwrap());
    let answer = answer.into_classification().unwrap();
    assert_eq!((answer.scores.len(), answer.n_tokens), (1, 6));
    assert!(answer.truncated);
    assert_eq!(plain.labels()[answer.id], answer.label);
    assert_ne!(plain.predict(&text).unwrap().n_tokens(), 6);
}

#[test]
fn wrong_options_of_a_call_are_errors() {
    let model = model("bert-classify");
    for options in [
        PredictOptions::new().top_k(0),
        PredictOptions::new().max_length(1),
        PredictOptions::new().max_length(1 << 20),
    ] {
        for error in [
            model.predict_with("x", &options).unwrap_err(),
            model.predict_batch_with(["x"], &options).unwrap_err(),
            model
                .predict_each_with(["x"], &options)
                .remove(0)
                .unwrap_err(),
            model.embed_with("x", &options).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Option, "{error}");
        }
    }
    let options = PredictOptions::new().prompt("query");
    let error = model.embed_with("x", &options).unwrap_err().to_string();
    assert!(error.contains("no prompts"), "{error}");
}

#[test]
fn every_owner_of_a_text_is_an_input() {
    let model = model("bert-classify");
    let expected = model.predict("x y").unwrap();
    let owned = "x y".to_owned();
    let cow = std::borrow::Cow::Borrowed("x y");
    let boxed: Box<str> = "x y".into();
    let shared: Arc<str> = "x y".into();
    for input in [
        &owned as &dyn AsInput,
        &cow,
        &boxed,
        &shared,
        &Input::Text("x y"),
    ] {
        assert_eq!(model.predict(input).unwrap(), expected);
    }
    let pair = model.predict(("x", "y")).unwrap();
    assert_eq!(model.predict((&owned[..1], "y".to_owned())).unwrap(), pair);
    let lines = "x\ny".lines().map(|line| (line, &shared));
    assert_eq!(model.predict_batch(lines).unwrap().len(), 2);
}

#[test]
fn each_input_has_its_own_error() {
    let model = model("bert-mask");
    let texts = ["a [MASK] film", "nothing", "[MASK]", "[MASK] [MASK]", "x"];
    let answers = model.predict_each(texts);
    let good: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, true, true, false]);
    for (text, answer) in texts.iter().zip(answers) {
        match (answer, model.predict(*text)) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert_eq!(found.to_string(), expected.to_string()),
            (found, expected) => panic!("{found:?} {expected:?}"),
        }
    }
    let error = model.predict_batch(texts).unwrap_err();
    assert!(
        matches!(error, Error::Input { index: Some(1), .. }),
        "{error}"
    );
    assert!(error.to_string().starts_with("input 1: "), "{error}");
    // A pair is refused by itself, too.
    let inputs = [Input::Pair("[MASK]", "x"), Input::Text("[MASK]")];
    let answers = model.predict_each(inputs);
    assert!(answers[0].is_err() && answers[1].is_ok());
}

#[test]
fn a_call_that_is_cancelled_or_late_ends_with_its_own_error() {
    for name in ["bert-classify", "mobilebert-classify", "sentence-cls"] {
        let model = model(name);
        let token = CancelToken::new();
        let cancel = PredictOptions::new().cancel(token.clone());
        assert!(model.predict_with("x", &cancel).is_ok());
        token.cancel();
        let late = PredictOptions::new().deadline(Instant::now());
        for (options, kind) in [
            (cancel, ErrorKind::Cancelled),
            (late, ErrorKind::DeadlineExceeded),
        ] {
            let error = model.predict_with("x", &options).unwrap_err();
            assert_eq!(error.kind(), kind, "{name}");
            let answers = model.predict_each_with(["x", "y"], &options);
            assert_eq!(answers.len(), 2);
            for answer in answers {
                assert_eq!(answer.unwrap_err().kind(), kind, "{name}");
            }
            assert_eq!(model.embed_with("x", &options).unwrap_err().kind(), kind);
        }
        let enough = PredictOptions::new().time_limit(Duration::from_secs(3600));
        assert_eq!(
            model.predict_with("x", &enough).unwrap(),
            model.predict("x").unwrap()
        );
    }
}

/// Tests that a pass that another thread cancels ends with an error or with the right answer, and that the model goes on.
#[test]
fn a_pass_that_is_cancelled_in_the_middle_leaves_the_model_usable() {
    for threads in [1, 2] {
        let options = ModelOptions::new().threads(threads);
        let model = Model::load_with(fixture("bert-classify"), options).unwrap();
        let texts: Vec<String> = (0..64).map(|_| long_text()).collect();
        let expected = model.predict_batch(&texts).unwrap();
        for delay in [0, 100, 1000, 5000] {
            let token = CancelToken::new();
            let options = PredictOptions::new().cancel(token.clone());
            let answers = std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_micros(delay));
                    token.cancel();
                });
                model.predict_each_with(&texts, &options)
            });
            for (found, expected) in answers.into_iter().zip(&expected) {
                match found {
                    Ok(found) => assert_eq!(found, *expected),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled),
                }
            }
        }
        assert_eq!(model.predict_batch(&texts).unwrap(), expected);
    }
}

#[test]
fn windows_of_a_classifier_are_combined() {
    let model = model("bert-classify");
    let text = long_text();
    for combine in [Combine::Mean, Combine::Max] {
        let stride = 3;
        let long_texts = LongTexts::Windows {
            stride: Some(stride),
            combine,
        };
        let options = PredictOptions::new().long_texts(long_texts);
        // What the model says of each window by itself.
        let truncation = Truncation {
            stride,
            ..Truncation::to(model.max_length())
        };
        let windows = model
            .tokenizer()
            .encode_windows(&text, &truncation)
            .unwrap();
        assert!(windows.len() > 3);
        let logits = model.logits_of_encodings(&windows).unwrap();
        let combined: Vec<f64> = logits
            .columns()
            .into_iter()
            .map(|logits| {
                let all = logits.iter().map(|&logit| f64::from(logit));
                match combine {
                    Combine::Max => all.fold(f64::NEG_INFINITY, f64::max),
                    _ => all.sum::<f64>() / windows.len() as f64,
                }
            })
            .collect();
        let total: f64 = combined.iter().map(|logit| logit.exp()).sum();
        let answer = model.predict_with(&text, &options).unwrap();
        assert!(!answer.truncated());
        assert_eq!(
            answer.n_tokens(),
            windows.iter().map(|window| window.len()).sum::<usize>()
        );
        for score in &answer.into_classification().unwrap().scores {
            let expected = combined[score.id].exp() / total;
            // The softmax of few logits in f32.
            assert!(
                (f64::from(score.score) - expected).abs() < 1e-6,
                "{score:?} {expected}"
            );
        }
        // In company, and a short text: no change.
        let together = model
            .predict_batch_with([&text, "x", &text], &options)
            .unwrap();
        assert_eq!(together[2], model.predict_with(&text, &options).unwrap());
        assert_eq!(together[1], model.predict("x").unwrap());
    }
}

#[test]
fn windows_of_embeddings_have_length_one_where_the_model_has() {
    let model = model("sentence-inside");
    let text = long_text();
    let options = PredictOptions::new().windows();
    let embedding = model.embed_with(&text, &options).unwrap();
    assert!(!embedding.truncated);
    let whole = model.embed(&text).unwrap();
    assert!(whole.truncated && whole.n_tokens < embedding.n_tokens);
    let lengths = [&whole, &embedding].map(|vector| vector.iter().map(|x| x * x).sum::<f32>());
    if (lengths[0] - 1.0).abs() < 1e-5 {
        assert!((lengths[1] - 1.0).abs() < 1e-5, "{lengths:?}");
    }
    assert_ne!(whole.embedding, embedding.embedding);
}

#[test]
fn entities_of_windows_lie_in_the_whole_text() {
    let tagger = TokenClassifier::new(model("bert-tokens")).unwrap();
    let text = long_text();
    let cut = tagger.entities(&text).unwrap();
    let options = PredictOptions::new().windows();
    let whole = tagger.entities_with(&text, &options).unwrap();
    assert!(cut.truncated && !whole.truncated);
    let last = |entities: &bertless::Entities| entities.entities.last().unwrap().bytes.end;
    assert!(last(&whole) > last(&cut));
    for entity in &whole.entities {
        assert_eq!(entity.text, text[entity.bytes.clone()]);
    }
    assert!(whole.entities.is_sorted_by(|a, b| a.end <= b.start));
    let single = options.aggregation(bertless::Aggregation::None);
    let error = tagger.entities_with(&text, &single).unwrap_err();
    assert!(error.to_string().contains("long_texts"), "{error}");
}

/// Tests that a prefix is read before each text, and before each window of a long one.
#[test]
fn a_prefix_is_part_of_each_text() {
    let plain = model("bert-base");
    let options = PredictOptions::new().prefix("query: ");
    assert_eq!(
        plain.embed_with("great film", &options).unwrap(),
        plain.embed("query: great film").unwrap()
    );
    let text = long_text();
    let windows = options.windows();
    let embedding = plain.embed_with(&text, &windows).unwrap();
    assert!(!embedding.truncated);
    let limit = plain.max_length();
    assert!(embedding.n_tokens > limit && plain.embed(&text).unwrap().n_tokens == limit);
}

#[test]
fn wrappers_share_a_model() {
    let shared = Arc::new(model("sentence-inside"));
    let embedder = Embedder::new(Arc::clone(&shared)).unwrap();
    let reranker = Reranker::new(&*shared).unwrap();
    let ranked = reranker.rerank("x", ["x", "y", "x"]).unwrap();
    assert_eq!(ranked.len(), 3);
    assert_eq!(embedder.dimension(), embedder.embed("x").unwrap().len());
    let top = PredictOptions::new().top_k(1);
    let best = reranker.rerank_with("x", ["x", "y", "x"], &top).unwrap();
    assert_eq!(best, ranked[..1]);
    let error = Classifier::new(Arc::clone(&shared)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Option);
    let back: Arc<Model> = embedder.into_inner();
    assert!(Arc::ptr_eq(&back, &shared));
}

#[test]
fn packed_bytes_are_opened_wherever_they_come_from() {
    let path = std::path::Path::new("fixtures/packed/bert-classify.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let expected = Model::load(path).unwrap().predict("x").unwrap();
    let mut models = vec![
        Model::from_bytes(bytes.clone()).unwrap(),
        Model::from_reader(&bytes[..], bytes.len()).unwrap(),
        Model::from_files(ModelFiles::new().with("any-name", bytes.clone())).unwrap(),
        Classifier::from_bytes(bytes.clone()).unwrap().into_inner(),
    ];
    // Shifted by one byte, so that nothing is aligned.
    let shifted: Vec<u8> = std::iter::once(0).chain(bytes.iter().copied()).collect();
    let leaked: &'static [u8] = Vec::leak(shifted);
    models.push(Model::from_bytes(&leaked[1..]).unwrap());
    for model in models {
        assert_eq!(model.predict("x").unwrap(), expected);
    }
    for (len, word) in [(bytes.len() + 1, "fewer"), (bytes.len() - 1, "more")] {
        let error = Model::from_reader(&bytes[..], len).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains(word), "{error}");
    }
    let error = Model::from_reader(&bytes[..], usize::MAX / 2).unwrap_err();
    assert!(error.to_string().contains("no memory"), "{error}");
}

#[test]
fn what_is_missing_is_said_with_what_was_given() {
    let files: ModelFiles = [("vocab.txt", b"[PAD]\n".to_vec())].into_iter().collect();
    let error = Model::from_files(files).unwrap_err().to_string();
    assert_eq!(
        error,
        "the model in memory has no config.json (given files: vocab.txt)"
    );
    let error = Model::from_files(ModelFiles::new())
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("(no file was given)"), "{error}");
}

#[test]
fn an_embedding_model_without_its_modules_is_refused() {
    let folder = fixture("sentence-mean");
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() && entry.file_name() != "modules.json" {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    std::fs::write(copy.path().join("sentence_bert_config.json"), "{}").unwrap();
    let message = Model::load(copy.path()).unwrap_err().to_string();
    assert!(message.contains("has no modules.json"), "{message}");
    let chosen = ModelOptions::new().pooling(Pooling::Mean);
    assert!(Model::load_with(copy.path(), chosen).is_ok());
}

#[test]
fn errors_say_everything_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let cases = [
        (at("model.onnx", b"x"), "ONNX is not read"),
        (at("model.gguf", b"x"), "GGUF is not read"),
        (at("pytorch_model.bin", b"x"), "python3 -c"),
        (
            fixture("bert-classify").join("model.safetensors"),
            "give their folder",
        ),
        (
            "sentence-transformers/all-MiniLM-L6-v2".into(),
            "hf download",
        ),
        (folder.path().join("none"), "no such file or folder"),
    ];
    for (path, words) in cases {
        let error = Model::load(&path).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(words), "{message}");
        assert!(message.contains(&*path.to_string_lossy()), "{message}");
        assert!(!message.contains('\n'), "{message}");
        assert_eq!(format!("{error:?}"), message);
        assert!(std::error::Error::source(&error).is_none());
    }
    let broken = tempfile::tempdir().unwrap();
    std::fs::write(broken.path().join("config.json"), "{").unwrap();
    let message = Model::load(broken.path()).unwrap_err().to_string();
    let file = broken.path().join("config.json").display().to_string();
    assert!(message.starts_with(&file), "{message}");
    assert!(message.contains("line 1"), "{message}");
}

#[test]
fn an_answer_is_read_again_from_its_json() {
    for name in ["bert-classify", "bert-multilabel", "sentence-cls"] {
        let prediction = model(name).predict("A great film.").unwrap();
        let json = serde_json::to_string(&prediction).unwrap();
        let again: bertless::Prediction = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), json);
    }
}

#[test]
fn an_embedding_by_another_pooling_has_the_same_counts() {
    let options = ModelOptions::new().pooling(Pooling::Cls).threads(1);
    let model = Model::load_with(fixture("bert-base"), options).unwrap();
    let embeddings = model.embed_batch(["x", "x y"]).unwrap();
    assert_eq!(embeddings.n_tokens(1), embeddings.n_tokens(0) + 1);
    assert_eq!(embeddings.total_tokens(), 7);
}
