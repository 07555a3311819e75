//! An event in, a reply and a line of log out.

use std::sync::atomic::{AtomicBool, Ordering};

use bertless::Model;
use bertless_questions::{Answer, Asked, Refusal, Refused, answers, parse};
use serde::Serialize;

use crate::events::Event;
use crate::http::{HttpRequest, HttpResponse, Wants};
use crate::log::Record;
use crate::settings::Settings;
use crate::sqs::{self, SqsBatchResponse, SqsMessage};

/// The function: a model, shared by all requests.
pub(crate) struct Service {
    model: Model,
    settings: Settings,
    /// Whether no request has come yet.
    cold: AtomicBool,
}

/// What is sent back, in the shape that the event's sender reads.
#[derive(Serialize)]
#[serde(untagged)]
enum Reply {
    Direct(Said),
    Warm(Health),
    Http(HttpResponse),
    Sqs(SqsBatchResponse),
}

/// Answers to a question.
#[derive(Serialize)]
#[serde(untagged)]
enum Said {
    One(Box<Answer>),
    Many { predictions: Vec<Answer> },
}

/// `{"status": "ok"}`: the reply to pings and health checks.
#[derive(Serialize)]
struct Health {
    status: &'static str,
}

const HEALTHY: Health = Health { status: "ok" };

impl Service {
    pub(crate) fn new(model: Model, settings: Settings) -> Self {
        Self {
            model,
            settings,
            cold: AtomicBool::new(true),
        }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Answers an event; returns the reply as JSON.
    ///
    /// # Errors
    /// The refusal of a direct invocation. To other events a refusal is a reply like others.
    pub(crate) fn respond(&self, event: &[u8], request_id: &str) -> Result<Vec<u8>, Refusal> {
        let mut record = Record::new(self.cold.swap(false, Ordering::Relaxed));
        let reply = self.reply(event, &mut record);
        if let Err(refusal) = &reply {
            record.refused(refusal);
        }
        record.write(request_id);
        reply
    }

    fn reply(&self, event: &[u8], record: &mut Record) -> Result<Vec<u8>, Refusal> {
        let reply = match Event::read(event)? {
            Event::Direct(question) => Reply::Direct(self.say(question.as_bytes(), record)?),
            Event::Ping => {
                record.source = "ping";
                Reply::Warm(HEALTHY)
            }
            Event::Http(request) => Reply::Http(self.http(&request, record)?),
            Event::Sqs(event) => Reply::Sqs(self.sqs(&event.messages, record)),
        };
        json(&reply)
    }

    fn http(&self, request: &HttpRequest, record: &mut Record) -> Result<HttpResponse, Refusal> {
        record.asked_by_http(request.method(), request.path());
        let settings = &self.settings;
        let origin = request.header("origin").unwrap_or_default();
        let answered = match request.wants() {
            Ok(Wants::Answers) => request
                .body(settings.limits.body)
                .and_then(|body| json(&self.say(&body, record)?)),
            Ok(Wants::Health) => json(&HEALTHY),
            Ok(Wants::Preflight) => {
                let headers = request.header("access-control-request-headers");
                match settings.cors.preflight(origin, headers.unwrap_or_default()) {
                    Ok(headers) => {
                        record.status = 204;
                        return Ok(request.response(204, headers, String::new()));
                    }
                    Err(refusal) => Err(refusal),
                }
            }
            Err(refusal) => Err(refusal),
        };
        let body = answered.or_else(|refusal| {
            record.refused(&refusal);
            json(&Refused { error: &refusal })
        })?;
        let body = String::from_utf8(body).map_err(|error| Refusal::failed(error.to_string()))?;
        Ok(request.response(record.status, settings.cors.headers(origin), body))
    }

    /// All messages are computed together.
    fn sqs(&self, messages: &[SqsMessage], record: &mut Record) -> SqsBatchResponse {
        record.source = "sqs";
        let limits = &self.settings.limits;
        let asked: Vec<_> = messages
            .iter()
            .map(|message| sqs::read(message, limits))
            .collect();
        let counts: Vec<usize> = asked.iter().map(Vec::len).collect();
        let answers = answers(&self.model, asked.into_iter().flatten().collect());
        record.count(&answers);
        let mut answers = answers.into_iter();
        let own = |count| answers.by_ref().take(count).collect();
        let answered: Vec<Vec<Answer>> = counts.into_iter().map(own).collect();
        sqs::respond(messages, &answered)
    }

    /// The answers to one question; a single text that cannot be answered is an error of the whole.
    fn say(&self, body: &[u8], record: &mut Record) -> Result<Said, Refusal> {
        let Asked { questions, many } = parse(body, &self.settings.limits)?;
        let mut answers = answers(&self.model, questions);
        record.count(&answers);
        match many {
            true => Ok(Said::Many {
                predictions: answers,
            }),
            false => {
                let answer = answers.pop().ok_or_else(Refusal::lost)?;
                Ok(Said::One(Box::new(Answer(Ok(answer.0?)))))
            }
        }
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(value).map_err(|error| Refusal::failed(error.to_string()))
}
