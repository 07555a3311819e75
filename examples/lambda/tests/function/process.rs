//! Init, threads, several requests at once, the end.

use std::time::{Duration, Instant};

use bertless::Model;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Function, PATIENCE, command, event, expected, failed, packed, same};

#[tokio::test]
async fn init_asks_the_model_once() {
    let function = Function::start(&[]).await;
    let lines = function.lines.lock().unwrap().clone();
    // It has said so before the first event was asked for.
    let ready = function.line(|line| line["message"] == "ready");
    assert!(lines.is_empty() || lines[0] == ready);
    let opened = ready["opened_ms"].as_f64().unwrap();
    assert!(ready["start_ms"].as_f64().unwrap() > opened, "{ready}");
    assert_eq!(ready["task"], "sequence classification");
}

/// A model that opens and cannot answer ends init.
#[test]
fn a_model_that_cannot_answer_is_found_out_in_init() {
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
        // None beside the first but those that compute.
        assert_eq!(function.status("Threads:"), threads, "{memory} MB");
        function.terminate();
        assert_eq!(function.ended().await.code(), Some(0));
    }
}

#[test]
fn settings_that_mean_nothing_end_it() {
    for (name, value) in [
        ("BERTLESS_MODEL", "no/such/file"),
        ("BERTLESS_MAX_TEXTS", "many"),
        ("AWS_LAMBDA_MAX_CONCURRENCY", "several"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "much"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0"),
        ("BERTLESS_CORS_ORIGIN", "https://a.example/"),
        ("AWS_LAMBDA_RUNTIME_API", "/no/host"),
        // Nobody is there.
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
async fn the_model_may_lie_in_the_package() {
    let package = tempfile::tempdir().unwrap();
    std::fs::copy(packed(), package.path().join("model.safetensors")).unwrap();
    let mut command = command(&[]);
    command
        .env_remove("BERTLESS_MODEL")
        .env("LAMBDA_TASK_ROOT", package.path());
    let function = Function::start_as(command).await;
    let says = expected(&Model::load(packed()).unwrap(), "A great film");
    same(&function.invoke(&event("text")).await, &says);
}

/// With `BERTLESS_EMBED` the same file as everywhere in these tests.
#[cfg(feature = "embedded")]
#[tokio::test]
async fn the_model_may_be_in_the_program() {
    let function = Function::start(&[("BERTLESS_MODEL", "no/such/file")]).await;
    let says = expected(&Model::load(packed()).unwrap(), "A great film");
    same(&function.invoke(&event("text")).await, &says);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_requests_at_once_on_managed_instances() {
    let function = Function::start(&[
        ("AWS_LAMBDA_MAX_CONCURRENCY", "8"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "4096"),
    ])
    .await;
    // All eight ask for events, and are not kept from it by what is computed.
    timeout(PATIENCE, function.api.asked(8)).await.unwrap();
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
    // A bad one among them fails alone.
    failed(&function.send(r#"{"text": ""}"#).await, 422, "empty");
    while let Some(client) = clients.join_next().await {
        let (text, reply) = client.unwrap();
        let got: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        same(&got, &expected(&model, text.as_str()));
    }
    // The log is read a little later than replies are.
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
async fn what_was_begun_is_answered_before_the_end() {
    for concurrency in ["1", "4"] {
        let mut function = Function::start(&[("AWS_LAMBDA_MAX_CONCURRENCY", concurrency)]).await;
        let long = json!({"texts": vec!["A great film ".repeat(20); 256]}).to_string();
        let count = concurrency.parse().unwrap();
        timeout(PATIENCE, function.api.asked(count)).await.unwrap();
        let mut clients = JoinSet::new();
        for _ in 0..count {
            let (api, payload) = (function.api.clone(), long.clone());
            clients.spawn(async move { api.invoke(payload).await });
        }
        timeout(PATIENCE, function.api.handed_out(count))
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

/// SIGTERM between an event's being handed out and its being read: whoever sent it waits for a reply.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_handed_out_is_answered() {
    for round in 0..10 {
        let concurrency = ["1", "4"][round % 2];
        let mut function = Function::start(&[("AWS_LAMBDA_MAX_CONCURRENCY", concurrency)]).await;
        let payload = event("text").to_string();
        let mut clients = JoinSet::new();
        for _ in 0..1000 {
            let (api, payload) = (function.api.clone(), payload.clone());
            clients.spawn(async move { api.invoke(payload).await });
        }
        timeout(PATIENCE, function.api.handed_out(10 + round as u64))
            .await
            .unwrap();
        function.terminate();
        assert_eq!(function.ended().await.code(), Some(0));
        // Those that still wait were never handed out.
        assert_eq!(function.api.unanswered(), 0, "round {round}");
    }
}

#[tokio::test]
async fn idle_it_ends_at_once() {
    for concurrency in ["1", "4"] {
        let mut function = Function::start(&[("AWS_LAMBDA_MAX_CONCURRENCY", concurrency)]).await;
        function.terminate();
        assert_eq!(function.ended().await.code(), Some(0));
    }
}
