//! Embeddings and scores of cross-encoders, compared with sentence-transformers.

use bertless::{Embedder, PredictOptions, Prediction, Reranker};

use super::{assert_close, assert_score, fixtures, input};

#[test]
fn embeddings() {
    for fixture in fixtures(&["sentence"]) {
        let embedder = Embedder::try_from(fixture.model()).unwrap();
        let texts: Vec<&str> = fixture
            .inputs
            .iter()
            .map(|row| row["first"].as_str().unwrap())
            .collect();
        let together = embedder.embed_batch(&texts).unwrap();
        for (index, text) in texts.iter().enumerate() {
            let expected = fixture.floats(&format!("{index}.embedding")).unwrap();
            let what = format!("{}: {text}", fixture.name);
            assert_close(together[index].iter().copied(), &expected, &what);
            assert_eq!(
                embedder.embed(text).unwrap().embedding,
                together[index].to_vec(),
                "{what}"
            );
            let Prediction::Embedding(predicted) = embedder.model().predict(*text).unwrap() else {
                panic!("{what}");
            };
            assert_eq!(predicted, embedder.embed(text).unwrap(), "{what}");
        }
        if fixture.floats("0.document").is_some() {
            let options = PredictOptions::new().prompt("document");
            let documents = embedder.embed_batch_with(&texts, &options).unwrap();
            assert_eq!(embedder.embed_documents(&texts).unwrap(), documents);
            for index in 0..texts.len() {
                let expected = fixture.floats(&format!("{index}.document")).unwrap();
                let what = format!("{}, document {index}", fixture.name);
                assert_close(documents[index].iter().copied(), &expected, &what);
            }
        }
        let similarity = embedder.similarity(texts[0], texts[1]).unwrap();
        assert_score(
            similarity,
            &fixture.inputs[0]["similarity_to_second"],
            &fixture.name,
        );
    }
}

/// Without sentence-transformers' files an embedding is the mean of the last hidden states.
#[test]
fn embeddings_of_plain_encoders() {
    for fixture in fixtures(&["base"]) {
        let model = fixture.model();
        for (index, row) in fixture.inputs.iter().enumerate() {
            let text = row["first"].as_str().unwrap();
            let expected = fixture.floats(&format!("{index}.embedding")).unwrap();
            let what = format!("{}: {text}", fixture.name);
            assert_close(model.embed(text).unwrap().embedding, &expected, &what);
        }
    }
}

#[test]
fn cross_encoders_score_and_rank() {
    for fixture in fixtures(&["pairs"]) {
        let model = fixture.model();
        for row in &fixture.inputs {
            let score = model.predict(input(row)).unwrap().score().unwrap();
            assert_score(score, &row["value"], &fixture.name);
        }
        let ranked = &fixture.inputs[0]["ranked"];
        let passages: Vec<&str> = ranked["passages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p.as_str().unwrap())
            .collect();
        let query = ranked["query"].as_str().unwrap();
        let got = Reranker::try_from(model)
            .unwrap()
            .rerank(query, &passages)
            .unwrap();
        for (place, got) in got.iter().enumerate() {
            assert_eq!(
                Some(got.index as u64),
                ranked["order"][place].as_u64(),
                "{}",
                fixture.name
            );
            assert_score(got.score, &ranked["scores"][place], &fixture.name);
        }
    }
}
