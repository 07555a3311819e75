//! An event in, a reply and a line of log out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use aws_lambda_events::sqs::SqsBatchResponse;
use bertless::Model;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::ask::{Limits, Question};
use crate::events::Event;
use crate::http::HttpResponse;
use crate::log;
use crate::predict::{Answer, Failure, answers};
use crate::refusal::Refusal;
use crate::sqs;

/// The function: a model, shared by all requests.
#[derive(Clone)]
pub struct Service(Arc<Shared>);

struct Shared {
    model: Model,
    limits: Limits,
    /// Whether no request has come yet.
    cold: AtomicBool,
}

/// What is sent back, in the shape that the event's sender reads.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Reply {
    Direct(Said),
    Http(HttpResponse),
    Sqs(SqsBatchResponse),
}

/// Answers to a question.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Said {
    One(Box<Answer>),
    Many { predictions: Vec<Answer> },
}

impl Service {
    pub fn new(model: Model, limits: Limits) -> Self {
        let cold = AtomicBool::new(true);
        Self(Arc::new(Shared {
            model,
            limits,
            cold,
        }))
    }

    pub fn model(&self) -> &Model {
        &self.0.model
    }

    /// Answers an event.
    ///
    /// # Errors
    /// What a direct caller is refused; senders of other events get a reply that says it.
    pub fn respond(&self, payload: &RawValue, request_id: &str) -> Result<Reply, Refusal> {
        let begin = Instant::now();
        let cold = self.0.cold.swap(false, Ordering::Relaxed);
        let mut line = log::Request {
            event: "unknown",
            status: 200,
            ..Default::default()
        };
        let reply = self.reply(payload, &mut line);
        if let Err(refusal) = &reply {
            line.status = refusal.status;
        }
        log::request(request_id, &line, begin, cold);
        reply
    }

    fn reply(&self, payload: &RawValue, line: &mut log::Request) -> Result<Reply, Refusal> {
        match Event::read(payload)? {
            Event::Direct(json) => {
                line.event = "direct";
                self.say(json, line).map(Reply::Direct)
            }
            Event::Http(request) => {
                line.event = "http";
                let said = request.body().and_then(|body| self.say(&body, line));
                let said = said.and_then(|said| json(&said));
                let (status, body) = match said {
                    Ok(body) => (200, body),
                    Err(refusal) => (refusal.status, json(&Failure { error: &refusal })?),
                };
                line.status = status;
                Ok(Reply::Http(request.response(status, body)))
            }
            Event::Sqs(event) => {
                line.event = "sqs";
                let answers = |questions: &[&Question]| self.answers(questions, line);
                Ok(Reply::Sqs(sqs::respond(&event, self.0.limits, answers)))
            }
        }
    }

    /// The answers to one question; a single text that cannot be answered is an error of the whole.
    fn say(&self, json: &str, line: &mut log::Request) -> Result<Said, Refusal> {
        let question = Question::read(json, self.0.limits)?;
        let mut answers = self.answers(&[&question], line);
        match (question, answers.pop()) {
            (Question::One(_), Some(answer)) => Ok(Said::One(Box::new(Answer(Ok(answer.0?))))),
            (_, last) => {
                answers.extend(last);
                Ok(Said::Many {
                    predictions: answers,
                })
            }
        }
    }

    /// The answers to all items of some questions, computed together, and counted.
    fn answers(&self, questions: &[&Question], line: &mut log::Request) -> Vec<Answer> {
        let items = questions.iter().flat_map(|question| question.items());
        let inputs: Vec<_> = items.map(|item| item.input(self.0.limits)).collect();
        let answers = answers(&self.0.model, inputs);
        line.texts = answers.len();
        for answer in &answers {
            match &answer.0 {
                Ok(prediction) => {
                    line.tokens += prediction.n_tokens();
                    line.truncated += usize::from(prediction.truncated());
                }
                Err(_) => line.failed += 1,
            }
        }
        answers
    }
}

fn json(value: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(value).map_err(|error| Refusal::failed(error.to_string()))
}
