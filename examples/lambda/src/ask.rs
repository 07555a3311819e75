//! What is asked: the JSON of a question, whichever event brings it.

use bertless::Input;
use lambda_runtime::Error;
use serde::Deserialize;

use crate::refusal::Refusal;

/// How much one request may bring.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Texts, or pairs.
    pub texts: usize,
    /// Bytes of one text.
    pub bytes: usize,
}

impl Limits {
    /// `BERTLESS_MAX_TEXTS`, by default 128, and `BERTLESS_MAX_BYTES`, by default 100,000.
    pub fn from_env() -> Result<Self, Error> {
        Ok(Self {
            texts: number("BERTLESS_MAX_TEXTS", 128)?,
            bytes: number("BERTLESS_MAX_BYTES", 100_000)?,
        })
    }
}

fn number(name: &str, default: usize) -> Result<usize, Error> {
    match std::env::var(name) {
        Ok(value) => value
            .parse()
            .map_err(|_| format!("{name}: {value:?} is not a number").into()),
        Err(_) => Ok(default),
    }
}

/// A text or a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    first: String,
    second: Option<String>,
}

impl Item {
    fn text(first: String) -> Self {
        Self {
            first,
            second: None,
        }
    }

    fn pair((first, second): (String, String)) -> Self {
        Self {
            first,
            second: Some(second),
        }
    }

    /// As the model takes it, unless there is nothing in it, or too much.
    pub fn input(&self, limits: Limits) -> Result<Input<'_>, Refusal> {
        for text in std::iter::once(&self.first).chain(&self.second) {
            if text.trim().is_empty() {
                return Err(Refusal::unanswerable("the text is empty"));
            }
            if text.len() > limits.bytes {
                let (found, most) = (text.len(), limits.bytes);
                return Err(Refusal::too_large(format!(
                    "the text has {found} bytes, {most} are the most"
                )));
            }
        }
        Ok(match &self.second {
            None => Input::Text(&self.first),
            Some(second) => Input::Pair(&self.first, second),
        })
    }
}

/// What one request asks.
#[derive(Debug, PartialEq, Eq)]
pub enum Question {
    /// `{"text"}`, `{"text", "text_pair"}`, `{"question", "context"}`: answered by the answer alone.
    One(Item),
    /// `{"texts": [..]}`, `{"pairs": [[.., ..], ..]}`: answered by a list.
    Many(Vec<Item>),
}

/// All keys that a question may have. An unknown one is an error: a misspelt key would be a wish that nobody hears.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    text: Option<String>,
    text_pair: Option<String>,
    question: Option<String>,
    context: Option<String>,
    texts: Option<Vec<String>>,
    pairs: Option<Vec<(String, String)>>,
}

impl Question {
    /// Reads a question.
    ///
    /// # Errors
    /// 400 if it is not JSON, 422 if it is JSON of another shape or an empty list, 413 if the list is too long.
    pub fn read(json: &str, limits: Limits) -> Result<Self, Refusal> {
        let keys: Keys = serde_json::from_str(json).map_err(|error| match error.is_data() {
            true => Refusal::unanswerable(format!("the question cannot be read: {error}")),
            false => Refusal::malformed(format!("this is not JSON: {error}")),
        })?;
        let question = keys.question()?;
        if let Self::Many(items) = &question {
            if items.is_empty() {
                return Err(Refusal::unanswerable("the list of texts is empty"));
            }
            if items.len() > limits.texts {
                let (found, most) = (items.len(), limits.texts);
                return Err(Refusal::too_large(format!(
                    "there are {found} texts, {most} are the most"
                )));
            }
        }
        Ok(question)
    }

    /// Its texts or pairs.
    pub fn items(&self) -> &[Item] {
        match self {
            Self::One(item) => std::slice::from_ref(item),
            Self::Many(items) => items,
        }
    }
}

impl Keys {
    fn question(self) -> Result<Question, Refusal> {
        let one = |first, second| Ok(Question::One(Item { first, second }));
        match self {
            Self {
                text: Some(text),
                text_pair,
                question: None,
                context: None,
                texts: None,
                pairs: None,
            } => one(text, text_pair),
            Self {
                question: Some(question),
                context: Some(context),
                text: None,
                text_pair: None,
                texts: None,
                pairs: None,
            } => one(question, Some(context)),
            Self {
                texts: Some(texts),
                text: None,
                text_pair: None,
                question: None,
                context: None,
                pairs: None,
            } => Ok(Question::Many(texts.into_iter().map(Item::text).collect())),
            Self {
                pairs: Some(pairs),
                text: None,
                text_pair: None,
                question: None,
                context: None,
                texts: None,
            } => Ok(Question::Many(pairs.into_iter().map(Item::pair).collect())),
            _ => Err(Refusal::unanswerable(
                "a question is one of \"text\", \"text\" and \"text_pair\", \"question\" and \"context\", \"texts\", \"pairs\"",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { texts: 2, bytes: 5 };

    fn item(first: &str, second: Option<&str>) -> Item {
        Item {
            first: first.to_owned(),
            second: second.map(str::to_owned),
        }
    }

    #[test]
    fn every_shape_is_read() {
        let read = |json| Question::read(json, LIMITS).unwrap();
        let pair = item("a", Some("b"));
        assert_eq!(read(r#"{"text": "a"}"#), Question::One(item("a", None)));
        assert_eq!(
            read(r#"{"text": "a", "text_pair": "b"}"#),
            Question::One(pair.clone())
        );
        assert_eq!(
            read(r#"{"question": "a", "context": "b"}"#),
            Question::One(pair.clone())
        );
        assert_eq!(
            read(r#"{"texts": ["a", "b"]}"#),
            Question::Many(vec![item("a", None), item("b", None)])
        );
        assert_eq!(
            read(r#"{"pairs": [["a", "b"]]}"#),
            Question::Many(vec![pair])
        );
    }

    #[test]
    fn what_is_no_question_says_why() {
        let cases = [
            (r#"{"text": "a""#, 400, "EOF"),
            ("", 400, "EOF"),
            ("a", 400, "expected value"),
            (r#"{"text": 3}"#, 422, "integer `3`"),
            (r#"{"txt": "a"}"#, 422, "`txt`"),
            ("{}", 422, "a question is one of"),
            (
                r#"{"text": "a", "texts": ["b"]}"#,
                422,
                "a question is one of",
            ),
            (r#"{"question": "a"}"#, 422, "a question is one of"),
            (r#"{"pairs": [["a"]]}"#, 422, "length 1"),
            (r#"{"texts": []}"#, 422, "empty"),
            (
                r#"{"texts": ["a", "b", "c"]}"#,
                413,
                "3 texts, 2 are the most",
            ),
        ];
        for (json, status, reason) in cases {
            let refusal = Question::read(json, LIMITS).unwrap_err();
            assert_eq!(refusal.status, status, "{json}");
            assert!(
                refusal.reason.contains(reason),
                "{json}: {}",
                refusal.reason
            );
        }
    }

    #[test]
    fn either_text_may_be_empty_or_too_large() {
        for (item, status) in [
            (item("", None), Some(422)),
            (item(" \n", None), Some(422)),
            (item("a", Some("")), Some(422)),
            (item("a", Some("123456")), Some(413)),
            (item("12345", Some("b")), None),
        ] {
            let refusal = item.input(LIMITS).err();
            assert_eq!(refusal.map(|refusal| refusal.status), status, "{item:?}");
        }
    }
}
