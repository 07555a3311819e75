//! Messages of a queue: each asks one question, and goes back to the queue alone if it cannot be answered.

use bertless_questions::{self as questions, Answer, Limits, Question, Refusal};
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

/// What a message asks: a question's JSON, or a text if it does not begin with `{`. One that cannot be read is a text that
/// cannot be answered.
pub(crate) fn read(message: &SqsMessage, limits: &Limits) -> Vec<Result<Question, Refusal>> {
    let asked = match &message.body {
        Value::String(body) if body.trim_start().starts_with('{') => {
            questions::parse(body.as_bytes(), limits)
        }
        Value::String(body) => questions::text(body.clone(), limits),
        _ => Err(Refusal::malformed("the message's body is not a text")),
    };
    match asked {
        Ok(asked) => asked.questions,
        Err(refusal) => vec![Err(refusal)],
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
            Some(refusal) => &refusal.reason,
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

/// What is done with the answers to a message: a function of your own would send them on from here. Answers can quote texts,
/// so they are written to the log only if the function is configured to log details. Texts without an answer do not come again,
/// so why they have none is said in any case.
fn deliver(message_id: &str, answers: &[Answer]) {
    for (text, answer) in answers.iter().enumerate() {
        if let Err(Refusal { reason, .. }) = &answer.0 {
            tracing::warn!(message_id, text, reason, "text without an answer");
        }
    }
    if tracing::enabled!(tracing::Level::DEBUG) {
        let predictions = serde_json::to_string(answers).unwrap_or_else(|error| error.to_string());
        tracing::debug!(message_id, predictions, "message answered");
    }
}
