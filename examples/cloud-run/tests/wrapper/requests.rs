//! Tests of plain requests: `/predict`, `/healthz` and unknown paths.

use std::fs::File;
use std::io::Write;

use bertless::Model;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{Server, answer, assert_error, command, fixtures, packed};

/// Returns the model's own prediction as JSON.
fn expected(model: &Model, input: impl bertless::AsInput) -> Value {
    let prediction = model.predict(input).unwrap();
    serde_json::from_str(&serde_json::to_string(&prediction).unwrap()).unwrap()
}

#[tokio::test]
async fn answers_are_those_of_the_model() {
    let server = Server::start(&[]);
    let model = Model::load(packed()).unwrap();
    let text = expected(&model, "A great film");
    let pair = expected(&model, ("A film", "An actor"));
    for (asked, says) in [
        (json!({"text": "A great film"}), text.clone()),
        (
            json!({"text": "A film", "text_pair": "An actor"}),
            pair.clone(),
        ),
        (
            json!({"question": "A film", "context": "An actor"}),
            pair.clone(),
        ),
        (
            json!({"texts": ["A great film", ["A film", "An actor"], {"text": "A great film"}]}),
            json!({"predictions": [text, pair, text]}),
        ),
    ] {
        for path in ["/predict", "/"] {
            let got = answer(server.post(path).json(&asked)).await;
            assert_eq!(got, (200, says.clone()), "{path} {asked}");
        }
    }
}

