//! Tests of HTTP requests from API Gateway, function URLs and load balancers.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bertless::Model;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{Function, assert_same, event, expected, packed};

const KINDS: [&str; 5] = [
    "api-gateway-v1",
    "api-gateway-v2",
    "function-url",
    "load-balancer",
    "load-balancer-lists",
];

/// Returns the status of a response and the JSON of its body.
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
        assert_same(&answer, &says);
        assert_eq!(response["isBase64Encoded"], false);
        // Each sender reads its own form of response, and some accept no other.
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
        let description = if kind.starts_with("load-balancer") {
            "200 OK".into()
        } else {
            Value::Null
        };
        assert_eq!(response["statusDescription"], description, "{kind}");
    }
    let line = function.line(|line| line["source"] == "http");
    for (key, value) in [("method", "POST"), ("path", "/predict")] {
        assert_eq!(line[key], value, "{line}");
    }
}

#[tokio::test]
async fn invalid_requests_are_refused() {
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
        // A null body counts as an empty one.
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
async fn too_many_texts_are_refused() {
    let function = Function::start(&[]).await;
    let body = |count| json!({"texts": vec!["a"; count]}).to_string();
    for (count, status) in [(256, 200), (257, 413)] {
        let event = with_body(event("function-url"), &body(count));
        assert_eq!(parts(&function.invoke(&event).await).0, status);
    }
}

#[tokio::test]
async fn other_methods_are_refused() {
    let function = Function::start(&[]).await;
    for kind in KINDS {
        let mut event = event(kind);
        match event["requestContext"].get_mut("http") {
            Some(http) => http["method"] = "GET".into(),
            None => event["httpMethod"] = "GET".into(),
        }
        let response = function.invoke(&event).await;
        let (status, error) = parts(&response);
        assert_eq!((status, &error["error"]["status"]), (405, &json!(405)));
        assert_eq!(header(&response, "allow"), Some("POST"), "{kind}");
    }
}

/// Returns a header of a response of either form: single values or lists.
fn header<'a>(response: &'a Value, name: &str) -> Option<&'a str> {
    let single = response["headers"][name].as_str();
    single.or_else(|| response["multiValueHeaders"][name][0].as_str())
}

/// Returns a sample event with this method, path and header.
fn request(kind: &str, method: &str, path: &str, (name, value): (&str, &str)) -> Value {
    let mut event = event(kind);
    match event["requestContext"].get_mut("http") {
        Some(http) => {
            http["method"] = method.into();
            http["path"] = path.into();
        }
        None => {
            event["httpMethod"] = method.into();
            event["path"] = path.into();
        }
    }
    if event["headers"].is_object() {
        event["headers"][name] = value.into();
    }
    if event["multiValueHeaders"].is_object() {
        event["multiValueHeaders"][name] = json!([value]);
    }
    event
}

#[tokio::test]
async fn health_checks_are_answered() {
    let function = Function::start(&[]).await;
    let (curl, checker) = (
        ("user-agent", "curl/8"),
        ("User-Agent", "ELB-HealthChecker/2.0"),
    );
    for kind in KINDS {
        for path in ["/healthz", "/healthz/", "/Prod/healthz"] {
            let response = function.invoke(&request(kind, "GET", path, curl)).await;
            assert_eq!(
                parts(&response),
                (200, json!({"status": "ok"})),
                "{kind} {path}"
            );
            let response = function.invoke(&request(kind, "HEAD", path, curl)).await;
            assert_eq!(
                (&response["statusCode"], &response["body"]),
                (&200.into(), &"".into())
            );
        }
        // The health check of a load balancer may have any path. A GET of another path by any other client is refused.
        let (balancer, status) = if kind.starts_with("load-balancer") {
            (200, 405)
        } else {
            (405, 405)
        };
        for path in ["/", "/any/path"] {
            for (agent, status) in [(checker, balancer), (curl, status)] {
                let response = function.invoke(&request(kind, "GET", path, agent)).await;
                assert_eq!(response["statusCode"], status, "{kind} {path} {agent:?}");
            }
        }
        for (method, path, status) in [("PUT", "/healthz", 405), ("POST", "/healthz", 200)] {
            let response = function.invoke(&request(kind, method, path, curl)).await;
            assert_eq!(response["statusCode"], status, "{kind} {method}");
        }
    }
    let line = function.line(|line| line["method"] == "GET");
    assert_eq!(
        (&line["texts"], &line["level"]),
        (&json!(0), &json!("INFO"))
    );
}

