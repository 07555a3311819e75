//! Batches of SQS.

use serde_json::{Value, json};

use super::{Function, event};

fn failures(ids: &[&str]) -> Value {
    let item = |id: &&str| json!({"itemIdentifier": id});
    json!({"batchItemFailures": ids.iter().map(item).collect::<Vec<_>>()})
}

#[tokio::test]
async fn a_bad_message_goes_back_alone() {
    let function = Function::start(&[("AWS_LAMBDA_LOG_LEVEL", "DEBUG")]).await;
    let mut batch = event("sqs");
    assert_eq!(function.invoke(&batch).await, failures(&["message-2"]));
    let line = function.line(|line| line["source"] == "sqs");
    for (key, value) in [("status", 200), ("texts", 5), ("failed", 1)] {
        assert_eq!(line[key], value, "{line}");
    }
    let back = function.line(|line| line["message"] == "message goes back");
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
        let predictions: Value =
            serde_json::from_str(line["predictions"].as_str().unwrap()).unwrap();
        let labels = predictions.as_array().unwrap().iter();
        assert_eq!(
            labels.filter(|one| one["label"].is_string()).count(),
            texts,
            "{line}"
        );
    }
    // A message of whose texts one has an answer is answered; it would only come back for ever.
    batch["Records"][1]["body"] = json!({"texts": ["A film", ""]}).to_string().into();
    assert_eq!(function.invoke(&batch).await, failures(&[]));
    let lost = function.line(|line| line["message"] == "text without an answer");
    assert_eq!(
        (&lost["message_id"], &lost["text"], &lost["level"]),
        (&"message-2".into(), &1.into(), &"WARN".into())
    );
    // Nor does a body that is no text bring down the others.
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
async fn nothing_overtakes_in_a_queue_with_order() {
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
async fn an_empty_batch_is_no_failure() {
    let function = Function::start(&[]).await;
    assert_eq!(
        function.invoke(&json!({"Records": []})).await,
        failures(&[])
    );
}
