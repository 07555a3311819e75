//! Error for a request or for one text: a status and a reason, as JSON.

use bertless::ErrorKind;
use serde::Serialize;

/// Error for a request, or for one text of a list. Serializes as `{"status": 422, "reason": ".."}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiError {
    /// HTTP status code. It is set for requests that did not come over HTTP too.
    pub status: u16,
    /// Reason in plain English. It contains no text of the request and no path of this machine.
    pub reason: String,
    /// Cause for the log, if the caller must not see it. The log then has it instead of the reason.
    #[serde(skip)]
    pub detail: Option<String>,
}

impl ApiError {
    /// Makes an error for malformed input, such as invalid JSON or UTF-8: status 400.
    pub fn malformed(reason: impl Into<String>) -> Self {
        Self::new(400, reason)
    }

    /// Makes an error for input above a limit: status 413.
    pub fn too_large(reason: impl Into<String>) -> Self {
        Self::new(413, reason)
    }

    /// Makes an error for a body of more than `limit` bytes: status 413.
    pub fn body_too_large(limit: usize) -> Self {
        Self::too_large(format!("the body has more than {limit} bytes"))
    }

    /// Makes an error for well-formed input that cannot be answered: status 422.
    pub fn unanswerable(reason: impl Into<String>) -> Self {
        Self::new(422, reason)
    }

    /// Makes an error for a failure of this program: status 500. Only the log gets `cause`.
    pub fn failed(cause: impl Into<String>) -> Self {
        let mut error = Self::new(500, "a defect of this program: its log says which");
        error.detail = Some(cause.into());
        error
    }

    /// Makes an error for an answer that a defect or a panic has lost: status 500.
    pub fn lost() -> Self {
        Self::new(500, "the answer was lost to a defect of this program")
    }

    /// Makes an error with any status.
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            detail: None,
        }
    }

    /// Returns the text for the log: the detail, or the reason if there is none.
    pub fn logged(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.reason)
    }
}

/// Converts an error of the model. A text that does not fit the task is the caller's mistake (422), and a text that was not computed
/// in time has status 504. Any other error is a failure of this program (500), whose message may name a file and so goes to the log
/// alone.
impl From<bertless::Error> for ApiError {
    fn from(error: bertless::Error) -> Self {
        match error.kind() {
            ErrorKind::Input | ErrorKind::Option => Self::unanswerable(error.to_string()),
            ErrorKind::DeadlineExceeded | ErrorKind::Cancelled => {
                Self::new(504, "the time for the answer has run out")
            }
            _ => Self::failed(error.to_string()),
        }
    }
}

/// Maximum number of characters of a quoted name.
const LONGEST_NAME: usize = 64;

/// Quotes a key, a header's value or another name from the request, if it looks like a name.
///
/// Reasons are logged, and a caller may have put a whole text in the place of a name. For such a text only the length is given.
pub fn named(name: &str) -> String {
    let characters = name.chars().count();
    if characters <= LONGEST_NAME && name.chars().all(|c| c.is_ascii_graphic()) {
        format!("{name:?}")
    } else {
        format!("a name of {characters} characters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_texts_are_not() {
        assert_eq!(named("detail-type"), r#""detail-type""#);
        assert_eq!(named(""), r#""""#);
        assert_eq!(named(&"x".repeat(64)), format!("{:?}", "x".repeat(64)));
        assert_eq!(named(&"x".repeat(65)), "a name of 65 characters");
        assert_eq!(named("I hate it"), "a name of 9 characters");
        assert_eq!(named("映画"), "a name of 2 characters");
    }

    #[test]
    fn a_callers_reason_names_no_file() {
        let path = std::path::PathBuf::from("/var/task/model.safetensors");
        let cause = std::io::Error::other("unexpected end of file");
        let error = ApiError::from(bertless::Error::Io { path, cause });
        assert_eq!(error.status, 500);
        assert!(!error.reason.contains("/var"), "{error:?}");
        assert_eq!(
            error.logged(),
            "/var/task/model.safetensors: unexpected end of file"
        );
        let json = serde_json::to_string(&error).unwrap();
        assert!(!json.contains("/var"), "{json}");
    }
}
