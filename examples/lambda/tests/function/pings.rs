//! Tests of pings, and of client contexts.

use axum::http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Function, PATIENCE, event};

#[tokio::test]
async fn pings_are_answered_without_a_prediction() {
    let function = Function::start(&[]).await;
    let scheduled = json!({
        "version": "0",
        "id": "89d1a02d-5ec7-412e-82f5-13505f849b41",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-11-30T08:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/warm"],
        "detail": {},
    });
    let pings = [
        json!(null),
        json!({}),
        json!({"source": "serverless-plugin-warmup"}),
        json!({"warmer": true, "concurrency": 1}),
        scheduled,
    ];
    for ping in &pings {
        assert_eq!(
            function.invoke(ping).await,
            json!({"status": "ok"}),
            "{ping}"
        );
    }
    // `aws lambda invoke` without a payload.
    let reply = function.send("").await;
    assert!(!reply.failed, "{reply:?}");
    let line = function.line(|line| line["source"] == "ping");
    for (key, value) in [
        ("status", json!(200)),
        ("level", json!("INFO")),
        ("texts", json!(0)),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
}

/// Tests that an event with the keys of a ping and a request is an invalid request.
#[tokio::test]
async fn events_with_a_request_are_not_pings() {
    let function = Function::start(&[]).await;
    let answer = function.invoke(&event("text")).await;
    assert!(answer["label"].is_string());
    for question in [
        json!({"warmer": true, "text": "A film"}),
        json!({"source": "serverless-plugin-warmup", "texts": ["A film"]}),
    ] {
        let reply = function.send(question.to_string()).await;
        super::assert_error(&reply, 422, "is not understood");
    }
    let http = json!({
        "requestContext": {"http": {"method": "POST", "path": "/"}},
        "body": "{}",
    });
    assert_eq!(function.invoke(&http).await["statusCode"], 422);
}

/// Tests that the function ignores the client context and the Cognito identity of an invocation.
#[tokio::test]
async fn any_client_context_is_accepted() {
    let mut function = Function::start(&[]).await;
    let contexts: [&[u8]; 9] = [
        br##"{"custom": {"source": "x", "other": 20}}"##,
        br##"{"custom": "#warmup"}"##,
        br##"{"custom": {"user": {"id": "a"}}}"##,
        br##"{"client": {"installation_id": 7}, "env": null}"##,
        b"[1, 2]",
        b"null",
        b"not JSON {",
        b"\xff\xfe",
        b"",
    ];
    for context in contexts {
        for name in [
            "lambda-runtime-client-context",
            "lambda-runtime-cognito-identity",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_bytes(context).unwrap());
            let payload = event("text").to_string();
            let reply = timeout(PATIENCE, function.api.invoke_with(payload, headers)).await;
            let reply = reply.unwrap().expect("the function replies");
            let answer: Value = serde_json::from_slice(&reply.body).unwrap();
            assert!(
                !reply.failed && answer["label"].is_string(),
                "{name} {context:?}: {answer}"
            );
        }
    }
    assert!(function.child.try_wait().unwrap().is_none());
}
