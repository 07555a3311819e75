//! Request parser: texts and pairs from JSON, each checked on its own.

use bertless::{Input, replace_lone_surrogates};
use serde_json::{Map, Value};

use crate::{ApiError, Limits, named};

/// Text or pair of texts for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Single text.
    Text(String),
    /// Two texts that are read together, such as a question and its context.
    Pair(String, String),
}

/// Parsed request for predictions, with one question or a list.
#[derive(Debug)]
pub struct PredictRequest {
    /// Questions in the order of the request. An invalid one is an error of its own and does not affect the others.
    pub questions: Vec<Result<Question, ApiError>>,
    /// Whether the request has a list, so that the response must be a list too.
    pub many: bool,
}

/// Valid forms of a request, for error messages.
const FORMS: &str = r#"expected an object with "text", "text" and "text_pair", "question" and "context", or "texts""#;
/// Valid forms of one item in "texts", for error messages.
const ITEMS: &str =
    r#"expected a text, a pair [text, text], or an object with "text" and, perhaps, "text_pair""#;

impl Question {
    /// Converts the question to the model's input type.
    pub fn input(&self) -> Input<'_> {
        match self {
            Self::Text(text) => Input::Text(text),
            Self::Pair(first, second) => Input::Pair(first, second),
        }
    }

    /// Checks that the question is not too large and that none of its texts is empty.
    fn checked(self, limits: &Limits) -> Result<Self, ApiError> {
        let parts = match &self {
            Self::Text(text) => [Some(text), None],
            Self::Pair(first, second) => [Some(first), Some(second)],
        };
        let parts = || parts.iter().copied().flatten();
        let bytes: usize = parts().map(String::len).sum();
        if bytes > limits.text {
            let most = limits.text;
            return Err(ApiError::too_large(format!(
                "the text has {bytes} bytes, at most {most} are accepted"
            )));
        }
        if parts().any(|text| text.trim().is_empty()) {
            Err(ApiError::unanswerable("the text is empty"))
        } else {
            Ok(self)
        }
    }
}

/// Parses a request from the JSON of an event or a body.
///
/// # Errors
/// 413 if it is too large, 400 if it is not JSON, 422 if it is not a valid request.
pub fn parse(body: &[u8], limits: &Limits) -> Result<PredictRequest, ApiError> {
    if body.len() <= limits.body {
        read(json(body, "the body")?, limits)
    } else {
        Err(ApiError::body_too_large(limits.body))
    }
}

/// Parses JSON. `what` names the input in the reason of an error.
///
/// A lone surrogate in a string becomes U+FFFD, as in a browser. A byte order mark before the JSON is skipped.
///
/// # Errors
/// 400 if the bytes are not JSON in UTF-8.
pub fn json(bytes: &[u8], what: &str) -> Result<Value, ApiError> {
    let malformed = |error| ApiError::malformed(format!("{what} is not JSON: {error}"));
    let text = str::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(&replace_lone_surrogates(text))
        .map_err(|error| malformed(error.to_string()))
}

