//! Shapes of events: direct invocations, pings, HTTP, queues.

use std::borrow::Cow;

use bertless::replace_lone_surrogates;
use bertless_questions::{ApiError, named};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::error::Category;

use crate::http::HttpRequest;
use crate::sqs::SqsEvent;

/// Event, parsed by its shape.
pub(crate) enum Event<'a> {
    /// Direct invocation: the event is the request itself.
    Direct(Cow<'a, str>),
    /// Ping that keeps the function warm, or the tick of a schedule. It contains no request.
    Ping,
    /// HTTP request from API Gateway (payload 1.0 or 2.0), a function URL or a load balancer.
    Http(HttpRequest),
    /// Batch of messages from an SQS queue.
    Sqs(SqsEvent),
}

/// Keys that distinguish the shapes. Other keys may have any value.
#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "requestContext")]
    context: Option<IgnoredAny>,
    #[serde(rename = "Records")]
    records: Option<Vec<Source>>,
    text: Option<IgnoredAny>,
    texts: Option<IgnoredAny>,
    question: Option<IgnoredAny>,
    #[serde(default)]
    warmer: Value,
    #[serde(default)]
    source: Value,
    #[serde(default, rename = "detail-type")]
    detail_type: Value,
}

#[derive(Deserialize)]
struct Source {
    #[serde(rename = "eventSource", alias = "EventSource")]
    name: Option<String>,
}

impl<'a> Event<'a> {
    /// Parses an event and determines its shape by its keys.
    ///
    /// # Errors
    /// 400 if it is not JSON, 422 for an event of an unsupported service.
    pub(crate) fn read(event: &'a [u8]) -> Result<Self, ApiError> {
        let text = str::from_utf8(event)
            .map_err(|error| ApiError::malformed(format!("the event is not UTF-8: {error}")))?;
        // Replaced before any parsing, so that a lone surrogate in one text does not fail the other texts.
        let json = replace_lone_surrogates(text);
        if is_empty(&json) {
            return Ok(Self::Ping);
        }
        // Only an object has a shape. The parser of direct requests reports anything else.
        if !json.trim_start().starts_with('{') {
            return Ok(Self::Direct(json));
        }
        let shape: Shape = serde_json::from_str(&json).map_err(unread)?;
        if shape.context.is_some() {
            let request: HttpRequest = serde_json::from_str(&json).map_err(unread)?;
            // An event with a context and without a method is not an HTTP request, for example the record of another
            // function's failure. Its sender reads no HTTP response, so the error fails the invocation.
            return match request.method() {
                Some(_) => Ok(Self::Http(request)),
                None => Err(ApiError::unanswerable("the event has no HTTP method")),
            };
        }
        let Some(records) = &shape.records else {
            return Ok(if shape.is_ping() {
                Self::Ping
            } else {
                Self::Direct(json)
            });
        };
        let names = || records.iter().map(|source| source.name.as_deref());
        match names().find(|&name| name != Some("aws:sqs")) {
            None => serde_json::from_str(&json).map(Self::Sqs).map_err(unread),
            Some(name) => Err(ApiError::unanswerable(format!(
                "records of {} are not supported: the function accepts records of aws:sqs",
                name.map_or("an unnamed service".to_owned(), named)
            ))),
        }
    }
}

impl Shape {
    /// Returns whether the event is a ping of serverless-plugin-warmup or lambda-warmer, or the tick of a rule of EventBridge
    /// (CloudWatch Events) or of EventBridge Scheduler. An event that also contains a request is not a ping.
    fn is_ping(&self) -> bool {
        let has_request = self.text.is_some() || self.texts.is_some() || self.question.is_some();
        let scheduled = self.detail_type == "Scheduled Event"
            && (self.source == "aws.events" || self.source == "aws.scheduler");
        let warms = self.warmer == true || self.source == "serverless-plugin-warmup";
        !has_request && (warms || scheduled)
    }
}

/// Returns whether a payload is absent, `null` or `{}`.
fn is_empty(json: &str) -> bool {
    let json = json.trim();
    let inside = json
        .strip_prefix('{')
        .and_then(|json| json.strip_suffix('}'));
    json.is_empty() || json == "null" || inside.is_some_and(|inside| inside.trim().is_empty())
}

