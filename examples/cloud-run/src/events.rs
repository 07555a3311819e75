//! Events: CloudEvents 1.0 over HTTP in binary and structured mode, and Pub/Sub's push messages, wrapped or unwrapped.
//!
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>,
//! <https://cloud.google.com/pubsub/docs/push>, <https://cloud.google.com/pubsub/docs/payload-unwrapping>

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bertless_questions::{self as questions, ApiError, Limits, PredictRequest, json, named};
use serde_json::{Map, Value};

/// Supported version of CloudEvents.
const VERSION: &str = "1.0";
const STRUCTURED: &str = "application/cloudevents+json";
const BATCHED: &str = "application/cloudevents-batch";
const ANY: &str = "application/cloudevents";
/// Key of Pub/Sub's message, in an event of Eventarc and in a push.
const MESSAGE: &str = "message";
/// Header with the id of an unwrapped message, if its subscription writes metadata.
const UNWRAPPED_ID: &str = "x-goog-pubsub-message-id";
/// Prefixes of Pub/Sub's `User-Agent`.
const PUBSUB_AGENTS: [&str; 2] = ["CloudPubSub-Google", "APIs-Google"];

/// Parsed event: its id and its request.
#[derive(Debug)]
pub(crate) struct Event {
    /// Id of the event; `None` for an unwrapped message without metadata.
    pub(crate) id: Option<String>,
    pub(crate) request: PredictRequest,
}

/// Data of an event, parsed by its content type.
enum Data {
    Json(Value),
    Text(Vec<u8>),
}

/// Returns whether headers are those of an event.
pub(crate) fn are_of_event(headers: &HeaderMap) -> bool {
    content_type(headers).starts_with(ANY) || are_attributes(headers) || are_of_pubsub(headers)
}

/// Returns whether headers contain any of the attributes that every event must have. An event that lacks one of the others is
/// reported as a malformed event.
fn are_attributes(headers: &HeaderMap) -> bool {
    let all = ["ce-specversion", "ce-id", "ce-source", "ce-type"];
    all.iter().any(|&name| headers.contains_key(name))
}

/// Returns whether headers show that Pub/Sub has sent the request.
fn are_of_pubsub(headers: &HeaderMap) -> bool {
    let agent = value(headers, &header::USER_AGENT);
    headers.contains_key(UNWRAPPED_ID) || PUBSUB_AGENTS.iter().any(|&own| agent.starts_with(own))
}

/// Returns whether a body is a message of Pub/Sub in its wrapper.
pub(crate) fn is_push(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Push {
        #[serde(rename = "message")]
        _message: serde::de::IgnoredAny,
    }
    // Serde would read a list with one element as this struct, too.
    body.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<Push>(body).is_ok()
}

/// Reads an event.
pub(crate) fn read(headers: &HeaderMap, body: &[u8], limits: &Limits) -> Result<Event, ApiError> {
    let kind = content_type(headers);
    if kind.starts_with(BATCHED) {
        let reason = "batches of events are not accepted: send one event at a time";
        return Err(ApiError::new(415, reason));
    }
    if kind.starts_with(STRUCTURED) {
        structured(body, limits)
    } else if kind.starts_with(ANY) {
        let kind = kind.split(';').next().unwrap_or_default();
        let kind = named(kind);
        let reason = format!("{kind} is not accepted: send structured events as {STRUCTURED:?}");
        Err(ApiError::new(415, reason))
    } else if are_attributes(headers) {
        binary(headers, &kind, body, limits)
    } else if are_of_pubsub(headers) && !is_push(body) {
        unwrapped(headers, body, limits)
    } else {
        match json(body, "the body")? {
            Value::Object(mut push) if push.contains_key(MESSAGE) => message(&mut push, limits),
            _ => Err(ApiError::malformed(
                "neither the headers of a CloudEvent nor the message of a Pub/Sub push are there",
            )),
        }
    }
}

