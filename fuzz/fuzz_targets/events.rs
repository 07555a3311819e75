//! Any bytes as an event of one of the wrappers in `examples/`: a refusal whose reason is short, or questions within the limits.
//!
//! The first byte chooses the wrapper. For Cloud Run the second one chooses headers, and the first line of what follows is the
//! value of those that are free. The wrappers are programs, so their files are compiled into this target.
#![no_main]
#![allow(dead_code, reason = "the wrappers' replies are not read here")]

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bertless_questions::{ApiError, Cors, Limits, PredictRequest, Question, decoded, parse};
use libfuzzer_sys::fuzz_target;

#[path = "../../examples/cloud-run/src/events.rs"]
mod cloud_run;
#[path = "../../examples/lambda/src/events.rs"]
mod events;
#[path = "../../examples/lambda/src/http.rs"]
mod http;
#[path = "../../examples/lambda/src/sqs.rs"]
mod sqs;
#[path = "../../examples/lambda/src/status.rs"]
mod status;

const LIMITS: Limits = Limits {
    body: 2_000,
    texts: 8,
    text: 200,
};
/// Longest reason of a refusal.
const REASON: usize = 400;
/// Part of texts in the seeds that no reason may hold: reasons stand in logs. It has a space, so it is no name of anything.
const PRIVATE: &str = "PRIVATE words";
const TYPES: [&str; 7] = [
    "",
    "application/json",
    "text/plain",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/cloudevents+avro",
    "application/octet-stream",
];
const NAMES: [&str; 5] = [
    "ce-specversion",
    "ce-id",
    "ce-source",
    "ce-type",
    "x-goog-pubsub-message-id",
];
const CODINGS: [&str; 4] = ["gzip", "deflate", "", "br"];

fn check(question: &Result<Question, ApiError>) {
    match question {
        Ok(Question::Text(text)) => within(&[text]),
        Ok(Question::Pair(first, second)) => within(&[first, second]),
        Err(error) => refused(error),
    }
}

fn within(texts: &[&str]) {
    assert!(texts.iter().all(|text| !text.trim().is_empty()));
    assert!(texts.iter().map(|text| text.len()).sum::<usize>() <= LIMITS.text);
}

fn refused(error: &ApiError) {
    assert!((400..500).contains(&error.status), "{error:?}");
    assert!(error.reason.len() <= REASON, "{error:?}");
    assert!(!error.reason.contains(PRIVATE), "{error:?}");
    assert_eq!(error.detail, None);
}

fn asked(asked: Result<PredictRequest, ApiError>) {
    match asked {
        Ok(asked) => {
            assert!((1..=LIMITS.texts).contains(&asked.questions.len()));
            assert!(asked.many || asked.questions.len() == 1);
            asked.questions.iter().for_each(check);
        }
        Err(error) => refused(&error),
    }
}

fn lambda(event: &[u8]) {
    match events::Event::read(event) {
        Ok(events::Event::Direct(question)) => asked(parse(question.as_bytes(), &LIMITS)),
        Ok(events::Event::Ping) => {}
        Ok(events::Event::Http(request)) => http(&request),
        Ok(events::Event::Sqs(event)) => {
            for message in &event.messages {
                sqs::read(message, &LIMITS).iter().for_each(check);
            }
        }
        Err(error) => refused(&error),
    }
}

fn http(request: &http::HttpRequest) {
    if let Err(error) = request.wants() {
        refused(&error);
    }
    match request.body(LIMITS.body) {
        Ok(body) => asked(parse(&body, &LIMITS)),
        Err(error) => refused(&error),
    }
    let origin = request.header("origin").unwrap_or_default();
    let requested = request.header("access-control-request-headers");
    let allowed = Cors::Any.preflight(origin, requested.unwrap_or_default());
    let response = request.response(200, allowed.unwrap_or_default(), String::new());
    serde_json::to_vec(&response).unwrap();
}

/// The low three bits say the content type, the others which of [`NAMES`] have headers.
fn headers(which: u8, value: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let kind = TYPES[usize::from(which & 7) % TYPES.len()];
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (bit, name) in NAMES.iter().enumerate() {
        if which & 8 << bit != 0 {
            let value = match HeaderValue::from_bytes(value) {
                // Without a value of their own all have this, which is also the version that is understood.
                Ok(value) if !value.is_empty() => value,
                _ => HeaderValue::from_static("1.0"),
            };
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

fn cloud_run(which: u8, rest: &[u8]) {
    let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    let (value, body) = rest.split_at(end);
    let headers = headers(which, value);
    let _ = (cloud_run::are_of_event(&headers), cloud_run::is_push(body));
    match cloud_run::read(&headers, body, &LIMITS) {
        Ok(event) => {
            assert_ne!(event.id.as_deref(), Some(""));
            asked(Ok(event.asked));
        }
        Err(error) => refused(&error),
    }
}

fn coded(which: u8, body: &[u8]) {
    let coding = CODINGS[usize::from(which) % CODINGS.len()];
    match decoded(Cow::Borrowed(body), coding, LIMITS.body) {
        Ok(body) => asked(parse(&body, &LIMITS)),
        Err(error) => refused(&error),
    }
}

fuzz_target!(|data: &[u8]| {
    match data {
        [0, event @ ..] => lambda(event),
        [1, which, rest @ ..] => cloud_run(*which, rest),
        [2, which, body @ ..] => coded(*which, body),
        [_, body @ ..] => asked(parse(body, &LIMITS)),
        [] => {}
    }
});
