//! Parses arbitrary bytes as an event of one of the wrappers in `examples/`. Parsing must return an error with a short reason, or
//! questions within the limits.
//!
//! The first byte selects the wrapper. For Cloud Run the second byte selects the headers, and the line after it is the value of the
//! headers that may have any value. The wrappers are programs, so this target compiles their source files itself.
#![no_main]
#![allow(dead_code, reason = "this target does not use the wrappers' replies")]

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
/// Maximum length of an error's reason, in bytes.
const MAX_REASON: usize = 400;
/// Text in the seeds that no reason may contain, because reasons are logged. It has a space, so it is not a name, which a reason may
/// quote.
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

fn check_question(question: &Result<Question, ApiError>) {
    match question {
        Ok(Question::Text(text)) => check_limits(&[text]),
        Ok(Question::Pair(first, second)) => check_limits(&[first, second]),
        Err(error) => check_error(error),
    }
}

fn check_limits(texts: &[&str]) {
    assert!(texts.iter().all(|text| !text.trim().is_empty()));
    assert!(texts.iter().map(|text| text.len()).sum::<usize>() <= LIMITS.text);
}

fn check_error(error: &ApiError) {
    assert!((400..500).contains(&error.status), "{error:?}");
    assert!(error.reason.len() <= MAX_REASON, "{error:?}");
    assert!(!error.reason.contains(PRIVATE), "{error:?}");
    assert_eq!(error.detail, None);
}

fn check_request(request: Result<PredictRequest, ApiError>) {
    match request {
        Ok(request) => {
            assert!((1..=LIMITS.texts).contains(&request.questions.len()));
            assert!(request.many || request.questions.len() == 1);
            request.questions.iter().for_each(check_question);
        }
        Err(error) => check_error(&error),
    }
}

fn lambda(event: &[u8]) {
    match events::Event::read(event) {
        Ok(events::Event::Direct(question)) => check_request(parse(question.as_bytes(), &LIMITS)),
        Ok(events::Event::Ping) => {}
        Ok(events::Event::Http(request)) => http(&request),
        Ok(events::Event::Sqs(event)) => {
            for message in &event.messages {
                sqs::read(message, &LIMITS).iter().for_each(check_question);
            }
        }
        Err(error) => check_error(&error),
    }
}

fn http(request: &http::HttpRequest) {
    if let Err(error) = request.wants() {
        check_error(&error);
    }
    match request.body(LIMITS.body) {
        Ok(body) => check_request(parse(&body, &LIMITS)),
        Err(error) => check_error(&error),
    }
    let origin = request.header("origin").unwrap_or_default();
    let requested = request.header("access-control-request-headers");
    let allowed = Cors::Any.preflight(origin, requested.unwrap_or_default());
    let response = request.response(200, allowed.unwrap_or_default(), String::new());
    serde_json::to_vec(&response).unwrap();
}

/// Builds headers. The low three bits of `which` select the content type, the others the names of [`NAMES`] that are present.
fn headers(which: u8, value: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let kind = TYPES[usize::from(which & 7) % TYPES.len()];
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (bit, name) in NAMES.iter().enumerate() {
        if which & 8 << bit != 0 {
            let value = match HeaderValue::from_bytes(value) {
                // The default value is the supported version of CloudEvents.
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
            check_request(Ok(event.request));
        }
        Err(error) => check_error(&error),
    }
}

fn coded(which: u8, body: &[u8]) {
    let coding = CODINGS[usize::from(which) % CODINGS.len()];
    match decoded(Cow::Borrowed(body), coding, LIMITS.body) {
        Ok(body) => check_request(parse(&body, &LIMITS)),
        Err(error) => check_error(&error),
    }
}

fuzz_target!(|data: &[u8]| {
    match data {
        [0, event @ ..] => lambda(event),
        [1, which, rest @ ..] => cloud_run(*which, rest),
        [2, which, body @ ..] => coded(*which, body),
        [_, body @ ..] => check_request(parse(body, &LIMITS)),
        [] => {}
    }
});
