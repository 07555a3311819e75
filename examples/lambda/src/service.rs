//! An event in, a reply and a line of log out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bertless::Model;
use bertless_questions::{Answer, Asked, Refusal, Refused, answers, parse};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::events::Event;
use crate::http::{HttpRequest, HttpResponse};
use crate::log::Record;
use crate::settings::Settings;
use crate::sqs::{self, SqsBatchResponse, SqsMessage};

/// The function: a model, shared by all requests.
#[derive(Clone)]
pub(crate) struct Service(Arc<Shared>);

struct Shared {
    model: Model,
    settings: Settings,
    /// Whether no request has come yet.
    cold: AtomicBool,
}

/// What is sent back, in the shape that the event's sender reads.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Reply {
    Direct(Said),
    Http(HttpResponse),
    Sqs(SqsBatchResponse),
}

/// Answers to a question.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Said {
    One(Box<Answer>),
    Many { predictions: Vec<Answer> },
}

impl Service {
    pub(crate) fn new(model: Model, settings: Settings) -> Self {
        let cold = AtomicBool::new(true);
        Self(Arc::new(Shared {
            model,
            settings,
            cold,
        }))
    }

    pub(crate) fn model(&self) -> &Model {
        &self.0.model
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Answers an event.
    ///
    /// # Errors
    /// What a direct caller is refused; senders of other events get a reply that says it.
    pub(crate) fn respond(&self, event: &RawValue, request_id: &str) -> Result<Reply, Refusal> {
        let mut record = Record::new(self.0.cold.swap(false, Ordering::Relaxed));
        let reply = self.reply(event.get(), &mut record);
        if let Err(refusal) = &reply {
            record.refused(refusal);
        }
        record.write(request_id);
        reply
    }

    fn reply(&self, event: &str, record: &mut Record) -> Result<Reply, Refusal> {
        match Event::read(event)? {
            Event::Direct(question) => self.say(question.as_bytes(), record).map(Reply::Direct),
            Event::Http(request) => self.http(&request, record).map(Reply::Http),
            Event::Sqs(event) => Ok(Reply::Sqs(self.sqs(&event.messages, record))),
        }
    }

    fn http(&self, request: &HttpRequest, record: &mut Record) -> Result<HttpResponse, Refusal> {
        record.source = "http";
        record.method = request.method().map(str::to_owned);
        record.path = request.path().map(str::to_owned);
        let said = request.body().and_then(|body| self.say(&body, record));
        let body = said.and_then(|said| json(&said)).or_else(|refusal| {
            record.refused(&refusal);
            json(&Refused { error: &refusal })
        })?;
        Ok(request.response(record.status, body))
    }

    /// All messages are computed together.
    fn sqs(&self, messages: &[SqsMessage], record: &mut Record) -> SqsBatchResponse {
        record.source = "sqs";
        let limits = &self.0.settings.limits;
        let asked: Vec<_> = messages
            .iter()
            .map(|message| sqs::read(message, limits))
            .collect();
        let counts: Vec<usize> = asked.iter().map(Vec::len).collect();
        let answers = answers(&self.0.model, asked.into_iter().flatten().collect());
        record.count(&answers);
        let mut answers = answers.into_iter();
        let own = |count| answers.by_ref().take(count).collect();
        let answered: Vec<Vec<Answer>> = counts.into_iter().map(own).collect();
        sqs::respond(messages, &answered)
    }

    /// The answers to one question; a single text that cannot be answered is an error of the whole.
    fn say(&self, body: &[u8], record: &mut Record) -> Result<Said, Refusal> {
        let Asked { questions, many } = parse(body, &self.0.settings.limits)?;
        let mut answers = answers(&self.0.model, questions);
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

fn json(value: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(value).map_err(|error| Refusal::failed(error.to_string()))
}
