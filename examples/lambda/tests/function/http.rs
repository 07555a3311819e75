//! API Gateway, function URLs and load balancers.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bertless::Model;
use serde_json::{Value, json};

use super::{Function, event, expected, packed, same};

const KINDS: [&str; 5] = [
    "api-gateway-v1",
    "api-gateway-v2",
    "function-url",
    "load-balancer",
    "load-balancer-lists",
];

/// Status and JSON of the body.
fn parts(response: &Value) -> (u64, Value) {
    let body = response["body"].as_str().unwrap();
    (
        response["statusCode"].as_u64().unwrap(),
        serde_json::from_str(body).unwrap(),
    )
}

fn with_body(mut event: Value, body: &str) -> Value {
    event["body"] = body.into();
    event["isBase64Encoded"] = false.into();
    event
}

#[tokio::test]
async fn every_kind_of_request_is_answered() {
    let function = Function::start(&[]).await;
    let says = expected(&Model::load(packed()).unwrap(), "A great film");
    for kind in KINDS {
        let response = function.invoke(&event(kind)).await;
        let (status, answer) = parts(&response);
        assert_eq!(status, 200, "{kind}");
        same(&answer, &says);
        assert_eq!(response["isBase64Encoded"], false);
        // Each sender reads its own form, and some take no other.
        let (headers, lists) = (&response["headers"], &response["multiValueHeaders"]);
        let json = "application/json";
        match kind {
            "load-balancer-lists" => {
                assert_eq!(
                    (headers, &lists["content-type"]),
                    (&Value::Null, &json!([json]))
                );
            }
            _ => assert_eq!(
                (&headers["content-type"], lists),
                (&json.into(), &Value::Null)
            ),
        }
        let description = match kind.starts_with("load-balancer") {
            true => "200 OK".into(),
            false => Value::Null,
        };
        assert_eq!(response["statusDescription"], description, "{kind}");
    }
    let line = function.line(|line| line["source"] == "http");
    for (key, value) in [("method", "POST"), ("path", "/predict")] {
        assert_eq!(line[key], value, "{line}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let function = Function::start(&[("BERTLESS_MAX_BODY", "1000")]).await;
    let many = json!({"texts": vec!["a"; 257]}).to_string();
    let large = json!({"text": "a".repeat(1000)}).to_string();
    for kind in KINDS {
        for (body, status, says) in [
            ("", 400, "not JSON"),
            ("{", 400, "not JSON"),
            (r#"{"text": ""}"#, 422, "empty"),
            (many.as_str(), 413, "more than 1000 bytes"),
            (large.as_str(), 413, "more than 1000 bytes"),
        ] {
            let response = function.invoke(&with_body(event(kind), body)).await;
            let (got, error) = parts(&response);
            assert_eq!((got, &error["error"]["status"]), (status, &json!(status)));
            let reason = error["error"]["reason"].as_str().unwrap();
            assert!(
                reason.contains(says),
                "{kind}: {says:?} is not in {reason:?}"
            );
        }
        // Without a body, or a null in its place.
        let response = function.invoke(&with_body(event(kind), "")).await;
        let mut none = event(kind);
        none["body"] = Value::Null;
        assert_eq!(function.invoke(&none).await, response);
    }
    let line = function.line(|line| line["status"] == 413);
    let reason = line["reason"].as_str().unwrap();
    assert_eq!(
        (line["level"].as_str(), reason),
        (Some("WARN"), "the body has more than 1000 bytes")
    );
}

#[tokio::test]
async fn too_many_texts_are_too_large() {
    let function = Function::start(&[]).await;
    let body = |count| json!({"texts": vec!["a"; count]}).to_string();
    for (count, status) in [(256, 200), (257, 413)] {
        let event = with_body(event("function-url"), &body(count));
        assert_eq!(parts(&function.invoke(&event).await).0, status);
    }
}

#[tokio::test]
async fn only_posts_ask() {
    let function = Function::start(&[]).await;
    for kind in KINDS {
        let mut event = event(kind);
        match event["requestContext"].get_mut("http") {
            Some(http) => http["method"] = "GET".into(),
            None => event["httpMethod"] = "GET".into(),
        }
        let (status, error) = parts(&function.invoke(&event).await);
        assert_eq!((status, &error["error"]["status"]), (405, &json!(405)));
    }
}

#[tokio::test]
async fn bodies_may_be_base64() {
    let function = Function::start(&[]).await;
    let encoded = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    for (body, status, says) in [
        (encoded(br#"{"text": "A film"}"#), 200, "label"),
        (encoded(b"{"), 400, "not JSON"),
        (encoded(b"\"\xff\""), 400, "not JSON"),
        ("{}".to_owned(), 400, "not base64"),
    ] {
        let mut event = with_body(event("api-gateway-v2"), &body);
        event["isBase64Encoded"] = true.into();
        let (got, answer) = parts(&function.invoke(&event).await);
        assert_eq!(got, status);
        assert!(answer.to_string().contains(says), "{answer}");
    }
}
