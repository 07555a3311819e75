//! Tests of CloudEvents in both modes and of Pub/Sub's pushes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{Server, answer, assert_error};

fn encoded(data: &str) -> String {
    BASE64_STANDARD.encode(data)
}

/// Returns an event in structured mode without data.
fn event() -> Value {
    json!({
        "specversion": "1.0",
        "id": "event-1",
        "source": "//pubsub.googleapis.com/projects/p/topics/t",
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "time": "2026-11-25T08:00:00Z",
    })
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}

fn structured(server: &Server, event: &Value) -> RequestBuilder {
    let kind = "application/cloudevents+json; charset=utf-8";
    server
        .post("/")
        .header("content-type", kind)
        .body(event.to_string())
}

fn binary(server: &Server, kind: &str, data: impl ToString) -> RequestBuilder {
    server
        .post("/")
        .header("ce-specversion", "1.0")
        .header("ce-id", "event-1")
        .header("ce-source", "//somewhere")
        .header("ce-type", "text.written")
        .header("content-type", kind)
        .body(data.to_string())
}

/// Returns a push of Pub/Sub, which is also the data of Eventarc's event.
fn push(data: &str) -> Value {
    json!({
        "message": {
            "attributes": {"language": "en"},
            "data": data,
            "messageId": "event-1",
            "message_id": "event-1",
            "publishTime": "2026-11-25T08:00:00Z",
        },
        "subscription": "projects/p/subscriptions/s",
    })
}

#[tokio::test]
async fn every_shape_of_event_is_answered() {
    let server = Server::start(&[("FUNCTION_SIGNATURE_TYPE", "cloudevent")]);
    let asked = json!({"texts": ["A great film"]});
    let text = encoded(&asked.to_string());
    let requests = [
        structured(&server, &with(event(), "data", asked.clone())),
        structured(&server, &with(event(), "data_base64", text.clone().into())),
        structured(&server, &with(event(), "data", push(&text))),
        structured(
            &server,
            &with(
                with(event(), "datacontenttype", "text/plain".into()),
                "data",
                "A great film".into(),
            ),
        ),
        binary(&server, "application/json", &asked),
        binary(&server, "application/json", push(&text)),
        binary(&server, "text/plain; charset=utf-8", "A great film"),
        server.post("/").json(&push(&text)),
        server.post("/").json(&push(&encoded("A great film"))),
    ];
    let alone = server
        .post("/predict")
        .json(&json!({"text": "A great film"}));
    let (_, expected) = answer(alone).await;
    for (shape, request) in requests.into_iter().enumerate() {
        let got = answer(request).await;
        let expected = json!({"event": "event-1", "predictions": [expected]});
        assert_eq!(got, (200, expected), "shape {shape}");
    }
    let line = server.line(|line| line["event"] == "event-1");
    assert_eq!((&line["texts"], &line["status"]), (&json!(1), &json!(200)));
}

#[tokio::test]
async fn events_and_requests_are_distinguished() {
    let server = Server::start(&[]);
    let asked = json!({"text": "A great film"});
    let got = answer(server.post("/").json(&asked)).await;
    assert!(got.0 == 200 && got.1["label"].is_string(), "{got:?}");
    let got = answer(server.post("/").json(&push(&encoded("A great film")))).await;
    assert!(got.0 == 200 && got.1["event"] == "event-1", "{got:?}");
    let got = answer(binary(&server, "application/json", &asked)).await;
    assert!(got.0 == 200 && got.1["event"] == "event-1", "{got:?}");
    // A list is a request, not a push, whatever its items are.
    let list = server.post("/").json(&json!(["A great film"]));
    assert_error(answer(list).await, 422, "expected an object");

    let http = Server::start(&[
        ("FUNCTION_SIGNATURE_TYPE", "http"),
        ("FUNCTION_TARGET", "predict"),
    ]);
    let got = answer(binary(&http, "application/json", &asked)).await;
    assert!(got.0 == 200 && got.1["label"].is_string(), "{got:?}");
    assert_error(
        answer(http.post("/").json(&push("YQ=="))).await,
        422,
        "\"message\"",
    );
    let events = Server::start(&[("FUNCTION_SIGNATURE_TYPE", "cloudevent")]);
    assert_error(answer(events.post("/").json(&asked)).await, 400, "neither");
}