#[tokio::test]
async fn compressed_bodies_are_decoded() {
    let function = Function::start(&[("BERTLESS_MAX_BODY", "1000")]).await;
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let question = br#"{"text": "A great film"}"#;
    let says = expected(&Model::load(packed()).unwrap(), "A great film");
    for kind in KINDS {
        for (coding, body, status, reason) in [
            ("gzip", gzip(question), 200, ""),
            ("br", question.to_vec(), 415, "\"br\""),
            ("gzip", question.to_vec(), 400, "not gzip"),
            ("", gzip(question), 400, "no Content-Encoding says so"),
            ("gzip", gzip(&[b' '; 1 << 20]), 413, "more than 1000 bytes"),
        ] {
            let mut event = request(kind, "POST", "/", ("Content-Encoding", coding));
            event["body"] = BASE64_STANDARD.encode(&body).into();
            event["isBase64Encoded"] = true.into();
            let response = function.invoke(&event).await;
            let (got, answer) = parts(&response);
            assert_eq!(got, status, "{kind} {coding} {answer}");
            match status {
                200 => assert_same(&answer, &says),
                _ => assert!(
                    answer["error"]["reason"].as_str().unwrap().contains(reason),
                    "{answer}"
                ),
            }
            let accepts = header(&response, "accept-encoding");
            assert_eq!(accepts.is_some(), status == 415, "{response}");
        }
    }
}

#[tokio::test]
async fn cors_headers_follow_the_setting() {
    let closed = Function::start(&[]).await;
    let open = Function::start(&[("BERTLESS_CORS_ORIGIN", "https://a.example")]).await;
    let any = Function::start(&[("BERTLESS_CORS_ORIGIN", "*")]).await;
    let allowed = "access-control-allow-origin";
    for kind in KINDS {
        let preflight = |origin: &str| {
            let mut event = request(kind, "OPTIONS", "/predict", ("Origin", origin));
            for headers in ["headers", "multiValueHeaders"] {
                if event[headers].is_object() {
                    event[headers]["access-control-request-method"] = "POST".into();
                    event[headers]["access-control-request-headers"] = "content-type".into();
                }
            }
            event
        };
        let response = open.invoke(&preflight("https://a.example")).await;
        assert_eq!(
            (&response["statusCode"], &response["body"]),
            (&204.into(), &"".into())
        );
        assert_eq!(header(&response, allowed), Some("https://a.example"));
        assert_eq!(
            header(&response, "access-control-allow-methods"),
            Some("POST")
        );
        assert_eq!(
            header(&response, "access-control-allow-headers"),
            Some("content-type")
        );
        assert_eq!(header(&response, "content-type"), None);
        let response = any.invoke(&preflight("https://b.example")).await;
        assert_eq!(
            (&response["statusCode"], header(&response, allowed)),
            (&204.into(), Some("*"))
        );
        for (function, origin) in [(&open, "https://b.example"), (&closed, "https://a.example")] {
            let response = function.invoke(&preflight(origin)).await;
            assert_eq!(
                (&response["statusCode"], header(&response, allowed)),
                (&403.into(), None)
            );
        }
        // Answers and errors have the headers.
        for body in [r#"{"text": "A film"}"#, "{"] {
            let event = request(kind, "POST", "/", ("Origin", "https://a.example"));
            let event = with_body(event, body);
            let response = open.invoke(&event).await;
            assert_eq!(
                header(&response, allowed),
                Some("https://a.example"),
                "{kind} {body}"
            );
            assert_eq!(header(&response, "vary"), Some("origin"));
            assert_eq!(header(&closed.invoke(&event).await, allowed), None);
        }
        // OPTIONS without the headers of a preflight is refused like any other method.
        let response = open
            .invoke(&request(kind, "OPTIONS", "/", ("a", "b")))
            .await;
        assert_eq!(response["statusCode"], 405);
    }
}

#[tokio::test]
async fn base64_bodies_are_decoded() {
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
