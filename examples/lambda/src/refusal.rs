//! Why something is not answered.

use lambda_runtime::Diagnostic;
use serde::Serialize;

/// A reason, with the HTTP status that says whose fault it is: `{"status", "reason"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub status: u16,
    pub reason: String,
}

impl Refusal {
    /// It is not JSON, or not text at all.
    pub fn malformed(reason: impl Into<String>) -> Self {
        Self::new(400, reason)
    }

    /// Only questions are answered, and they come by POST.
    pub fn method(method: &str) -> Self {
        Self::new(
            405,
            format!("{method} asks nothing: questions come by POST"),
        )
    }

    /// There is more of it than one request may bring.
    pub fn too_large(reason: impl Into<String>) -> Self {
        Self::new(413, reason)
    }

    /// It can be read, but not be answered.
    pub fn unanswerable(reason: impl Into<String>) -> Self {
        Self::new(422, reason)
    }

    /// The model failed where it should not.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::new(500, reason)
    }

    fn new(status: u16, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { status, reason }
    }

    /// The status in words, as a load balancer wants it.
    pub fn phrase(status: u16) -> &'static str {
        match status {
            200 => "200 OK",
            400 => "400 Bad Request",
            405 => "405 Method Not Allowed",
            413 => "413 Content Too Large",
            422 => "422 Unprocessable Content",
            _ => "500 Internal Server Error",
        }
    }
}

/// The model's own errors: a text that does not fit the task is the caller's matter, all else is ours.
impl From<bertless::Error> for Refusal {
    fn from(error: bertless::Error) -> Self {
        match error {
            bertless::Error::Input { reason } => Self::unanswerable(reason),
            other => Self::failed(other.to_string()),
        }
    }
}

/// What a direct caller gets, `{"errorType": "422 Unprocessable Content", "errorMessage": reason}`, so that AWS counts it as
/// an error, and keeps an event that nobody waits for.
impl From<Refusal> for Diagnostic {
    fn from(refusal: Refusal) -> Self {
        Self {
            error_type: Refusal::phrase(refusal.status).to_owned(),
            error_message: refusal.reason,
        }
    }
}