/// Reads an event in structured mode: attributes and data are in the body.
fn structured(body: &[u8], limits: &Limits) -> Result<Event, ApiError> {
    let Value::Object(mut event) = json(body, "the event")? else {
        return Err(ApiError::malformed("the event is not a JSON object"));
    };
    let mut attribute = |name: &str| match event.remove(name) {
        Some(Value::String(value)) => Ok(Some(value)),
        None | Some(Value::Null) => Ok(None),
        Some(_) => Err(ApiError::malformed(format!(
            "the event's {name} is not a text"
        ))),
    };
    let id = required(&mut attribute)?;
    let kind = attribute("datacontenttype")?.unwrap_or_default();
    let encoded = attribute("data_base64")?;
    let data = match (event.remove("data"), encoded) {
        (Some(_), Some(_)) => {
            return Err(ApiError::malformed(
                "the event has both data and data_base64",
            ));
        }
        (None, None) => return Err(ApiError::malformed("the event has no data")),
        (None, Some(encoded)) => of_type(&kind, decoded(&encoded, "data_base64")?)?,
        (Some(Value::String(text)), None) if is_text(&kind) => Data::Text(text.into_bytes()),
        (Some(value), None) => Data::Json(value),
    };
    carried(id, data, limits)
}

/// Reads an event in binary mode: attributes are in headers, data is the body.
fn binary(
    headers: &HeaderMap,
    kind: &str,
    body: &[u8],
    limits: &Limits,
) -> Result<Event, ApiError> {
    let mut attribute = |name: &str| match headers.get(format!("ce-{name}")) {
        None => Ok(None),
        Some(value) => {
            let wrong = |what| ApiError::malformed(format!("the event's {name} is not {what}"));
            let value = value.to_str().map_err(|_| wrong("ASCII"))?;
            unescaped(value)
                .map(Some)
                .ok_or_else(|| wrong("percent-encoded UTF-8"))
        }
    };
    let id = required(&mut attribute)?;
    if body.is_empty() {
        return Err(ApiError::malformed("the event has no data"));
    }
    carried(id, of_type(kind, body.to_vec())?, limits)
}

/// Reads an unwrapped message of Pub/Sub: its data is the body.
fn unwrapped(headers: &HeaderMap, body: &[u8], limits: &Limits) -> Result<Event, ApiError> {
    let id = headers.get(UNWRAPPED_ID).and_then(|id| id.to_str().ok());
    Ok(Event {
        id: id.map(str::to_owned),
        request: published(body.to_vec(), limits)?,
    })
}