#[tokio::test]
async fn malformed_events_are_refused() {
    let server = Server::start(&[]);
    for name in ["specversion", "id", "source", "type"] {
        let mut short = with(event(), "data", json!({"text": "a"}));
        short.as_object_mut().unwrap().remove(name);
        assert_error(
            answer(structured(&server, &short)).await,
            400,
            &format!("no {name}"),
        );
        let empty = with(event(), name, "".into());
        assert_error(
            answer(structured(&server, &empty)).await,
            400,
            &format!("{name} is empty"),
        );
        let number = with(event(), name, 1.into());
        assert_error(
            answer(structured(&server, &number)).await,
            400,
            &format!("{name} is not a text"),
        );
    }
    let old = with(event(), "specversion", "0.3".into());
    let both = with(
        with(event(), "data", 1.into()),
        "data_base64",
        "YQ==".into(),
    );
    for (event, status, says) in [
        (old, 400, "\"0.3\""),
        (event(), 400, "no data"),
        (both, 400, "both data and data_base64"),
        (with(event(), "data_base64", "?".into()), 400, "not base64"),
        (
            with(event(), "data_base64", encoded("{").into()),
            400,
            "not JSON",
        ),
        (
            with(event(), "data", "text".into()),
            422,
            "expected an object",
        ),
        (
            with(event(), "data", json!({"bucket": "b"})),
            422,
            "\"bucket\"",
        ),
        (with(event(), "data", json!({"text": ""})), 422, "empty"),
        (
            with(event(), "data", json!({"texts": ["", 1]})),
            422,
            "empty",
        ),
        (json!([]), 400, "not a JSON object"),
    ] {
        assert_error(answer(structured(&server, &event)).await, status, says);
    }
    let cut = server
        .post("/")
        .header("content-type", "application/cloudevents+json");
    assert_error(answer(cut.body("{")).await, 400, "not JSON");
    for kind in [
        "application/cloudevents-batch+json",
        "application/cloudevents+avro",
    ] {
        let other = server.post("/").header("content-type", kind).body("[]");
        assert_error(answer(other).await, 415, "");
    }
    assert_error(
        answer(binary(&server, "application/json", "")).await,
        400,
        "no data",
    );
    assert_error(
        answer(binary(&server, "application/json", "{")).await,
        400,
        "not JSON",
    );
    let nameless = server.post("/").header("ce-specversion", "1.0").body("{}");
    assert_error(answer(nameless).await, 400, "no id");
    let unversioned = server
        .post("/")
        .header("ce-id", "1")
        .header("ce-source", "s")
        .header("ce-type", "t");
    assert_error(answer(unversioned.body("{}")).await, 400, "no specversion");
    let foreign = server
        .post("/")
        .header("ce-specversion", "1.0")
        .header("ce-id", "é");
    assert_error(answer(foreign.body("{}")).await, 400, "id is not ASCII");
    let overlong = server
        .post("/")
        .header("ce-specversion", "1.0")
        .header("ce-id", "%C0%A0");
    assert_error(
        answer(overlong.body("{}")).await,
        400,
        "id is not percent-encoded UTF-8",
    );
}

#[tokio::test]
async fn malformed_pushes_are_refused() {
    let server = Server::start(&[]);
    for (push, status, says) in [
        (json!({"message": "text"}), 400, "not an object"),
        (json!({"message": {"data": "YQ=="}}), 400, "no messageId"),
        (json!({"message": {"messageId": "1"}}), 400, "no data"),
        (
            json!({"message": {"messageId": "1", "data": ""}}),
            400,
            "no data",
        ),
        (
            json!({"message": {"messageId": "1", "data": 1}}),
            400,
            "not a text",
        ),
        (push("?"), 400, "not base64"),
        (push(&encoded("{\"text\": ")), 400, "not JSON"),
        (
            push(&BASE64_STANDARD.encode(b"\xff\xfe")),
            400,
            "neither JSON nor UTF-8",
        ),
        (push(&encoded("  ")), 422, "empty"),
        (push(&encoded("{\"texts\": []}")), 422, "empty"),
    ] {
        assert_error(answer(server.post("/").json(&push)).await, status, says);
    }
    // An event with at least one valid text is acknowledged. The response has an error for each of the other texts.
    let some = push(&encoded("{\"texts\": [\"a\", \"\"]}"));
    let (status, got) = answer(server.post("/").json(&some)).await;
    assert_eq!(
        (status, &got["predictions"][1]["error"]["status"]),
        (200, &json!(422))
    );
}

