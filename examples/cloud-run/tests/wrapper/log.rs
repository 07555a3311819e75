//! Tests of the log: no line contains a text or credentials, and long fields are cut.

use reqwest::Client;
use serde_json::json;

use super::{Server, answer};

#[tokio::test]
async fn no_line_has_a_text_or_credentials() {
    let server = Server::start(&[("RUST_LOG", "trace")]);
    for body in [
        json!({"text": "SECRET words"}),
        json!({"text": ["SECRET words"]}),
        json!({"SECRET words": 1}),
        json!({"texts": ["a", ""], "SECRET words": 1}),
        json!("SECRET words"),
        json!({"message": "SECRET words"}),
        json!({"message": {"messageId": "1", "data": "U0VDUkVUIHdvcmRz"}}),
    ] {
        let request = server.post("/?text=SECRET").json(&body);
        answer(request.header("authorization", "Bearer SECRET")).await;
    }
    for (name, value) in [
        ("ce-specversion", "SECRET words"),
        ("content-type", "application/cloudevents+SECRET words"),
        ("content-encoding", "SECRET words"),
    ] {
        let request = server
            .post("/")
            .header("ce-id", "1")
            .header("ce-source", "s");
        answer(request.header(name, value).body("{\"SECRET words")).await;
    }
    answer(Client::new().get(server.url("/last"))).await;
    server.line(|line| line["path"] == "/last");
    let lines = server.lines.lock().unwrap();
    assert!(lines.len() >= 11, "{lines:#?}");
    for line in lines.iter() {
        assert!(!line.to_string().contains("SECRET"), "{line}");
    }
}

#[tokio::test]
async fn long_paths_and_ids_are_cut() {
    let server = Server::start(&[]);
    let path = format!("/{}", "x".repeat(1000));
    answer(Client::new().get(server.url(&path))).await;
    let line = server.line(|line| line["status"] == 404);
    assert_eq!(line["path"].as_str().unwrap().len(), 200);
    let event = server.post("/").header("ce-specversion", "1.0");
    let event = event
        .header("ce-id", "y".repeat(1000))
        .header("ce-source", "s");
    let event = event.header("ce-type", "t").body(r#"{"text": "A film"}"#);
    let (status, got) = answer(event).await;
    assert_eq!((status, got["event"].as_str().unwrap().len()), (200, 1000));
    let line = server.line(|line| line["event"].is_string());
    assert_eq!(line["event"].as_str().unwrap().len(), 200);
}
