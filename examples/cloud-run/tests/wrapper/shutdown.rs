//! SIGTERM.

use std::time::Duration;

use reqwest::Client;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{PATIENCE, Server, answer};

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_answered() {
    let mut server = Server::start(&[("BERTLESS_WORKERS", "1"), ("BERTLESS_QUEUE", "60")]);
    let mut clients = JoinSet::new();
    for _ in 0..60 {
        let texts = json!({"texts": vec!["A great film ".repeat(20); 256]});
        clients.spawn(answer(server.post("/predict").json(&texts)));
    }
    // All have arrived; most of them wait.
    let health = || answer(Client::new().get(server.url("/healthz")));
    while health().await.1["in_flight"].as_u64().unwrap() + finished(&server) < 60 {
        sleep(Duration::from_millis(1)).await;
    }
    server.terminate();
    while let Some(got) = clients.join_next().await {
        let (status, got) = got.unwrap();
        assert_eq!(
            (status, got["predictions"].as_array().unwrap().len()),
            (200, 256)
        );
    }
    assert_eq!(server.ended().code(), Some(0));
    server.line(|line| line["message"] == "stopped");
    let stopping = server.line(|line| line["message"] == "stopping");
    assert!(stopping["in_flight"].as_u64().unwrap() > 0, "{stopping}");
    let late = Client::new().get(server.url("/healthz")).send().await;
    assert!(late.unwrap_err().is_connect());
}

/// How many requests have been answered.
fn finished(server: &Server) -> u64 {
    let lines = server.lines.lock().unwrap();
    let posts = lines.iter().filter(|line| line["method"] == "POST");
    posts.count() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_keep_asking_lose_nothing() {
    let mut server = Server::start(&[]);
    let mut clients = JoinSet::new();
    for number in 0..50 {
        // Half of them keep their connection, the others open one for each request.
        let kept = number % 2;
        let client = Client::builder().pool_max_idle_per_host(kept).build();
        let (client, url) = (client.unwrap(), server.url("/predict"));
        clients.spawn(async move {
            // Until the server says that the next request is for another one.
            for answered in 1.. {
                let request = client.post(&url).json(&json!({"text": "A great film"}));
                let response = request.timeout(PATIENCE).send().await.unwrap();
                assert_eq!(response.status(), 200);
                let last = response
                    .headers()
                    .get("connection")
                    .is_some_and(|value| value == "close");
                assert!(response.json::<serde_json::Value>().await.unwrap()["label"].is_string());
                if last {
                    return answered;
                }
            }
            unreachable!()
        });
    }
    while finished(&server) < 500 {
        sleep(Duration::from_millis(1)).await;
    }
    server.terminate();
    let mut answered = 0;
    while let Some(client) = clients.join_next().await {
        answered += client.unwrap();
    }
    assert_eq!(server.ended().code(), Some(0));
    server.line(|line| line["message"] == "stopped");
    assert_eq!(finished(&server), answered, "as many lines as answers");
}

#[tokio::test]
async fn a_connection_that_only_stays_open_keeps_nobody() {
    let mut server = Server::start(&[]);
    let address = ("127.0.0.1", u16::try_from(server.port).unwrap());
    let _idle = tokio::net::TcpStream::connect(address).await.unwrap();
    let client = Client::new();
    assert_eq!(answer(client.get(server.url("/healthz"))).await.0, 200);
    server.terminate();
    assert_eq!(server.ended().code(), Some(0));
}