/// Decodes a header's value to the value of its attribute. Returns `None` if that is not UTF-8.
fn unescaped(value: &str) -> Option<String> {
    let value = unquoted(value);
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (mut bytes, mut rest) = (Vec::with_capacity(value.len()), value.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        let mut byte = *first;
        if let (b'%', [high, low, after @ ..]) = (byte, after)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            byte = (high << 4 | low) as u8;
            rest = after;
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

/// Removes quotes and the backslashes between them. Returns a value without quotes unchanged.
fn unquoted(value: &str) -> String {
    let inside = value.strip_prefix('"');
    let Some(inside) = inside.and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut escaped = false;
    let is_kept = |character: &char| {
        escaped = *character == '\\' && !escaped;
        !escaped
    };
    inside.chars().filter(is_kept).collect()
}

/// Checks the attributes that every event must have, and returns the id.
fn required(
    attribute: &mut impl FnMut(&str) -> Result<Option<String>, ApiError>,
) -> Result<String, ApiError> {
    let mut id = String::new();
    for name in ["specversion", "id", "source", "type"] {
        match (name, attribute(name)?) {
            (_, None) => return Err(ApiError::malformed(format!("the event has no {name}"))),
            (_, Some(value)) if value.is_empty() => {
                return Err(ApiError::malformed(format!("the event's {name} is empty")));
            }
            ("specversion", Some(value)) if value != VERSION => {
                let value = named(&value);
                return Err(ApiError::malformed(format!(
                    "the event's specversion is {value}: it must be {VERSION:?}"
                )));
            }
            ("id", Some(value)) => id = value,
            _ => {}
        }
    }
    Ok(id)
}

/// Reads the data of an event: a request, a message of Pub/Sub that holds one, or a text.
fn carried(id: String, data: Data, limits: &Limits) -> Result<Event, ApiError> {
    let request = match data {
        Data::Text(text) => text_request(text, limits)?,
        Data::Json(Value::Object(mut object)) if object.contains_key(MESSAGE) => {
            message(&mut object, limits)?.request
        }
        Data::Json(value) => questions::read(value, limits)?,
    };
    Ok(Event {
        id: Some(id),
        request,
    })
}

/// Reads a wrapped message: `{"message": {"data": "<base64>", "messageId": ".."}, "subscription": ".."}`.
fn message(push: &mut Map<String, Value>, limits: &Limits) -> Result<Event, ApiError> {
    let Some(Value::Object(mut message)) = push.remove(MESSAGE) else {
        return Err(ApiError::malformed("the push's message is not an object"));
    };
    let id = match message.remove("messageId").or(message.remove("message_id")) {
        Some(Value::String(id)) if !id.is_empty() => id,
        _ => return Err(ApiError::malformed("the message has no messageId")),
    };
    let data = match message.remove("data") {
        Some(Value::String(data)) => decoded(&data, "the message's data")?,
        None | Some(Value::Null) => Vec::new(),
        Some(_) => return Err(ApiError::malformed("the message's data is not a text")),
    };
    Ok(Event {
        id: Some(id),
        request: published(data, limits)?,
    })
}

/// Reads the data of a message: a JSON request if it begins with `{`, else a text, as `gcloud pubsub topics publish --message`
/// sends it.
fn published(data: Vec<u8>, limits: &Limits) -> Result<PredictRequest, ApiError> {
    match data.trim_ascii_start().first() {
        None if data.is_empty() => Err(ApiError::malformed("the message has no data")),
        Some(b'{') => questions::read(json(&data, "the message's data")?, limits),
        _ => text_request(data, limits),
    }
}

/// Parses bytes by the content type `kind`: as text for `text/*`, else as JSON, which is the specification's default.
fn of_type(kind: &str, bytes: Vec<u8>) -> Result<Data, ApiError> {
    if is_text(kind) {
        Ok(Data::Text(bytes))
    } else {
        json(&bytes, "the event's data").map(Data::Json)
    }
}

fn text_request(text: Vec<u8>, limits: &Limits) -> Result<PredictRequest, ApiError> {
    let text = String::from_utf8(text)
        .map_err(|_| ApiError::malformed("the event's data is neither JSON nor UTF-8"))?;
    questions::text(text, limits)
}

fn decoded(data: &str, what: &str) -> Result<Vec<u8>, ApiError> {
    let bytes = BASE64_STANDARD.decode(data);
    bytes.map_err(|error| ApiError::malformed(format!("{what} is not base64: {error}")))
}

fn is_text(kind: &str) -> bool {
    kind.to_ascii_lowercase().starts_with("text/")
}

fn content_type(headers: &HeaderMap) -> String {
    value(headers, &header::CONTENT_TYPE).to_ascii_lowercase()
}

fn value<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests the encoding of section 3.1.3.2 of the HTTP binding.
    #[test]
    fn headers_are_decoded_to_attributes() {
        for (header, attribute) in [
            ("1234-1234", Some("1234-1234")),
            ("Euro%20%E2%82%AC%20%f0%9f%98%80", Some("Euro € 😀")),
            (
                r#""with \"these\" \\ %22too%22""#,
                Some(r#"with "these" \ "too""#),
            ),
            ("100%", Some("100%")),
            ("%zz%4", Some("%zz%4")),
            ("%2541", Some("%41")),
            ("\"", Some("\"")),
            ("\"\"", Some("")),
            ("%C0%A0", None),
            ("%ff", None),
        ] {
            assert_eq!(unescaped(header).as_deref(), attribute, "{header}");
        }
    }
}
