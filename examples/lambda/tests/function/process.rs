//! Tests of the process: init, threads, several requests at once, and the end.

use std::time::{Duration, Instant};

use bertless::Model;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Function, PATIENCE, assert_error, assert_same, command, event, expected, packed};

#[tokio::test]
async fn init_makes_one_prediction() {
    let function = Function::start(&[]).await;
    let lines = function.lines.lock().unwrap().clone();
    // The line was written before the function asked for the first event.
    let ready = function.line(|line| line["message"] == "ready");
    assert!(lines.is_empty() || lines[0] == ready);
    let opened = ready["opened_ms"].as_f64().unwrap();
    assert!(ready["start_ms"].as_f64().unwrap() > opened, "{ready}");
    assert_eq!(ready["task"], "sequence classification");
}

/// Tests that init fails if the model cannot be opened or cannot make a prediction.
#[test]
fn an_unusable_model_fails_init() {
    let output = command(&[("BERTLESS_CPU", "none")]).output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && line.contains("none"), "{line}");
}

#[tokio::test]
async fn memory_alone_decides_how_many_threads_compute() {
    for (memory, threads) in [
        ("128", 1),
        ("1769", 1),
        ("2653", 1),
        ("2654", 2),
        ("3008", 2),
        ("10240", 6),
    ] {
        let mut function = Function::start(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory)]).await;
        let ready = function.line(|line| line["message"] == "ready");
        assert_eq!(ready["threads"], threads, "{memory} MB");
        function.invoke(&event("text")).await;
        // The process has no threads but those that compute, one of which is the main thread.
        assert_eq!(function.status("Threads:"), threads, "{memory} MB");
        function.terminate();
        assert_eq!(function.ended().await.code(), Some(0));
    }
}

