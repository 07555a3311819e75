//! Any bytes as an event of one of the wrappers in `examples/`: a refusal whose reason is short, or questions within the limits.
//!
//! The first byte chooses the wrapper. For Cloud Run the second one chooses headers, and the first line of what follows is the
//! value of those that are free. The wrappers are programs, so their files are compiled into this target.
#![no_main]
#![allow(dead_code, reason = "the wrappers' replies are not read here")]

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bertless_questions::{Asked, Limits, Question, Refusal, parse};
use libfuzzer_sys::fuzz_target;

#[path = "../../examples/cloud-run/src/events.rs"]
mod cloud_run;
#[path = "../../examples/lambda/src/events.rs"]
mod events;
#[path = "../../examples/lambda/src/http.rs"]
mod http;
#[path = "../../examples/lambda/src/sqs.rs"]
mod sqs;

/// Stands for the function's file of this name, which needs the client of AWS Lambda.
mod refusal {
    pub(crate) fn phrase(_: u16) -> &'static str {
        "a status"
    }
}

const LIMITS: Limits = Limits {
    body: 2_000,
    texts: 8,
    text: 200,
};
/// The longest reason of a refusal: a caller's text must not stand in a log, nor come back as a whole.
const REASON: usize = 600;
const TYPES: [&str; 7] = [
    "",
    "application/json",
    "text/plain",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/cloudevents+avro",
    "application/octet-stream",
];
const ATTRIBUTES: [&str; 5] = ["specversion", "id", "source", "type", "datacontenttype"];

fn check(question: &Result<Question, Refusal>) {
    match question {
        Ok(Question::Text(text)) => within(&[text]),
        Ok(Question::Pair(first, second)) => within(&[first, second]),
        Err(refusal) => refused(refusal),
    }
}

fn within(texts: &[&str]) {
    assert!(texts.iter().all(|text| !text.trim().is_empty()));
    assert!(texts.iter().map(|text| text.len()).sum::<usize>() <= LIMITS.text);
}

fn refused(refusal: &Refusal) {
    assert!((400..500).contains(&refusal.status), "{refusal:?}");
    assert!(refusal.reason.len() <= REASON, "{refusal:?}");
}

fn asked(asked: Result<Asked, Refusal>) {
    match asked {
        Ok(asked) => {
            assert!((1..=LIMITS.texts).contains(&asked.questions.len()));
            assert!(asked.many || asked.questions.len() == 1);
            asked.questions.iter().for_each(check);
        }
        Err(refusal) => refused(&refusal),
    }
}

fn lambda(event: &str) {
    match events::Event::read(event) {
        Ok(events::Event::Direct(question)) => asked(parse(question.as_bytes(), &LIMITS)),
        Ok(events::Event::Http(request)) => match request.body() {
            Ok(body) => asked(parse(&body, &LIMITS)),
            Err(refusal) => refused(&refusal),
        },
        Ok(events::Event::Sqs(event)) => {
            for message in &event.messages {
                sqs::read(message, &LIMITS).iter().for_each(check);
            }
        }
        Err(refusal) => refused(&refusal),
    }
}

/// The low three bits say the content type, the others which attributes have headers.
fn headers(which: u8, value: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let kind = TYPES[usize::from(which & 7) % TYPES.len()];
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let free = HeaderValue::from_bytes(value);
    for (bit, name) in ATTRIBUTES.iter().enumerate() {
        if which & 8 << bit != 0 {
            let name = HeaderName::from_bytes(format!("ce-{name}").as_bytes()).unwrap();
            let value = match (bit, &free) {
                (0, Ok(value)) if value.is_empty() => HeaderValue::from_static("1.0"),
                (_, Ok(value)) => value.clone(),
                (_, Err(_)) => HeaderValue::from_static("1.0"),
            };
            headers.insert(name, value);
        }
    }
    headers
}

fn cloud_run(which: u8, rest: &[u8]) {
    let end = rest.iter().position(|&byte| byte == b'\n');
    let (value, body) = rest.split_at(end.unwrap_or(0));
    let headers = headers(which, value);
    let _ = (cloud_run::are_of_event(&headers), cloud_run::is_push(body));
    match cloud_run::read(&headers, body, &LIMITS) {
        Ok(event) => {
            assert!(!event.id.is_empty());
            asked(Ok(event.asked));
        }
        Err(refusal) => refused(&refusal),
    }
}

fuzz_target!(|data: &[u8]| {
    match data {
        [0, event @ ..] => {
            // What the runtime hands over is a JSON value, with nothing around it.
            if let Ok(event) = serde_json::from_slice::<&serde_json::value::RawValue>(event) {
                lambda(event.get());
            }
        }
        [1, which, rest @ ..] => cloud_run(*which, rest),
        [_, body @ ..] => asked(parse(body, &LIMITS)),
        [] => {}
    }
});
