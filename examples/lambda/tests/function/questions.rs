//! Tests of direct invocations.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bertless::Model;
use serde_json::{Value, json};

use super::{Function, assert_error, assert_same, event, expected, fixtures, packed};

#[tokio::test]
async fn answers_are_those_of_the_model() {
    let function = Function::start(&[]).await;
    let model = Model::load(packed()).unwrap();
    let text = expected(&model, "A great film");
    let pair = expected(&model, ("A film", "An actor"));
    for (event, says) in [
        (event("text"), text.clone()),
        (event("pair"), pair.clone()),
        (
            json!({"question": "A film", "context": "An actor"}),
            pair.clone(),
        ),
        (event("texts"), json!({"predictions": [text, pair, pair]})),
    ] {
        assert_same(&function.invoke(&event).await, &says);
    }
}

#[tokio::test]
async fn invalid_requests_are_refused() {
    let limits = [
        ("BERTLESS_MAX_TEXTS", "3"),
        ("BERTLESS_MAX_TEXT", "100"),
        ("BERTLESS_MAX_BODY", "1000"),
    ];
    let function = Function::start(&limits).await;
    let long = "x".repeat(101);
    for (payload, status, says) in [
        ("[]", 422, "expected an object"),
        ("\"a\"", 422, "expected an object"),
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
        (
            r#"{"Records": [{"EventSource": "aws:sns", "Sns": {}}]}"#,
            422,
            "\"aws:sns\" are not supported",
        ),
    ] {
        assert_error(&function.send(payload).await, status, says);
    }
    // The function still answers.
    function.invoke(&event("text")).await;
    let line = function.line(|line| line["reason"] == "\"texts\" is empty");
    assert_eq!(
        (&line["status"], &line["level"]),
        (&422.into(), &"WARN".into())
    );
}

/// Tests events that are not JSON, which AWS itself never delivers.
#[tokio::test]
async fn an_event_that_is_not_json_has_status_400() {
    let function = Function::start(&[]).await;
    for payload in ["{", "nonsense", "{\"text\": \"a\"", "\u{feff}"] {
        assert_error(&function.send(payload).await, 400, "is not JSON");
    }
    assert_error(&function.send(b"\"\xff\"".to_vec()).await, 400, "not UTF-8");
    function.invoke(&event("text")).await;
}

/// Tests half of a surrogate pair, which JavaScript sends for an emoji that is cut in two.
#[tokio::test]
async fn a_lone_surrogate_does_not_fail_a_request() {
    let function = Function::start(&[]).await;
    let model = Model::load(packed()).unwrap();
    let says = json!({"predictions": [expected(&model, "good"), expected(&model, "cut \u{fffd}")]});
    let question = r#"{"texts": ["good", "cut \ud83d"]}"#;
    let direct = function.send(question).await;
    assert_same(&serde_json::from_slice(&direct.body).unwrap(), &says);
    let encoded = json!(BASE64_STANDARD.encode(question)).to_string();
    let plain = json!(question).to_string();
    for (body, base64) in [(plain, false), (encoded, true)] {
        let event = format!(
            r#"{{"requestContext": {{"http": {{"method": "POST", "path": "/"}}}},
                "body": {body}, "isBase64Encoded": {base64}, "rawQueryString": "half=\ud83d"}}"#
        );
        let reply = function.send(event).await;
        let response: Value = serde_json::from_slice(&reply.body).unwrap();
        let body = response["body"].as_str().unwrap();
        assert_same(&serde_json::from_str(body).unwrap(), &says);
    }
}

/// Tests a function whose model file is truncated while it runs: the path is in the log, and in no reply.
#[tokio::test]
async fn the_reason_of_an_error_names_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("secret-place.safetensors");
    std::fs::copy(packed(), &model).unwrap();
    let function = Function::start(&[("BERTLESS_MODEL", model.to_str().unwrap())]).await;
    std::fs::File::options()
        .write(true)
        .open(&model)
        .unwrap()
        .set_len(0)
        .unwrap();
    let reply = function.send(r#"{"text": "A great film"}"#).await;
    assert_error(&reply, 500, "its log says which");
    let line = function.line(|line| line["status"] == 500);
    assert_eq!(line["level"], "ERROR");
    assert!(
        line["reason"].as_str().unwrap().contains("secret-place"),
        "{line}"
    );
}

#[tokio::test]
async fn one_text_of_many_fails_alone() {
    // This model refuses a text without a mask.
    let model = fixtures().join("models/bert-mask");
    let function = Function::start(&[("BERTLESS_MODEL", model.to_str().unwrap())]).await;
    let model = Model::load(model).unwrap();
    let masked = expected(&model, "A [MASK] film");
    let texts = json!({"texts": ["A [MASK] film", "A film", 7, "", "A [MASK] film"]});
    let got = function.invoke(&texts).await;
    let got = got["predictions"].as_array().unwrap();
    assert_eq!(got.len(), 5);
    assert_same(&got[0], &masked);
    assert_same(&got[4], &masked);
    for (failure, says) in got[1..4]
        .iter()
        .zip(["no [MASK]", "expected a text", "empty"])
    {
        assert_eq!(failure["error"]["status"], 422);
        let reason = failure["error"]["reason"].as_str().unwrap();
        assert!(reason.contains(says), "{reason}");
    }
    let line = function.line(|line| line["texts"] == 5);
    assert_eq!(line["failed"], 3);
    assert_error(
        &function.send(r#"{"text": "A film"}"#).await,
        422,
        "no [MASK]",
    );
}

#[tokio::test]
async fn each_request_has_one_log_line() {
    let function = Function::start(&[]).await;
    let long = "film ".repeat(100);
    let first = json!({"texts": ["A film", long]});
    let reply = function.send(first.to_string()).await;
    let got: Value = serde_json::from_slice(&reply.body).unwrap();
    let tokens = |at: usize| got["predictions"][at]["n_tokens"].as_u64().unwrap();
    let line = function.line(|line| line["message"] == "request");
    for (key, value) in [
        ("level", json!("INFO")),
        ("request_id", json!(reply.request_id)),
        ("source", json!("direct")),
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
    let took = reply.began.elapsed().as_secs_f64() * 1000.0;
    assert!(duration > 0.0 && duration < took, "{took} ms: {line}");
    function.invoke(&event("text")).await;
    let second = function.line(|line| line["texts"] == 1);
    assert_eq!(
        (&second["cold"], &second["truncated"]),
        (&json!(false), &json!(0))
    );
}

#[tokio::test]
async fn ten_megabytes_are_refused_and_do_not_add_up() {
    let function = Function::start(&[]).await;
    let large = |text: &str| format!(r#"{{"text": "{text}{}"}}"#, "x".repeat(10_000_000));
    let over_http = json!({
        "requestContext": {"http": {"method": "POST", "path": "/"}},
        "body": large(""),
    });
    for _ in 0..5 {
        assert_error(
            &function.send(large("")).await,
            413,
            "more than 1048576 bytes",
        );
        let response = function.invoke(&over_http).await;
        assert_eq!(response["statusCode"], 413);
    }
    function.invoke(&event("text")).await;
    // AWS sends no events as large as these. Even so they leave memory free in the smallest function, of 128 MB.
    let peak = function.status("VmHWM:");
    assert!(peak < 100 << 10, "{peak} KiB");
}
