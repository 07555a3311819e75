//! Messages of a queue: each asks one question, and goes back to the queue alone if it cannot be answered.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};

use crate::ask::{Limits, Question};
use crate::predict::Answer;
use crate::refusal::Refusal;

/// Answers a batch. All its questions are computed together; `answers` gets their items in order.
///
/// Of a FIFO queue, nothing behind a message that fails is delivered, since order is what such a queue is for.
pub fn respond(
    event: &SqsEvent,
    limits: Limits,
    answers: impl FnOnce(&[&Question]) -> Vec<Answer>,
) -> SqsBatchResponse {
    let read = |body: &Option<String>| Question::read(body.as_deref().unwrap_or_default(), limits);
    let questions: Vec<_> = event
        .records
        .iter()
        .map(|record| read(&record.body))
        .collect();
    let good: Vec<&Question> = questions
        .iter()
        .filter_map(|question| question.as_ref().ok())
        .collect();
    let mut answers = answers(&good).into_iter();

    let mut response = SqsBatchResponse::default();
    let mut stopped = false;
    for (record, question) in event.records.iter().zip(questions) {
        let id = record.message_id.clone().unwrap_or_default();
        let own = question.map(|question| {
            answers
                .by_ref()
                .take(question.items().len())
                .collect::<Vec<_>>()
        });
        let refusal = match &own {
            Err(refusal) => Some(refusal),
            Ok(own) => own.iter().find_map(|answer| answer.0.as_ref().err()),
        };
        match (refusal, &own) {
            (None, Ok(own)) if !stopped => deliver(&id, own),
            (refusal, _) => {
                let status = refusal.map_or(424, |refusal| refusal.status);
                let reason =
                    refusal.map_or("a message before it failed", |refusal| &refusal.reason);
                tracing::warn!(message_id = id, status, reason, "message goes back");
                let fifo = record
                    .event_source_arn
                    .as_deref()
                    .is_some_and(|arn| arn.ends_with(".fifo"));
                stopped |= fifo;
                response.add_failure(id);
            }
        }
    }
    response
}

/// What is done with the answers to a message: here they go to the log. This is the place to send them on.
fn deliver(message_id: &str, answers: &[Answer]) {
    let answers = serde_json::to_string(answers)
        .unwrap_or_else(|error| Refusal::failed(error.to_string()).reason);
    tracing::info!(message_id, answers, "message answered");
}
