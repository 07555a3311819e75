//! Which shape an event has.

use bertless_questions::Refusal;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::http::HttpRequest;
use crate::sqs::SqsEvent;

/// An event, as far as this function looks into it.
pub(crate) enum Event<'a> {
    /// The question itself.
    Direct(&'a str),
    /// API Gateway 1.0 or 2.0, a function URL, a load balancer.
    Http(HttpRequest),
    /// Messages of a queue.
    Sqs(SqsEvent),
}

/// The keys that tell shapes apart.
#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "requestContext")]
    context: Option<IgnoredAny>,
    #[serde(rename = "Records")]
    records: Option<Vec<Source>>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(rename = "eventSource", alias = "EventSource")]
    name: Option<String>,
}

impl<'a> Event<'a> {
    /// # Errors
    /// 422 for events of services that do not ask questions.
    pub(crate) fn read(json: &'a str) -> Result<Self, Refusal> {
        let unread = |error| Refusal::unanswerable(format!("the event cannot be read: {error}"));
        // What is no object has no shape; the question's own error says what it should be.
        if !json.starts_with('{') {
            return Ok(Self::Direct(json));
        }
        let shape: Shape = serde_json::from_str(json).map_err(unread)?;
        if shape.context.is_some() {
            let request: HttpRequest = serde_json::from_str(json).map_err(unread)?;
            // Of others that have a context, such as the record of another function's failure, nobody reads a response: as one
            // it would be lost.
            return match request.method() {
                Some(_) => Ok(Self::Http(request)),
                None => Err(Refusal::unanswerable("the event has no HTTP method")),
            };
        }
        let Some(records) = shape.records else {
            return Ok(Self::Direct(json));
        };
        let names = || records.iter().map(|source| source.name.as_deref());
        match names().find(|&name| name != Some("aws:sqs")) {
            None => serde_json::from_str(json).map(Self::Sqs).map_err(unread),
            Some(name) => Err(Refusal::unanswerable(format!(
                "records of {} ask nothing, those of aws:sqs do",
                name.unwrap_or("nobody")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(json: &str) -> &'static str {
        match Event::read(json) {
            Ok(Event::Direct(_)) => "direct",
            Ok(Event::Http(_)) => "http",
            Ok(Event::Sqs(_)) => "sqs",
            Err(refusal) if refusal.status == 422 => "refused",
            Err(_) => "failed",
        }
    }

    #[test]
    fn shapes_are_told_apart() {
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
        ] {
            assert_eq!(shape(json), expected, "{json}");
        }
    }
}
