//! Which shape an event has.

use aws_lambda_events::sqs::SqsEvent;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::http::HttpRequest;
use crate::refusal::Refusal;

/// An event, as far as this function looks into it.
pub enum Event<'a> {
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
    pub fn read(payload: &'a RawValue) -> Result<Self, Refusal> {
        let json = payload.get();
        let foreign = |error| Refusal::unanswerable(format!("the event cannot be read: {error}"));
        // What is no object has no shape; the question's own error says what it should be.
        if !json.starts_with('{') {
            return Ok(Self::Direct(json));
        }
        let shape: Shape = serde_json::from_str(json).map_err(foreign)?;
        match shape {
            Shape {
                context: Some(_), ..
            } => serde_json::from_str(json).map(Self::Http).map_err(foreign),
            Shape {
                records: Some(records),
                ..
            } => {
                let other = |source: &&Source| source.name.as_deref() != Some("aws:sqs");
                match records.iter().find(other) {
                    Some(source) => {
                        let name = source.name.as_deref().unwrap_or("nobody");
                        Err(Refusal::unanswerable(format!(
                            "records of {name} ask nothing: those of aws:sqs do"
                        )))
                    }
                    None => serde_json::from_str(json).map(Self::Sqs).map_err(foreign),
                }
            }
            _ => Ok(Self::Direct(json)),
        }
    }
}
