//! Tests of batches of SQS messages.

use serde_json::{Value, json};

use super::{Function, event};

fn failures(ids: &[&str]) -> Value {
    let item = |id: &&str| json!({"itemIdentifier": id});
    json!({"batchItemFailures": ids.iter().map(item).collect::<Vec<_>>()})
}

#[tokio::test]
async fn only_invalid_messages_return() {
    let function = Function::start(&[("AWS_LAMBDA_LOG_LEVEL", "DEBUG")]).await;
    let mut batch = event("sqs");
    assert_eq!(function.invoke(&batch).await, failures(&["message-2"]));
    let line = function.line(|line| line["source"] == "sqs");
    for (key, value) in [("status", 200), ("texts", 5), ("failed", 1)] {
        assert_eq!(line[key], value, "{line}");
    }
    let back = function.line(|line| line["message"] == "message returns to the queue");
    assert_eq!(
        (&back["message_id"], &back["level"]),
        (&"message-2".into(), &"WARN".into())
    );
    assert!(
        back["reason"].as_str().unwrap().contains("not JSON"),
        "{back}"
    );
    for (message, texts) in [("message-1", 1), ("message-3", 1), ("message-4", 2)] {
        let line = function
            .line(|line| line["message"] == "message answered" && line["message_id"] == message);
        assert_eq!(line["texts"], texts, "{line}");
    }
    // A message with at least one answer does not return: its invalid texts would make it return for ever.
    batch["Records"][1]["body"] = json!({"texts": ["A film", ""]}).to_string().into();
    assert_eq!(function.invoke(&batch).await, failures(&[]));
    let lost = function.line(|line| line["message"] == "text without an answer");
    assert_eq!(
        (&lost["message_id"], &lost["text"], &lost["level"]),
        (&"message-2".into(), &1.into(), &"WARN".into())
    );
    // A message whose body is not a text does not affect the others.
    for body in [Value::Null, 7.into()] {
        batch["Records"][1]["body"] = body;
        assert_eq!(function.invoke(&batch).await, failures(&["message-2"]));
    }
    batch["Records"][0]["body"] = "".into();
    batch["Records"][1]["body"] = json!({"texts": ["", 3]}).to_string().into();
    assert_eq!(
        function.invoke(&batch).await,
        failures(&["message-1", "message-2"])
    );
}

#[tokio::test]
async fn a_fifo_queue_keeps_its_order() {
    let function = Function::start(&[]).await;
    let mut batch = event("sqs");
    for record in batch["Records"].as_array_mut().unwrap() {
        record["eventSourceARN"] = "arn:aws:sqs:us-east-1:123456789012:texts.fifo".into();
    }
    assert_eq!(
        function.invoke(&batch).await,
        failures(&["message-2", "message-3", "message-4"])
    );
}

#[tokio::test]
async fn an_empty_batch_is_answered() {
    let function = Function::start(&[]).await;
    assert_eq!(
        function.invoke(&json!({"Records": []})).await,
        failures(&[])
    );
}

/// Returns a batch of one message.
fn batch(body: &str) -> Value {
    json!({"Records": [{"messageId": "m", "body": body, "eventSource": "aws:sqs"}]})
}

/// Returns a message in the envelope that an SNS topic adds by default.
fn notification(message: &str) -> String {
    json!({
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:texts",
        "Subject": "A subject",
        "Message": message,
        "Timestamp": "2026-11-30T08:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.us-east-1.amazonaws.com/cert.pem",
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
        "MessageAttributes": {"language": {"Type": "String", "Value": "en"}},
    })
    .to_string()
}

#[tokio::test]
async fn envelopes_of_sns_are_removed() {
    let function = Function::start(&[("BERTLESS_MAX_BODY", "1000")]).await;
    for (message, texts) in [
        ("A great film", 1),
        (r#"{"text": "A great film"}"#, 1),
        (r#" {"texts": ["A great film", "cut \ud83d"]}"#, 2),
    ] {
        let reply = function.invoke(&batch(&notification(message))).await;
        assert_eq!(reply, failures(&[]), "{message}");
        let line = function.line(|line| line["texts"] == texts);
        assert_eq!(line["failed"], 0, "{line}");
    }
    let confirmation = json!({
        "Type": "SubscriptionConfirmation",
        "Token": "TOKEN",
        "Message": "You have chosen to subscribe to the topic",
        "SubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription",
    });
    for (body, says) in [
        (notification(""), "the text is empty"),
        (notification("{}"), "expected an object"),
        (
            notification(r#"{"AlarmName": "a"}"#),
            "\"AlarmName\" is not understood",
        ),
        (notification(&notification("A film")), "is not understood"),
        (notification(&"a ".repeat(500)), "more than 1000 bytes"),
        (confirmation.to_string(), "confirm a subscription"),
        (
            json!({"Type": "Notification"}).to_string(),
            "\"Type\" is not understood",
        ),
        (
            json!({"Message": "a"}).to_string(),
            "\"Message\" is not understood",
        ),
        ("{}".to_owned(), "expected an object"),
    ] {
        assert_eq!(
            function.invoke(&batch(&body)).await,
            failures(&["m"]),
            "{body}"
        );
        let back = |line: &Value| {
            let reason = line["reason"].as_str().unwrap_or_default();
            line["message"] == "message returns to the queue" && reason.contains(says)
        };
        function.line(back);
    }
}

#[tokio::test]
async fn a_lone_surrogate_does_not_fail_a_message() {
    let function = Function::start(&[]).await;
    // The lone surrogate is in a JSON request or in a plain text, and also in a field that the function does not read.
    for body in [
        r#""{\"texts\": [\"good\", \"cut \\ud83d\"]}""#,
        r#""cut \ud83d""#,
    ] {
        let event = format!(
            r#"{{"Records": [{{"messageId": "m", "body": {body}, "eventSource": "aws:sqs", "messageAttributes": "\ude00"}}]}}"#
        );
        let reply = function.send(event).await;
        let got: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(got, failures(&[]), "{body}");
    }
}
