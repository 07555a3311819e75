//! Tests with many clients at once.

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{PATIENCE, Server, answer};

/// Returns a request that takes a while to compute.
fn long_request() -> Value {
    json!({"texts": vec!["A great film ".repeat(20); 256]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_at_once() {
    let server = Server::start(&[("BERTLESS_QUEUE", "1000")]);
    let body = r#"{"text": "A great film"}"#;
    let (_, expected) = answer(server.post("/predict").body(body)).await;
    let request = format!(
        "POST /predict HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let address = ("127.0.0.1", u16::try_from(server.port).unwrap());
    // All connections are open before the first request is sent.
    let mut connections = Vec::new();
    for _ in 0..1000 {
        connections.push(TcpStream::connect(address).await.unwrap());
    }
    let mut clients = JoinSet::new();
    for mut connection in connections {
        let request = request.clone();
        clients.spawn(async move {
            connection.write_all(request.as_bytes()).await.unwrap();
            let mut response = String::new();
            connection.read_to_string(&mut response).await.unwrap();
            response
        });
    }
    while let Some(response) = clients.join_next().await {
        let response = response.unwrap();
        assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
        let (_, got) = response.split_once("\r\n\r\n").unwrap();
        assert_eq!(serde_json::from_str::<Value>(got).unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_requests() {
    let server = Server::start(&[("BERTLESS_QUEUE", "2"), ("BERTLESS_WORKERS", "1")]);
    let mut clients = JoinSet::new();
    for _ in 0..30 {
        let request = server.post("/predict").json(&long_request());
        clients.spawn(async move {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let after = response.headers().get("retry-after").cloned();
            (status, after, response.json::<Value>().await.unwrap())
        });
    }
    let (mut answered, mut refused) = (0, 0);
    while let Some(got) = clients.join_next().await {
        match got.unwrap() {
            (200, None, got) => {
                assert_eq!(got["predictions"].as_array().unwrap().len(), 256);
                answered += 1;
            }
            (503, Some(after), got) => {
                assert_eq!(after, "1");
                assert!(got["error"]["reason"].as_str().unwrap().contains("waiting"));
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        answered >= 3 && refused > 0,
        "{answered} answered, {refused} refused"
    );
    let got = answer(server.post("/predict").json(&json!({"text": "a"}))).await;
    assert_eq!(got.0, 200, "the queue accepts requests again");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_clients_that_leave_are_cancelled() {
    let server = Server::start(&[("BERTLESS_WORKERS", "1")]);
    for _ in 0..20 {
        let hasty = server.post("/predict").json(&long_request());
        let gone = hasty.timeout(Duration::from_millis(1)).send().await;
        assert!(gone.is_err());
    }
    let stays = server.post("/predict").json(&json!({"text": "a"}));
    assert_eq!(answer(stays.timeout(PATIENCE)).await.0, 200);
    let (_, health) = answer(Client::new().get(server.url("/healthz"))).await;
    assert_eq!(health["in_flight"], 0, "{health}");
}
