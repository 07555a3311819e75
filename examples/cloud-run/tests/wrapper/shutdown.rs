//! Tests of the shutdown after SIGTERM.

use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{PATIENCE, Server, answer};

#[tokio::test(flavor = "multi_thread")]
async fn waiting_requests_are_answered_after_sigterm() {
    let mut server = Server::start(&[("BERTLESS_WORKERS", "1"), ("BERTLESS_QUEUE", "60")]);
    let mut clients = JoinSet::new();
    for _ in 0..60 {
        let texts = json!({"texts": vec!["A great film ".repeat(20); 256]});
        clients.spawn(answer(server.post("/predict").json(&texts)));
    }
    // Waits until all requests have arrived. Most of them then wait for the worker.
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

/// Returns the number of POST requests that have been answered.
fn finished(server: &Server) -> u64 {
    let lines = server.lines.lock().unwrap();
    let posts = lines.iter().filter(|line| line["method"] == "POST");
    posts.count() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_keep_sending_lose_no_request() {
    let mut server = Server::start(&[]);
    let mut clients = JoinSet::new();
    for number in 0..50 {
        // Half of the clients keep their connection, the others open one for each request.
        let kept = number % 2;
        let client = Client::builder().pool_max_idle_per_host(kept).build();
        let (client, url) = (client.unwrap(), server.url("/predict"));
        clients.spawn(async move {
            // Sends requests until the server asks the client to close the connection.
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
    assert_eq!(finished(&server), answered, "one log line for each answer");
}

#[tokio::test]
async fn an_idle_connection_does_not_delay_the_end() {
    let mut server = Server::start(&[]);
    let address = ("127.0.0.1", u16::try_from(server.port).unwrap());
    let _idle = TcpStream::connect(address).await.unwrap();
    let client = Client::new();
    assert_eq!(answer(client.get(server.url("/healthz"))).await.0, 200);
    server.terminate();
    assert_eq!(server.ended().code(), Some(0));
}

/// Tests that a request that never arrives completely neither delays the end nor makes it a failure.
#[tokio::test]
async fn incomplete_requests_do_not_delay_the_end() {
    let head = "POST /predict HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n\r\n{";
    let nowhere = head.replace("/predict", "/nowhere");
    let cases = ["", &head[..16], head, &nowhere, "PRI * HTTP/2.0\r\n"];
    let cases = cases.map(|sent| (Server::start(&[]), sent));
    let mut open = Vec::new();
    for (server, sent) in &cases {
        let address = ("127.0.0.1", u16::try_from(server.port).unwrap());
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(sent.as_bytes()).await.unwrap();
        open.push(connection);
    }
    sleep(Duration::from_millis(100)).await;
    for (server, _) in &cases {
        server.terminate();
    }
    let begin = Instant::now();
    for (mut server, sent) in cases {
        assert_eq!(server.ended().code(), Some(0), "{sent:?}");
        server.line(|line| line["message"] == "stopped");
    }
    // Cloud Run kills the process after ten seconds.
    assert!(begin.elapsed() < Duration::from_secs(8));
}
