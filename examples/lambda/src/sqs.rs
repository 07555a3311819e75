//! Messages of a queue: each asks one question, and goes back to the queue alone if it cannot be answered.

use bertless_questions::{self as questions, Answer, Asked, Limits, Question, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The part of a batch that matters here.
#[derive(Deserialize)]
pub(crate) struct SqsEvent {
    #[serde(rename = "Records")]
    pub(crate) messages: Vec<SqsMessage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SqsMessage {
    message_id: String,
    /// A text; whatever else it is, it is this message's fault alone.
    #[serde(default)]
    body: Value,
    /// The queue.
    #[serde(rename = "eventSourceARN")]
    queue: Option<String>,
}

/// The messages that go back; the queue forgets all others. AWS reads it only if the function's event source mapping has
/// `ReportBatchItemFailures`.
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

/// Reads what a message asks: a question's JSON, or a text if it does not begin with `{`. Either may be in an envelope of SNS. A
/// message that cannot be read counts as one text that cannot be answered.
pub(crate) fn read(message: &SqsMessage, limits: &Limits) -> Vec<Result<Question, Refusal>> {
    let asked = match &message.body {
        Value::String(body) => asked(body, limits),
        _ => Err(Refusal::malformed("the message's body is not a text")),
    };
    match asked {
        Ok(asked) => asked.questions,
        Err(refusal) => vec![Err(refusal)],
    }
}

fn asked(body: &str, limits: &Limits) -> Result<Asked, Refusal> {
    if !body.trim_start().starts_with('{') {
        return questions::text(body.to_owned(), limits);
    }
    if body.len() > limits.body {
        return Err(Refusal::body_too_large(limits.body));
    }
    let json = questions::json(body.as_bytes(), "the body")?;
    match sns_message(&json)? {
        // Opened once: what a topic carries is in no further envelope.
        Some(message) if message.trim_start().starts_with('{') => {
            questions::parse(message.as_bytes(), limits)
        }
        Some(message) => questions::text(message.to_owned(), limits),
        None => questions::read(json, limits),
    }
}

/// Message in an envelope of SNS, which a topic puts around it unless the subscription has `RawMessageDelivery`. Returns `None` if
/// there is no envelope. The signature is not checked: the queue's policy says who may write into it.
///
/// # Errors
/// 422 for a request to confirm a subscription.
fn sns_message(json: &Value) -> Result<Option<&str>, Refusal> {
    let text = |key: &str| json.get(key).and_then(Value::as_str);
    match (text("Type"), text("Message")) {
        (Some("Notification"), message) => Ok(message),
        (Some("SubscriptionConfirmation" | "UnsubscribeConfirmation"), _) => Err(
            Refusal::unanswerable("SNS asks to confirm a subscription: that is for its owner"),
        ),
        _ => Ok(None),
    }
}

/// Which messages go back, by the answers of each: those of whose texts none has one. Of a FIFO queue all behind such a one
/// go back as well, since order is what such a queue is for.
pub(crate) fn respond(messages: &[SqsMessage], answered: &[Vec<Answer>]) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    let mut stopped = false;
    for (message, answers) in messages.iter().zip(answered) {
        let id = &message.message_id;
        let reason = match nothing_in(answers) {
            Some(refusal) => refusal.logged(),
            None if stopped => "a message before it failed",
            None => {
                deliver(id, answers);
                continue;
            }
        };
        tracing::warn!(message_id = id, reason, "message goes back");
        let queue = message.queue.as_deref().unwrap_or_default();
        stopped |= queue.ends_with(".fifo");
        response.batch_item_failures.push(BatchItemFailure {
            item_identifier: id.clone(),
        });
    }
    response
}

/// Why, if no text has an answer.
fn nothing_in(answers: &[Answer]) -> Option<&Refusal> {
    let first = answers.first()?.0.as_ref().err()?;
    answers
        .iter()
        .all(|answer| answer.0.is_err())
        .then_some(first)
}

/// Takes the answers to a message. A function of your own would send them on from here.
///
/// The log has no answers, since answers can quote texts. It has the reason for each text without one: the message does not come
/// again.
fn deliver(message_id: &str, answers: &[Answer]) {
    for (text, answer) in answers.iter().enumerate() {
        if let Err(refusal) = &answer.0 {
            let reason = refusal.logged();
            tracing::warn!(message_id, text, reason, "text without an answer");
        }
    }
    tracing::debug!(message_id, texts = answers.len(), "message answered");
}
