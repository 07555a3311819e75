//! Tests of the log: each request has one line, and no line contains a text.

use serde_json::{Value, json};

use super::{Function, event};

/// Sends a last request, waits for its log line, and returns the lines of the requests before it.
async fn request_lines(function: &Function) -> Vec<Value> {
    let last = json!({"requestContext": {"http": {"method": "GET", "path": "/last/healthz"}}});
    function.invoke(&last).await;
    function.line(|line| line["path"] == "/last/healthz");
    let lines = function.lines.lock().unwrap().clone();
    let after = |line: &&Value| line["message"] != "ready" && line["path"] != "/last/healthz";
    lines.iter().filter(after).cloned().collect()
}

#[tokio::test]
async fn a_callers_mistake_has_one_log_line() {
    for (event, reason) in [
        (json!({"texts": []}), "\"texts\" is empty"),
        (json!({"texts": 3}), "\"texts\" is not a list"),
        (
            json!({"requestContext": {}}),
            "the event has no HTTP method",
        ),
    ] {
        let function = Function::start(&[]).await;
        assert!(function.send(event.to_string()).await.failed);
        let lines = request_lines(&function).await;
        assert_eq!(lines.len(), 1, "{lines:#?}");
        for (key, value) in [
            ("level", "WARN"),
            ("message", "request"),
            ("reason", reason),
        ] {
            assert_eq!(lines[0][key], value, "{lines:#?}");
        }
    }
}

/// Tests that no log line contains texts or the caller's credentials, even at level TRACE.
#[tokio::test]
async fn no_level_logs_texts() {
    let function = Function::start(&[("AWS_LAMBDA_LOG_LEVEL", "TRACE")]).await;
    let post = |body: Value| {
        json!({
            "version": "2.0",
            "requestContext": {"http": {"method": "POST", "path": "/"}},
            "headers": {"authorization": "Bearer SECRET"},
            "rawQueryString": "text=SECRET",
            "body": body.to_string(),
        })
    };
    let queue = |body: &str| json!({"Records": [{"messageId": "m", "body": body, "eventSource": "aws:sqs"}]});
    for event in [
        json!({"text": "SECRET words"}),
        json!({"text": ["SECRET words"]}),
        json!({"SECRET words": 1}),
        json!({"texts": ["a"], "SECRET words": 1}),
        json!("SECRET words"),
        json!({"requestContext": "SECRET words"}),
        post(json!({"text": "SECRET words"})),
        post(json!({"text": "SECRET words", "x": 1})),
        post(json!("SECRET words")),
        queue("SECRET words"),
        queue(r#"{"texts": ["SECRET words", ""]}"#),
        queue(r#"{"SECRET words": "#),
    ] {
        function.send(event.to_string()).await;
    }
    function.send("\"SECRET words").await;
    let lines = request_lines(&function).await;
    assert!(lines.len() >= 13, "{lines:#?}");
    for line in lines {
        assert!(!line.to_string().contains("SECRET"), "{line}");
    }
}

#[tokio::test]
async fn a_long_path_is_cut() {
    let function = Function::start(&[]).await;
    let mut request = event("function-url");
    request["requestContext"]["http"]["path"] = "/é".repeat(1000).into();
    function.invoke(&request).await;
    let line = function.line(|line| line["message"] == "request");
    assert_eq!(line["path"].as_str().unwrap().chars().count(), 200);
}