#[test]
fn invalid_settings_are_errors() {
    for (name, value) in [
        ("BERTLESS_MODEL", "no/such/file"),
        ("BERTLESS_MAX_TEXTS", "many"),
        ("AWS_LAMBDA_MAX_CONCURRENCY", "several"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "much"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0"),
        ("BERTLESS_CORS_ORIGIN", "https://a.example/"),
        ("AWS_LAMBDA_RUNTIME_API", "/no/host"),
        // No program listens on this port.
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1"),
    ] {
        let output = command(&[(name, value)]).output().unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        let line: serde_json::Value = serde_json::from_str(line.lines().last().unwrap()).unwrap();
        assert!(!output.status.success(), "{name}");
        assert_eq!(
            (&line["level"], &line["message"]),
            (&"ERROR".into(), &"the function cannot run".into())
        );
        let error = line["error"].as_str().unwrap();
        assert!(
            name.ends_with("API") || error.contains(value),
            "{name}: {error}"
        );
    }
    let output = command(&[]).env_remove("AWS_LAMBDA_RUNTIME_API").output();
    let line = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(line.contains("AWS_LAMBDA_RUNTIME_API is not set"), "{line}");
}

#[cfg(not(feature = "embedded"))]
#[tokio::test]
async fn the_model_may_be_in_the_package() {
    let package = tempfile::tempdir().unwrap();
    std::fs::copy(packed(), package.path().join("model.safetensors")).unwrap();
    let mut command = command(&[]);
    command
        .env_remove("BERTLESS_MODEL")
        .env("LAMBDA_TASK_ROOT", package.path());
    let function = Function::start_as(command).await;
    let says = expected(&Model::load(packed()).unwrap(), "A great film");
    assert_same(&function.invoke(&event("text")).await, &says);
}

/// Tests the embedded model. `BERTLESS_EMBED` must name the file that the other tests use.
#[cfg(feature = "embedded")]
#[tokio::test]
async fn the_model_may_be_in_the_program() {
    let function = Function::start(&[("BERTLESS_MODEL", "no/such/file")]).await;
    let says = expected(&Model::load(packed()).unwrap(), "A great film");
    assert_same(&function.invoke(&event("text")).await, &says);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_requests_at_once_on_managed_instances() {
    let function = Function::start(&[
        ("AWS_LAMBDA_MAX_CONCURRENCY", "8"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "4096"),
    ])
    .await;
    // All eight loops ask for events: computing does not block them.
    timeout(PATIENCE, function.api.next_calls(8)).await.unwrap();
    let model = Model::load(packed()).unwrap();
    let texts: Vec<String> = (0..100)
        .map(|count| "film ".repeat(1 + count % 30))
        .collect();
    let mut clients = JoinSet::new();
    for text in &texts {
        let (api, payload) = (function.api.clone(), json!({"text": text}).to_string());
        let text = text.clone();
        clients.spawn(async move { (text, api.invoke(payload).await.unwrap()) });
    }
    // An invalid request does not affect the others.
    assert_error(&function.send(r#"{"text": ""}"#).await, 422, "empty");
    while let Some(client) = clients.join_next().await {
        let (text, reply) = client.unwrap();
        let got: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_same(&got, &expected(&model, text.as_str()));
    }
    // A log line may arrive later than its reply.
    let begin = Instant::now();
    let requests = || {
        let lines = function.lines.lock().unwrap();
        let requests = lines.iter().filter(|line| line["message"] == "request");
        requests
            .map(|line| line["cold"] == true)
            .collect::<Vec<_>>()
    };
    while requests().len() < 101 && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let cold = requests().iter().filter(|&&cold| cold).count();
    assert_eq!((requests().len(), cold), (101, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_are_answered_after_sigterm() {
    for concurrency in ["1", "4"] {
        let mut function = Function::start(&[("AWS_LAMBDA_MAX_CONCURRENCY", concurrency)]).await;
        let long = json!({"texts": vec!["A great film ".repeat(20); 256]}).to_string();
        let count = concurrency.parse().unwrap();
        timeout(PATIENCE, function.api.next_calls(count))
            .await
            .unwrap();
        let mut clients = JoinSet::new();
        for _ in 0..count {
            let (api, payload) = (function.api.clone(), long.clone());
            clients.spawn(async move { api.invoke(payload).await });
        }
        timeout(PATIENCE, function.api.delivered(count))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        function.terminate();
        while let Some(client) = clients.join_next().await {
            let reply = client.unwrap().expect("a reply");
            assert!(!reply.failed, "{reply:?}");
        }
        assert_eq!(function.ended().await.code(), Some(0));
        function.line(|line| line["message"] == "stopping");
        function.line(|line| line["message"] == "stopped");
    }
}

/// Tests SIGTERM between the delivery of an event and its arrival. The sender of the event waits for a reply.
#[tokio::test(flavor = "multi_thread")]
async fn delivered_events_are_answered_after_sigterm() {
    for round in 0..10 {
        let concurrency = ["1", "4"][round % 2];
        let mut function = Function::start(&[("AWS_LAMBDA_MAX_CONCURRENCY", concurrency)]).await;
        let payload = event("text").to_string();
        let mut clients = JoinSet::new();
        for _ in 0..1000 {
            let (api, payload) = (function.api.clone(), payload.clone());
            clients.spawn(async move { api.invoke(payload).await });
        }
        timeout(PATIENCE, function.api.delivered(10 + round as u64))
            .await
            .unwrap();
        function.terminate();
        assert_eq!(function.ended().await.code(), Some(0));
        // Events that are still waiting were never delivered.
        assert_eq!(function.api.unanswered(), 0, "round {round}");
    }
}

#[tokio::test]
async fn an_idle_function_ends_at_once() {
    for concurrency in ["1", "4"] {
        let mut function = Function::start(&[("AWS_LAMBDA_MAX_CONCURRENCY", concurrency)]).await;
        function.terminate();
        assert_eq!(function.ended().await.code(), Some(0));
    }
}
