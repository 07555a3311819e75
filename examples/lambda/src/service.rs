//! Answers events: returns the reply to each and writes its log line.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bertless::{Model, PredictOptions};
use bertless_questions::{Answer, ApiError, ErrorBody, PredictRequest, answers, parse};
use serde::Serialize;

use crate::events::Event;
use crate::http::{HttpRequest, HttpResponse, Wants};
use crate::log::Record;
use crate::settings::Settings;
use crate::sqs::{self, SqsBatchResponse, SqsMessage};

/// Time between the end of the computation and the invocation's deadline, for sending the reply.
const REPLY_TIME: Duration = Duration::from_millis(100);

/// State that all requests share: the model and the settings.
pub(crate) struct Service {
    model: Model,
    settings: Settings,
    /// Whether no request has arrived yet.
    cold: AtomicBool,
}

/// Reply to an event, in the shape that its sender reads.
#[derive(Serialize)]
#[serde(untagged)]
enum Reply {
    Direct(PredictResponse),
    Warm(Health),
    Http(HttpResponse),
    Sqs(SqsBatchResponse),
}

/// Response to a request for predictions: one answer or a list.
#[derive(Serialize)]
#[serde(untagged)]
enum PredictResponse {
    One(Box<Answer>),
    Many { predictions: Vec<Answer> },
}

/// Reply to pings and health checks: `{"status": "ok"}`.
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

    /// Answers an event and returns the reply as JSON. A text that is not computed [`REPLY_TIME`] before `deadline` gets an error,
    /// so that the caller receives the answers to the other texts before AWS ends the invocation.
    ///
    /// # Errors
    /// The error of a direct invocation, or of an event that cannot be read. For other events an error is part of the reply.
    pub(crate) fn respond(
        &self,
        event: &[u8],
        request_id: &str,
        deadline: Option<Instant>,
    ) -> Result<Vec<u8>, ApiError> {
        let mut record = Record::new(self.cold.swap(false, Ordering::Relaxed));
        let mut options = self.model.predict_options().clone();
        if let Some(deadline) = deadline.and_then(|deadline| deadline.checked_sub(REPLY_TIME)) {
            options = options.deadline(deadline);
        }
        let reply = self.reply(event, &options, &mut record);
        if let Err(error) = &reply {
            record.refused(error);
        }
        record.write(request_id);
        reply
    }

    fn reply(
        &self,
        event: &[u8],
        options: &PredictOptions,
        record: &mut Record,
    ) -> Result<Vec<u8>, ApiError> {
        let reply = match Event::read(event)? {
            Event::Direct(question) => {
                Reply::Direct(self.predict(question.as_bytes(), options, record)?)
            }
            Event::Ping => {
                record.source = "ping";
                Reply::Warm(HEALTHY)
            }
            Event::Http(request) => Reply::Http(self.http(&request, options, record)?),
            Event::Sqs(event) => Reply::Sqs(self.sqs(&event.messages, options, record)),
        };
        json(&reply)
    }

    fn http(
        &self,
        request: &HttpRequest,
        options: &PredictOptions,
        record: &mut Record,
    ) -> Result<HttpResponse, ApiError> {
        record.http(request.method(), request.path());
        let settings = &self.settings;
        let origin = request.header("origin").unwrap_or_default();
        let answered = match request.wants() {
            Ok(Wants::Answers) => request
                .body(settings.limits.body)
                .and_then(|body| json(&self.predict(&body, options, record)?)),
            Ok(Wants::Health) => json(&HEALTHY),
            Ok(Wants::Preflight) => {
                let headers = request.header("access-control-request-headers");
                match settings.cors.preflight(origin, headers.unwrap_or_default()) {
                    Ok(headers) => {
                        record.status = 204;
                        return Ok(request.response(204, headers, String::new()));
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        let body = answered.or_else(|error| {
            record.refused(&error);
            json(&ErrorBody { error: &error })
        })?;
        let body = String::from_utf8(body).map_err(|error| ApiError::failed(error.to_string()))?;
        Ok(request.response(record.status, settings.cors.headers(origin), body))
    }

    /// Answers a batch of messages. The model computes the texts of all messages together.
    fn sqs(
        &self,
        messages: &[SqsMessage],
        options: &PredictOptions,
        record: &mut Record,
    ) -> SqsBatchResponse {
        record.source = "sqs";
        let limits = &self.settings.limits;
        let questions: Vec<_> = messages
            .iter()
            .map(|message| sqs::read(message, limits))
            .collect();
        let counts: Vec<usize> = questions.iter().map(Vec::len).collect();
        let answers = answers(
            &self.model,
            questions.into_iter().flatten().collect(),
            options,
        );
        record.count(&answers);
        let mut answers = answers.into_iter();
        let take = |count| answers.by_ref().take(count).collect();
        let answered: Vec<Vec<Answer>> = counts.into_iter().map(take).collect();
        sqs::respond(messages, &answered)
    }

    /// Answers the request in `body`. If the request is a single text, an error of that text is returned as the error.
    fn predict(
        &self,
        body: &[u8],
        options: &PredictOptions,
        record: &mut Record,
    ) -> Result<PredictResponse, ApiError> {
        let PredictRequest { questions, many } = parse(body, &self.settings.limits)?;
        let mut answers = answers(&self.model, questions, options);
        record.count(&answers);
        if many {
            Ok(PredictResponse::Many {
                predictions: answers,
            })
        } else {
            let answer = answers.pop().ok_or_else(ApiError::lost)?;
            Ok(PredictResponse::One(Box::new(Answer(Ok(answer.0?)))))
        }
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| ApiError::failed(error.to_string()))
}