/// Builds the request by which Pub/Sub delivers a message if the subscription has no wrapper.
fn unwrapped(
    server: &Server,
    headers: &[(&str, &str)],
    data: impl Into<Vec<u8>>,
) -> RequestBuilder {
    let request = server.post("/").body(data.into());
    let with =
        |request: RequestBuilder, (name, value): &(&str, &str)| request.header(*name, *value);
    headers.iter().fold(request, with)
}

#[tokio::test]
async fn unwrapped_messages_are_answered() {
    let id = ("x-goog-pubsub-message-id", "event-1");
    let metadata: &[_] = &[
        id,
        (
            "x-goog-pubsub-subscription-name",
            "projects/p/subscriptions/s",
        ),
        ("x-goog-pubsub-publish-time", "2026-11-30T08:00:00Z"),
        ("content-type", "text/plain"),
        ("language", "en"),
    ];
    let agent: &[_] = &[("user-agent", "CloudPubSub-Google")];
    for signature in ["", "cloudevent"] {
        let server = Server::start(&[("FUNCTION_SIGNATURE_TYPE", signature)]);
        let alone = server
            .post("/predict")
            .json(&json!({"text": "A great film"}));
        let (_, expected) = answer(alone).await;
        for data in ["A great film", r#" {"texts": ["A great film"]}"#] {
            for (headers, event) in [(metadata, json!("event-1")), (agent, Value::Null)] {
                let (status, got) = answer(unwrapped(&server, headers, data)).await;
                assert_eq!((status, &got["event"]), (200, &event), "{data}");
                assert_eq!(got["predictions"], json!([expected]), "{data}");
            }
        }
        for (data, status, says) in [
            (&b""[..], 400, "no data"),
            (b" ", 422, "empty"),
            (b"{", 400, "the message's data is not JSON"),
            (b"\xff\xfe", 400, "neither JSON nor UTF-8"),
            (b"{}", 422, "expected an object"),
        ] {
            assert_error(answer(unwrapped(&server, &[id], data)).await, status, says);
        }
        // A message in its wrapper is read as usual, even if its headers are those of an unwrapped one.
        let wrapped = server.post("/").json(&push(&encoded("A great film")));
        let got = answer(wrapped.header("user-agent", "CloudPubSub-Google")).await;
        assert_eq!((got.0, &got.1["event"]), (200, &json!("event-1")));
    }
    // If `/` accepts only plain requests, the message is parsed as one, and a text is not JSON.
    let http = Server::start(&[("FUNCTION_SIGNATURE_TYPE", "http")]);
    assert_error(
        answer(unwrapped(&http, &[id], "A great film")).await,
        400,
        "not JSON",
    );
}

#[tokio::test]
async fn a_lone_surrogate_does_not_fail_an_event() {
    let server = Server::start(&[]);
    let question = r#"{"texts": ["good", "cut \ud83d"]}"#;
    let direct = answer(server.post("/predict").body(question)).await;
    assert_eq!(direct.0, 200);
    let event = r#"{"specversion": "1.0", "id": "1", "source": "s\ude00", "type": "t", "data": "#;
    let structured = server
        .post("/")
        .header("content-type", "application/cloudevents+json");
    for request in [
        server.post("/").body(question),
        server.post("/").json(&push(&encoded(question))),
        server.post("/").body(format!(
            r#"{{"message": {{"messageId": "\ud83d", "data": "{}"}}}}"#,
            encoded(question)
        )),
        binary(&server, "application/json", question),
        structured.body(format!("{event}{question}}}")),
        unwrapped(&server, &[("x-goog-pubsub-message-id", "1")], question),
    ] {
        let (status, got) = answer(request).await;
        assert_eq!(
            (status, &got["predictions"]),
            (200, &direct.1["predictions"])
        );
    }
    let (_, replaced) = answer(server.post("/predict").body(r#"{"text": "cut \ufffd"}"#)).await;
    assert_eq!(direct.1["predictions"][1], replaced);
}
