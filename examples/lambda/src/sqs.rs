//! Batches of SQS messages. Each message is one request. Only messages that cannot be answered return to the queue.

use bertless_questions::{self as questions, Answer, ApiError, Limits, PredictRequest, Question};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Fields of a batch that this function uses.
#[derive(Deserialize)]
pub(crate) struct SqsEvent {
    #[serde(rename = "Records")]
    pub(crate) messages: Vec<SqsMessage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SqsMessage {
    message_id: String,
    /// Body of the message. Any JSON value is accepted here, so that a body which is not a string fails this message alone.
    #[serde(default)]
    body: Value,
    /// ARN of the queue.
    #[serde(rename = "eventSourceARN")]
    queue: Option<String>,
}

/// Messages that return to the queue. The queue deletes all others. AWS reads this response only if the function's event source
/// mapping has `ReportBatchItemFailures`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SqsBatchResponse {
    batch_item_failures: Vec<BatchItemFailure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

/// Reads the questions of a message. Its body is a JSON request, or a plain text if it does not begin with `{`. Either may be in an
/// envelope of SNS. A message that cannot be read counts as one question with an error.
pub(crate) fn read(message: &SqsMessage, limits: &Limits) -> Vec<Result<Question, ApiError>> {
    let request = match &message.body {
        Value::String(body) => read_body(body, limits),
        _ => Err(ApiError::malformed("the message's body is not a text")),
    };
    match request {
        Ok(request) => request.questions,
        Err(error) => vec![Err(error)],
    }
}

/// Reads the body of a message as a request, without the envelope of SNS if it has one.
fn read_body(body: &str, limits: &Limits) -> Result<PredictRequest, ApiError> {
    if !body.trim_start().starts_with('{') {
        return questions::text(body.to_owned(), limits);
    }
    if body.len() > limits.body {
        return Err(ApiError::body_too_large(limits.body));
    }
    let json = questions::json(body.as_bytes(), "the body")?;
    match sns_message(&json)? {
        // Only one envelope is removed: a message of a topic has no second one.
        Some(message) if message.trim_start().starts_with('{') => {
            questions::parse(message.as_bytes(), limits)
        }
        Some(message) => questions::text(message.to_owned(), limits),
        None => questions::read(json, limits),
    }
}

/// Returns the message in an envelope of SNS, `None` if there is no envelope. A topic adds one unless the subscription has
/// `RawMessageDelivery`. The signature is not checked: the queue's policy decides which senders may write to it.
///
/// # Errors
/// 422 for a request to confirm a subscription.
fn sns_message(json: &Value) -> Result<Option<&str>, ApiError> {
    let text = |key: &str| json.get(key).and_then(Value::as_str);
    match (text("Type"), text("Message")) {
        (Some("Notification"), message) => Ok(message),
        (Some("SubscriptionConfirmation" | "UnsubscribeConfirmation"), _) => Err(
            ApiError::unanswerable("SNS asks to confirm a subscription: its owner must do that"),
        ),
        _ => Ok(None),
    }
}

/// Builds the response to a batch. Messages without any answer return to the queue; the others are delivered. In a FIFO queue all
/// messages after one without an answer return too, to keep their order.
pub(crate) fn respond(messages: &[SqsMessage], answered: &[Vec<Answer>]) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    let mut stopped = false;
    for (message, answers) in messages.iter().zip(answered) {
        let id = &message.message_id;
        let reason = match error_without_answer(answers) {
            Some(error) => error.logged(),
            None if stopped => "an earlier message failed",
            None => {
                deliver(id, answers);
                continue;
            }
        };
        tracing::warn!(message_id = id, reason, "message returns to the queue");
        let queue = message.queue.as_deref().unwrap_or_default();
        stopped |= queue.ends_with(".fifo");
        response.batch_item_failures.push(BatchItemFailure {
            item_identifier: id.clone(),
        });
    }
    response
}

/// Returns the error of the first text if none of the texts has an answer.
fn error_without_answer(answers: &[Answer]) -> Option<&ApiError> {
    let first = answers.first()?.0.as_ref().err()?;
    answers
        .iter()
        .all(|answer| answer.0.is_err())
        .then_some(first)
}

/// Delivers the answers to a message. This example only logs; add the code that forwards answers here.
///
/// Answers are not logged, because they can quote texts. The reason for each text without an answer is logged, because the queue
/// does not send the message again.
fn deliver(message_id: &str, answers: &[Answer]) {
    for (text, answer) in answers.iter().enumerate() {
        if let Err(error) = &answer.0 {
            let reason = error.logged();
            tracing::warn!(message_id, text, reason, "text without an answer");
        }
    }
    tracing::debug!(message_id, texts = answers.len(), "message answered");
}
