//! What is asked: texts and pairs out of JSON, each checked for itself.

use bertless::{Input, replace_lone_surrogates};
use serde_json::{Map, Value};

use crate::{Limits, Refusal, named};

/// A text or a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// One text.
    Text(String),
    /// Two texts of which one is about the other.
    Pair(String, String),
}

/// A request: one text or many.
#[derive(Debug)]
pub struct Asked {
    /// In the order in which they were asked; what is wrong with one is no matter of the others.
    pub questions: Vec<Result<Question, Refusal>>,
    /// Whether a list was asked, and a list is expected.
    pub many: bool,
}

/// The forms that are understood.
const FORMS: &str = r#"expected an object with "text", "text" and "text_pair", "question" and "context", or "texts""#;
const ITEMS: &str =
    r#"expected a text, a pair [text, text], or an object with "text" and, perhaps, "text_pair""#;

impl Question {
    /// As a model is asked.
    pub fn input(&self) -> Input<'_> {
        match self {
            Self::Text(text) => Input::Text(text),
            Self::Pair(first, second) => Input::Pair(first, second),
        }
    }

    /// Whether it can be asked at all.
    fn checked(self, limits: &Limits) -> Result<Self, Refusal> {
        let parts = match &self {
            Self::Text(text) => [Some(text), None],
            Self::Pair(first, second) => [Some(first), Some(second)],
        };
        let parts = || parts.iter().copied().flatten();
        let bytes: usize = parts().map(String::len).sum();
        if bytes > limits.text {
            let most = limits.text;
            return Err(Refusal::too_large(format!(
                "the text has {bytes} bytes, at most {most} are read"
            )));
        }
        match parts().any(|text| text.trim().is_empty()) {
            true => Err(Refusal::unanswerable("the text is empty")),
            false => Ok(self),
        }
    }
}

/// Reads the JSON of an event or a body.
///
/// # Errors
/// 413 for what is too large, 400 for what is no JSON, 422 for what does not ask anything.
pub fn parse(body: &[u8], limits: &Limits) -> Result<Asked, Refusal> {
    match body.len() <= limits.body {
        true => read(json(body, "the body")?, limits),
        false => Err(Refusal::body_too_large(limits.body)),
    }
}

/// Parses JSON; `what` is its name in a reason.
///
/// Half a surrogate pair in a text becomes U+FFFD, as it does in a browser. A byte order mark ahead of the JSON is skipped.
///
/// # Errors
/// 400 for what is not JSON in UTF-8.
pub fn json(bytes: &[u8], what: &str) -> Result<Value, Refusal> {
    let malformed = |error| Refusal::malformed(format!("{what} is not JSON: {error}"));
    let text = str::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(&replace_lone_surrogates(text))
        .map_err(|error| malformed(error.to_string()))
}

/// Reads what JSON asks.
///
/// # Errors
/// As [`parse`].
pub fn read(value: Value, limits: &Limits) -> Result<Asked, Refusal> {
    let Value::Object(mut object) = value else {
        return Err(Refusal::unanswerable(FORMS));
    };
    let Some(texts) = object.remove("texts") else {
        return Ok(Asked {
            questions: vec![Ok(question(object, FORMS)?.checked(limits)?)],
            many: false,
        });
    };
    if let Some(key) = object.keys().next() {
        let key = named(key);
        return Err(Refusal::unanswerable(format!(
            r#"{key} beside "texts" is not understood"#
        )));
    }
    let Value::Array(texts) = texts else {
        return Err(Refusal::unanswerable(r#""texts" is not a list"#));
    };
    match texts.len() {
        0 => Err(Refusal::unanswerable(r#""texts" is empty"#)),
        count if count > limits.texts => Err(Refusal::too_large(format!(
            "{count} texts are asked, at most {} at once are answered",
            limits.texts
        ))),
        _ => Ok(Asked {
            questions: texts.into_iter().map(|text| item(text, limits)).collect(),
            many: true,
        }),
    }
}

/// A text alone.
///
/// # Errors
/// 413 for one that is too large, 422 for an empty one.
pub fn text(text: String, limits: &Limits) -> Result<Asked, Refusal> {
    Ok(Asked {
        questions: vec![Ok(Question::Text(text).checked(limits)?)],
        many: false,
    })
}

/// One of several.
fn item(value: Value, limits: &Limits) -> Result<Question, Refusal> {
    let question = match value {
        Value::String(text) => Question::Text(text),
        Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
            Ok([Value::String(first), Value::String(second)]) => Question::Pair(first, second),
            _ => return Err(Refusal::unanswerable(ITEMS)),
        },
        Value::Object(object) => question(object, ITEMS)?,
        _ => return Err(Refusal::unanswerable(ITEMS)),
    };
    question.checked(limits)
}

/// An object's text or pair. A key that is not understood is an error, as is one that is missing.
fn question(mut object: Map<String, Value>, expected: &str) -> Result<Question, Refusal> {
    let mut take = |key: &str| match object.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::unanswerable(format!("{key:?} is not a text"))),
    };
    let (text, second) = (take("text")?, take("text_pair")?);
    let (asked, context) = (take("question")?, take("context")?);
    if let Some(key) = object.keys().next() {
        let key = named(key);
        return Err(Refusal::unanswerable(format!(
            "{key} is not understood: {expected}"
        )));
    }
    match (text, second, asked, context) {
        (Some(text), None, None, None) => Ok(Question::Text(text)),
        (Some(first), Some(second), None, None) | (None, None, Some(first), Some(second)) => {
            Ok(Question::Pair(first, second))
        }
        _ => Err(Refusal::unanswerable(expected)),
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

    fn one(value: Value) -> Result<Question, Refusal> {
        let asked = read(value, &LIMITS)?;
        assert!(!asked.many);
        asked.questions.into_iter().next().unwrap()
    }

    #[test]
    fn texts_and_pairs_in_each_form() {
        let pair = || Question::Pair("a".into(), "b".into());
        assert_eq!(one(json!({"text": "a"})), Ok(Question::Text("a".into())));
        assert_eq!(one(json!({"text": "a", "text_pair": "b"})), Ok(pair()));
        assert_eq!(one(json!({"question": "a", "context": "b"})), Ok(pair()));
        let texts = json!({"texts": ["a", ["a", "b"], {"text": "a", "text_pair": "b"}]});
        let asked = read(texts, &LIMITS).unwrap();
        assert!(asked.many);
        assert_eq!(
            asked.questions,
            [Ok(Question::Text("a".into())), Ok(pair()), Ok(pair())]
        );
    }

    #[test]
    fn what_is_wrong_with_a_request() {
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
            let refusal = read(value.clone(), &LIMITS).unwrap_err();
            assert_eq!(refusal.status, status, "{value} {refusal:?}");
            assert!(refusal.reason.contains(says), "{value} {refusal:?}");
        }
        // A text in the place of a key stays out of the log.
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
    fn half_a_character_becomes_the_replacement_character() {
        let body = br#"{"texts": ["a", "b \ud83d", ["c", "\ude00 d"]]}"#;
        let asked = parse(body, &LIMITS).unwrap();
        let pair = Question::Pair("c".into(), "\u{fffd} d".into());
        assert_eq!(
            asked.questions,
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
        let asked = read(texts, &LIMITS).unwrap();
        let failed: Vec<bool> = asked.questions.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, true, true]);
    }
}