/// Reads a request from a JSON value.
///
/// # Errors
/// 413 if the request is too large, 422 if it is not valid.
pub fn read(value: Value, limits: &Limits) -> Result<PredictRequest, ApiError> {
    let Value::Object(mut object) = value else {
        return Err(ApiError::unanswerable(FORMS));
    };
    let Some(texts) = object.remove("texts") else {
        return Ok(PredictRequest {
            questions: vec![Ok(question(object, FORMS)?.checked(limits)?)],
            many: false,
        });
    };
    if let Some(key) = object.keys().next() {
        let key = named(key);
        return Err(ApiError::unanswerable(format!(
            r#"{key} beside "texts" is not understood"#
        )));
    }
    let Value::Array(texts) = texts else {
        return Err(ApiError::unanswerable(r#""texts" is not a list"#));
    };
    match texts.len() {
        0 => Err(ApiError::unanswerable(r#""texts" is empty"#)),
        count if count > limits.texts => Err(ApiError::too_large(format!(
            "the request has {count} texts, at most {} are accepted",
            limits.texts
        ))),
        _ => Ok(PredictRequest {
            questions: texts.into_iter().map(|text| item(text, limits)).collect(),
            many: true,
        }),
    }
}

/// Makes a request with a single text.
///
/// # Errors
/// 413 if the text is too large, 422 if it is empty.
pub fn text(text: String, limits: &Limits) -> Result<PredictRequest, ApiError> {
    Ok(PredictRequest {
        questions: vec![Ok(Question::Text(text).checked(limits)?)],
        many: false,
    })
}

/// Reads one item of "texts".
fn item(value: Value, limits: &Limits) -> Result<Question, ApiError> {
    let question = match value {
        Value::String(text) => Question::Text(text),
        Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
            Ok([Value::String(first), Value::String(second)]) => Question::Pair(first, second),
            _ => return Err(ApiError::unanswerable(ITEMS)),
        },
        Value::Object(object) => question(object, ITEMS)?,
        _ => return Err(ApiError::unanswerable(ITEMS)),
    };
    question.checked(limits)
}

/// Reads an object's text or pair. A missing or unknown key is an error; `expected` describes the valid forms.
fn question(mut object: Map<String, Value>, expected: &str) -> Result<Question, ApiError> {
    let mut take = |key: &str| match object.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ApiError::unanswerable(format!("{key:?} is not a text"))),
    };
    let (text, second) = (take("text")?, take("text_pair")?);
    let (query, context) = (take("question")?, take("context")?);
    if let Some(key) = object.keys().next() {
        let key = named(key);
        return Err(ApiError::unanswerable(format!(
            "{key} is not understood: {expected}"
        )));
    }
    match (text, second, query, context) {
        (Some(text), None, None, None) => Ok(Question::Text(text)),
        (Some(first), Some(second), None, None) | (None, None, Some(first), Some(second)) => {
            Ok(Question::Pair(first, second))
        }
        _ => Err(ApiError::unanswerable(expected)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LIMITS: Limits = Limits {
        body: 1000,
        texts: 3,
        text: 8,
    };

    fn one(value: Value) -> Result<Question, ApiError> {
        let request = read(value, &LIMITS)?;
        assert!(!request.many);
        request.questions.into_iter().next().unwrap()
    }

    #[test]
    fn each_form_of_text_and_pair_is_read() {
        let pair = || Question::Pair("a".into(), "b".into());
        assert_eq!(one(json!({"text": "a"})), Ok(Question::Text("a".into())));
        assert_eq!(one(json!({"text": "a", "text_pair": "b"})), Ok(pair()));
        assert_eq!(one(json!({"question": "a", "context": "b"})), Ok(pair()));
        let texts = json!({"texts": ["a", ["a", "b"], {"text": "a", "text_pair": "b"}]});
        let request = read(texts, &LIMITS).unwrap();
        assert!(request.many);
        assert_eq!(
            request.questions,
            [Ok(Question::Text("a".into())), Ok(pair()), Ok(pair())]
        );
    }

    #[test]
    fn invalid_requests_are_errors() {
        for (value, status, says) in [
            (json!([]), 422, "expected an object"),
            (json!({}), 422, "expected an object"),
            (json!({"text": 1}), 422, "\"text\" is not a text"),
            (json!({"text": ""}), 422, "empty"),
            (json!({"text": " \n"}), 422, "empty"),
            (json!({"text": "a", "text_pair": ""}), 422, "empty"),
            (json!({"text": "a", "x": 1}), 422, "\"x\""),
            (json!({"text": "a", "context": "b"}), 422, "expected"),
            (json!({"text_pair": "b"}), 422, "expected"),
            (json!({"text": "123456789"}), 413, "9 bytes, at most 8"),
            (
                json!({"text": "1234", "text_pair": "56789"}),
                413,
                "9 bytes",
            ),
            (json!({"texts": "a"}), 422, "not a list"),
            (json!({"texts": []}), 422, "\"texts\" is empty"),
            (json!({"texts": ["a"], "text": "a"}), 422, "\"text\" beside"),
            (json!({"texts": ["a", "a", "a", "a"]}), 413, "4 texts"),
        ] {
            let error = read(value.clone(), &LIMITS).unwrap_err();
            assert_eq!(error.status, status, "{value} {error:?}");
            assert!(error.reason.contains(says), "{value} {error:?}");
        }
        // A text used as a key does not get into the log.
        let key = "I hate it";
        for value in [json!({key: 1}), json!({"texts": ["a"], key: 1})] {
            let reason = read(value, &LIMITS).unwrap_err().reason;
            assert!(reason.contains("a name of 9 characters"), "{reason}");
        }
        let long = [b' '; 1001];
        assert_eq!(parse(&long, &LIMITS).unwrap_err().status, 413);
        assert_eq!(parse(&long[1..], &LIMITS).unwrap_err().status, 400);
        assert_eq!(parse(b"{", &LIMITS).unwrap_err().status, 400);
        assert_eq!(parse(b"", &LIMITS).unwrap_err().status, 400);
        assert_eq!(parse(b"\"\xff\"", &LIMITS).unwrap_err().status, 400);
    }

    #[test]
    fn a_lone_surrogate_becomes_the_replacement_character() {
        let body = br#"{"texts": ["a", "b \ud83d", ["c", "\ude00 d"]]}"#;
        let request = parse(body, &LIMITS).unwrap();
        let pair = Question::Pair("c".into(), "\u{fffd} d".into());
        assert_eq!(
            request.questions,
            [
                Ok(Question::Text("a".into())),
                Ok(Question::Text("b \u{fffd}".into())),
                Ok(pair)
            ]
        );
        let marked = "\u{feff}{\"text\": \"a\"}";
        assert!(parse(marked.as_bytes(), &LIMITS).is_ok());
        let reason = parse(b"\xff", &LIMITS).unwrap_err().reason;
        assert!(reason.contains("not JSON: invalid utf-8"), "{reason}");
    }

    #[test]
    fn one_of_many_fails_alone() {
        let texts = json!({"texts": ["a", 7, ["a"]]});
        let request = read(texts, &LIMITS).unwrap();
        let failed: Vec<bool> = request.questions.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, true, true]);
    }
}