/// Converts a parser's error. Drops the message of a type error, which may quote a text of the event.
fn unread(error: serde_json::Error) -> ApiError {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        Category::Data => ApiError::unanswerable(format!(
            "the event cannot be read: the value at line {line} column {column} has another type than in events of AWS"
        )),
        _ => ApiError::malformed(format!("the event is not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(json: &str) -> &'static str {
        match Event::read(json.as_bytes()) {
            Ok(Event::Direct(_)) => "direct",
            Ok(Event::Ping) => "ping",
            Ok(Event::Http(_)) => "http",
            Ok(Event::Sqs(_)) => "sqs",
            Err(error) if error.status == 422 => "refused",
            Err(_) => "malformed",
        }
    }

    #[test]
    fn shapes_are_distinguished() {
        for (json, expected) in [
            (r#"{"text": "a"}"#, "direct"),
            (r#""a""#, "direct"),
            ("[]", "direct"),
            (r#"{"requestContext": {}, "httpMethod": "GET"}"#, "http"),
            (r#"{"requestContext": {"http": {"method": "GET"}}}"#, "http"),
            (r#"{"requestContext": {}}"#, "refused"),
            (r#"{"requestContext": {"http": 3}}"#, "refused"),
            (r#"{"Records": []}"#, "sqs"),
            (r#"{"Records": [{"eventSource": "aws:sqs"}]}"#, "refused"),
            (
                r#"{"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": ""}]}"#,
                "sqs",
            ),
            (r#"{"Records": [{"EventSource": "aws:sns"}]}"#, "refused"),
            (
                r#"{"Records": [{"eventSource": "aws:sqs"}, {}]}"#,
                "refused",
            ),
            (r#"{"Records": 3}"#, "refused"),
            (r#"{"text": "#, "malformed"),
            ("nonsense", "direct"),
        ] {
            assert_eq!(shape(json), expected, "{json}");
        }
        assert!(Event::read(b"\"\xff\"").is_err_and(|error| error.status == 400));
    }

    #[test]
    fn pings_and_requests_are_distinguished() {
        for json in [
            "",
            " \n",
            "null",
            "{}",
            " { } ",
            r#"{"warmer": true}"#,
            r#"{"warmer": true, "concurrency": 3, "__WARMER_INVOCATION__": 2}"#,
            r#"{"source": "serverless-plugin-warmup"}"#,
            r#"{"source": "serverless-plugin-warmup", "other": {"a": 20}}"#,
            r#"{"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}"#,
            r#"{"id": "a", "detail": {}, "source": "aws.events", "resources": [], "detail-type": "Scheduled Event"}"#,
            r#"{"detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}"}"#,
        ] {
            assert_eq!(shape(json), "ping", "{json}");
        }
        for json in [
            r#"{"warmer": false}"#,
            r#"{"warmer": "true"}"#,
            r#"{"warmer": true, "text": "a"}"#,
            r#"{"source": "serverless-plugin-warmup", "texts": ["a"]}"#,
            r#"{"source": "x", "other": 20}"#,
            r#"{"detail-type": "Scheduled Event", "source": "my.app"}"#,
            r#"{"detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2"}"#,
            r#"{"source": ["aws.events"], "detail-type": "Scheduled Event"}"#,
            r#"{"key1": "value1"}"#,
        ] {
            assert_eq!(shape(json), "direct", "{json}");
        }
    }

    #[test]
    fn no_reason_quotes_a_text() {
        for json in [
            r#"{"requestContext": "PRIVATE words"}"#,
            r#"{"requestContext": {"http": "PRIVATE words"}}"#,
            r#"{"requestContext": {}, "httpMethod": ["PRIVATE words"]}"#,
            r#"{"Records": "PRIVATE words"}"#,
            r#"{"Records": [{"eventSource": "PRIVATE words"}]}"#,
            r#"{"Records": [{"eventSource": "aws:sqs", "messageId": ["PRIVATE words"]}]}"#,
        ] {
            let Err(error) = Event::read(json.as_bytes()) else {
                panic!("{json}")
            };
            assert!(!error.reason.contains("PRIVATE"), "{error:?}");
        }
    }
}
