//! Tests of connections: HTTP/2 without TLS, slow clients and idle clients.

use std::time::{Duration, Instant};

use reqwest::{Client, Version};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{PATIENCE, Server, answer};

async fn connect(server: &Server) -> TcpStream {
    let address = ("127.0.0.1", u16::try_from(server.port).unwrap());
    TcpStream::connect(address).await.unwrap()
}

/// Reads until the server closes the connection, and returns the bytes.
async fn read_to_close(mut connection: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, connection.read_to_end(&mut bytes)).await;
    // The server may also reset the connection, which is an error of `read_to_end`.
    let _ = read.expect("the server closes the connection");
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_without_tls_is_answered() {
    let mut server = Server::start(&[]);
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let response = client.get(server.url("/healthz")).send().await.unwrap();
    assert_eq!(
        (response.status(), response.version()),
        (200.try_into().unwrap(), Version::HTTP_2)
    );
    let body = json!({"text": "A great film"});
    let (_, expected) = answer(server.post("/predict").json(&body)).await;
    // Sends many requests at once over one connection.
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        requests.spawn(answer(client.post(server.url("/predict")).json(&body)));
    }
    while let Some(got) = requests.join_next().await {
        assert_eq!(got.unwrap(), (200, expected.clone()));
    }
    let large = client
        .post(server.url("/predict"))
        .body(vec![b' '; 3_000_000]);
    assert_eq!(answer(large).await.0, 413);
    server.terminate();
    assert_eq!(server.ended().code(), Some(0));
    server.line(|line| line["message"] == "stopped");
}

/// Tests that requests over HTTP/2 that arrived before SIGTERM are answered.
#[tokio::test(flavor = "multi_thread")]
async fn http2_requests_are_answered_after_sigterm() {
    let mut server = Server::start(&[("BERTLESS_WORKERS", "1")]);
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let long = json!({"texts": vec!["A great film ".repeat(20); 256]});
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        requests.spawn(answer(client.post(server.url("/predict")).json(&long)));
    }
    let health = || answer(Client::new().get(server.url("/healthz")));
    while health().await.1["in_flight"].as_u64().unwrap() < 10 {
        sleep(Duration::from_millis(1)).await;
    }
    server.terminate();
    while let Some(got) = requests.join_next().await {
        assert_eq!(got.unwrap().0, 200);
    }
    assert_eq!(server.ended().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_senders_are_disconnected() {
    let server = Server::start(&[("BERTLESS_READ_TIMEOUT", "1")]);
    let head = "POST /predict HTTP/1.1\r\nhost: here\r\n";
    let body = "content-length: 100\r\n\r\n{";
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = "\0\0\0\x04\0\0\0\0\0";
    let begin = Instant::now();
    let mut dropped = JoinSet::new();
    for (sent, says) in [
        (String::new(), ""),
        ("P".to_owned(), ""),
        (head.to_owned(), ""),
        (format!("{head}{body}"), "408"),
        (
            format!("{}{body}", head.replace("/predict", "/nowhere")),
            "404",
        ),
        ("PRI * HT".to_owned(), ""),
        (format!("{preface}{settings}"), ""),
        // The beginning of a request's head, without its end.
        (
            format!("{preface}{settings}\0\0\x01\x01\0\0\0\0\x01\u{3}"),
            "",
        ),
    ] {
        let mut connection = connect(&server).await;
        connection.write_all(sent.as_bytes()).await.unwrap();
        dropped.spawn(async move { (read_to_close(connection).await, sent, says) });
    }
    // A client that sends a byte every 100 ms does not complete its request in time either.
    for sent in [head.to_owned(), format!("{head}{body}")] {
        let mut connection = connect(&server).await;
        connection.write_all(sent.as_bytes()).await.unwrap();
        let says = if sent == head { "" } else { "408" };
        dropped.spawn(async move {
            let (mut reading, mut writing) = connection.into_split();
            let dripping = tokio::spawn(async move {
                while writing.write_all(b"x").await.is_ok() {
                    sleep(Duration::from_millis(100)).await;
                }
            });
            let mut bytes = Vec::new();
            let _ = timeout(PATIENCE, reading.read_to_end(&mut bytes))
                .await
                .unwrap();
            dripping.abort();
            (bytes, sent, says)
        });
    }
    while let Some(ended) = dropped.join_next().await {
        let (bytes, sent, says) = ended.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(says), "{sent:?}: {text}");
        assert!(
            says.is_empty() != text.starts_with("HTTP/1.1"),
            "{sent:?}: {text}"
        );
    }
    // The head or the body may take one second, and closing the connection another.
    assert!(
        begin.elapsed() < Duration::from_secs(6),
        "{:?}",
        begin.elapsed()
    );
    assert!(
        begin.elapsed() > Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    let line = server.line(|line| line["status"] == 408);
    assert_eq!(line["reason"], "the body did not arrive within 1 s");
    assert_eq!(line["severity"], "WARNING");
    let (_, health) = answer(Client::new().get(server.url("/healthz"))).await;
    assert_eq!(health["in_flight"], 0);
}

/// Tests that the read timeout is only for requests that are arriving. If the server closed an idle connection just when the
/// next request arrives, that request would be lost.
#[tokio::test]
async fn idle_connections_and_long_computations_have_no_timeout() {
    let server = Server::start(&[("BERTLESS_READ_TIMEOUT", "1"), ("BERTLESS_WORKERS", "1")]);
    let body = r#"{"text": "A great film"}"#;
    let length = body.len();
    let request =
        format!("POST /predict HTTP/1.1\r\nhost: here\r\ncontent-length: {length}\r\n\r\n{body}");
    let mut connection = connect(&server).await;
    for _ in 0..2 {
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = vec![0; 4096];
        let count = timeout(PATIENCE, connection.read(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        assert!(bytes[..count].starts_with(b"HTTP/1.1 200"));
        sleep(Duration::from_millis(2500)).await;
    }
    // A request of which only the beginning arrives is dropped, even after the connection was idle for longer.
    connection
        .write_all(&request.as_bytes()[..20])
        .await
        .unwrap();
    let begin = Instant::now();
    assert_eq!(read_to_close(connection).await, b"");
    assert!(begin.elapsed() < Duration::from_secs(5));
    // A request that has arrived waits for a worker without a timeout.
    let long = json!({"texts": vec!["A great film ".repeat(20); 256]});
    let mut requests = JoinSet::new();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(1500) {
        if requests.len() < 60 {
            requests.spawn(answer(server.post("/predict").json(&long)));
        }
        sleep(Duration::from_millis(1)).await;
    }
    while let Some(got) = requests.join_next().await {
        let (status, got): (u16, Value) = got.unwrap();
        assert_eq!(status, 200, "{got}");
    }
}