#[tokio::test]
async fn invalid_requests_are_refused() {
    let limits = [
        ("BERTLESS_MAX_TEXTS", "3"),
        ("BERTLESS_MAX_TEXT", "100"),
        ("BERTLESS_MAX_BODY", "1000"),
    ];
    let server = Server::start(&limits);
    let long = "x".repeat(101);
    for (body, status, says) in [
        ("", 400, "not JSON"),
        ("{", 400, "not JSON"),
        ("nonsense", 400, "not JSON"),
        ("[]", 422, "expected an object"),
        ("{}", 422, "expected an object"),
        (r#"{"txt": "a"}"#, 422, r#""txt" is not understood"#),
        (r#"{"text": ""}"#, 422, "empty"),
        (r#"{"text": 3}"#, 422, "not a text"),
        (r#"{"texts": []}"#, 422, "empty"),
        (r#"{"texts": ["a", "b", "c", "d"]}"#, 413, "4 texts"),
        (
            &format!(r#"{{"text": "{long}"}}"#),
            413,
            "101 bytes, at most 100",
        ),
        (
            &format!(r#"{{"text": "{}"}}"#, long.repeat(10)),
            413,
            "more than 1000 bytes",
        ),
    ] {
        let got = answer(server.post("/predict").body(body.to_owned())).await;
        assert_error(got, status, says);
    }
    assert_error(
        answer(server.post("/predict").body(b"\"\xff\"".to_vec())).await,
        400,
        "not JSON",
    );
    assert_error(answer(server.post("/nowhere")).await, 404, "nothing");
    let get = Client::new().get(server.url("/predict")).send().await;
    assert_eq!(get.unwrap().headers()["allow"], "POST");
    assert_error(
        answer(Client::new().get(server.url("/predict"))).await,
        405,
        "method",
    );
    for path in ["/favicon.ico", "/robots.txt"] {
        assert_error(
            answer(Client::new().get(server.url(path))).await,
            404,
            "nothing",
        );
    }
    // The server still answers.
    let got = answer(server.post("/predict").json(&json!({"text": "a"}))).await;
    assert_eq!(got.0, 200);
    let line = server.line(|line| line["reason"] == "\"texts\" is empty");
    assert_eq!(
        (&line["status"], &line["severity"], &line["level"]),
        (&422.into(), &"WARNING".into(), &"WARN".into())
    );
}

#[tokio::test]
async fn one_text_of_many_fails_alone() {
    // This model refuses a text without a mask.
    let model = fixtures().join("models/bert-mask");
    let server = Server::start(&[("BERTLESS_MODEL", model.to_str().unwrap())]);
    let model = Model::load(model).unwrap();
    let masked = expected(&model, "A [MASK] film");
    let texts = json!({"texts": ["A [MASK] film", "A film", 7, "", "A [MASK] film"]});
    let (status, got) = answer(server.post("/predict").json(&texts)).await;
    assert_eq!(status, 200);
    let got = got["predictions"].as_array().unwrap();
    assert_eq!((got.len(), &got[0], &got[4]), (5, &masked, &masked));
    for (failure, says) in got[1..4]
        .iter()
        .zip(["no [MASK]", "expected a text", "empty"])
    {
        assert_eq!(failure["error"]["status"], 422);
        let reason = failure["error"]["reason"].as_str().unwrap();
        assert!(reason.contains(says), "{reason}");
    }
    let line = server.line(|line| line["texts"] == 5);
    assert_eq!(line["failed"], 3);
    let alone = server.post("/predict").json(&json!({"text": "A film"}));
    assert_error(answer(alone).await, 422, "no [MASK]");
}

#[tokio::test]
async fn each_request_has_one_log_line() {
    let server = Server::start(&[]);
    let long = "film ".repeat(100);
    let first = json!({"texts": ["A film", long]});
    let (_, got) = answer(server.post("/predict").json(&first)).await;
    let tokens = |at: usize| got["predictions"][at]["n_tokens"].as_u64().unwrap();
    let line = server.line(|line| line["message"] == "request");
    for (key, value) in [
        ("severity", json!("INFO")),
        ("method", json!("POST")),
        ("path", json!("/predict")),
        ("status", json!(200)),
        ("texts", json!(2)),
        ("failed", json!(0)),
        ("tokens", json!(tokens(0) + tokens(1))),
        ("truncated", json!(1)),
        ("cold", json!(true)),
    ] {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    let duration = line["duration_ms"].as_f64().unwrap();
    assert!(
        (0.0..10_000.0).contains(&duration) && duration > 0.0,
        "{line}"
    );
    let text = server.post("/predict").json(&json!({"text": "A film"}));
    assert_eq!(answer(text).await.0, 200);
    let second = server.line(|line| line["texts"] == 1);
    assert_eq!(
        (&second["cold"], &second["truncated"]),
        (&json!(false), &json!(0))
    );
}

#[tokio::test]
async fn bodies_of_ten_megabytes_are_refused_and_not_stored() {
    let server = Server::start(&[]);
    let before = server.peak();
    for _ in 0..3 {
        let body = server.post("/predict").body(vec![b' '; 10_000_000]);
        assert_error(answer(body).await, 413, "more than 1048576 bytes");
    }
    // The client receives the response even if no handler reads the body.
    for (method, path, status) in [
        (Method::POST, "/nowhere", 404),
        (Method::PUT, "/predict", 405),
        (Method::POST, "/healthz", 405),
    ] {
        let request = Client::new().request(method, server.url(path));
        assert_error(
            answer(request.body(vec![b' '; 10_000_000])).await,
            status,
            "path",
        );
    }
    let grown = server.peak() - before;
    assert!(grown < 6 << 20, "{grown} bytes more");
    let got = answer(server.post("/predict").json(&json!({"text": "a"}))).await;
    assert_eq!(got.0, 200);
}

#[tokio::test]
async fn health_checks_are_answered() {
    let server = Server::start(&[]);
    let got = answer(Client::new().get(server.url("/healthz"))).await;
    assert_eq!(got, (200, json!({"status": "ok", "in_flight": 0})));
    let head = Client::new().head(server.url("/healthz")).send().await;
    let head = head.unwrap();
    assert_eq!(head.status(), 200);
    assert!(head.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn compressed_bodies_are_decoded() {
    let server = Server::start(&[("BERTLESS_MAX_BODY", "1000")]);
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let question = br#"{"text": "A great film"}"#;
    let (_, says) = answer(server.post("/predict").body(question.to_vec())).await;
    let (first, second) = question.split_at(9);
    for path in ["/predict", "/"] {
        let post = |coding: &str, body: Vec<u8>| {
            server
                .post(path)
                .header("content-encoding", coding)
                .body(body)
        };
        assert_eq!(
            answer(post("gzip", gzip(question))).await,
            (200, says.clone())
        );
        let members = [gzip(first), gzip(second)].concat();
        assert_eq!(answer(post("GZip", members)).await, (200, says.clone()));
        assert_error(
            answer(post("gzip", question.to_vec())).await,
            400,
            "not gzip",
        );
        assert_error(
            answer(post("identity", gzip(question))).await,
            400,
            "no Content-Encoding",
        );
        let bomb = gzip(&[b' '; 1 << 20]);
        assert_error(
            answer(post("gzip", bomb)).await,
            413,
            "more than 1000 bytes",
        );
        for coding in ["br", "zstd", "gzip, br"] {
            let response = post(coding, question.to_vec()).send().await.unwrap();
            assert_eq!(response.status(), 415);
            assert_eq!(
                response.headers()["accept-encoding"],
                "gzip, deflate, identity"
            );
        }
    }
}

/// Tests a server whose model file is truncated while it runs: the path is in the log, and in no response.
#[tokio::test]
async fn the_reason_of_an_error_names_no_file() {
    let folder = std::env::temp_dir().join(format!("bertless-secret-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let model = folder.join("model.safetensors");
    std::fs::copy(packed(), &model).unwrap();
    let server = Server::start(&[("BERTLESS_MODEL", model.to_str().unwrap())]);
    File::options()
        .write(true)
        .open(&model)
        .unwrap()
        .set_len(0)
        .unwrap();
    for texts in [
        json!({"text": "A great film"}),
        json!({"texts": ["A great film"]}),
    ] {
        let got = answer(server.post("/predict").json(&texts)).await;
        assert!(!got.1.to_string().contains("bertless-secret"), "{got:?}");
        assert!(got.1.to_string().contains("its log says which"), "{got:?}");
    }
    let line = server.line(|line| line["status"] == 500);
    assert!(
        line["reason"].as_str().unwrap().contains("bertless-secret"),
        "{line}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn invalid_settings_are_errors() {
    for (name, value) in [
        ("PORT", "http"),
        ("BERTLESS_WORKERS", "100000"),
        ("BERTLESS_MAX_TEXTS", "0"),
        ("BERTLESS_READ_TIMEOUT", "0"),
        ("BERTLESS_READ_TIMEOUT", "3601"),
        ("BERTLESS_CORS_ORIGIN", "https://a.example/"),
        ("BERTLESS_QUEUE", "0"),
        ("BERTLESS_QUEUE", "1000000000000"),
        ("BERTLESS_MODEL", "no/such/file"),
        ("FUNCTION_TARGET", "translate"),
        ("FUNCTION_SIGNATURE_TYPE", "grpc"),
    ] {
        let output = command(&[(name, value)]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && error.contains(value),
            "{name}: {error}"
        );
    }
}
