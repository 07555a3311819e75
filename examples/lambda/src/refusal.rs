//! Why something was not answered: a status and a reason, as JSON.

use lambda_runtime::Diagnostic;
use serde::Serialize;

/// What a caller is told: `{"status": 422, "reason": ".."}`, of a request or of one text of many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    /// As HTTP has it, also of what did not come by HTTP.
    pub(crate) status: u16,
    pub(crate) reason: String,
}

impl Refusal {
    /// It is not what it should be: not JSON, not text.
    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Self::new(400, reason)
    }

    /// It did not come by POST.
    pub(crate) fn not_so() -> Self {
        Self::new(405, "this path does not take this method")
    }

    /// It is more than is taken.
    pub(crate) fn too_large(reason: impl Into<String>) -> Self {
        Self::new(413, reason)
    }

    /// It was understood, and cannot be answered.
    pub(crate) fn unanswerable(reason: impl Into<String>) -> Self {
        Self::new(422, reason)
    }

    /// Nothing is wrong with it.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self::new(500, reason)
    }

    /// An answer that should be there and is not.
    pub(crate) fn lost() -> Self {
        Self::failed("the answer was lost to a defect of this program")
    }

    fn new(status: u16, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { status, reason }
    }
}

/// A status in words, as a load balancer wants it.
pub(crate) fn phrase(status: u16) -> &'static str {
    match status {
        200 => "200 OK",
        400 => "400 Bad Request",
        405 => "405 Method Not Allowed",
        413 => "413 Content Too Large",
        422 => "422 Unprocessable Content",
        _ => "500 Internal Server Error",
    }
}

/// A text that does not fit the task is the caller's matter, all else is ours.
impl From<bertless::Error> for Refusal {
    fn from(error: bertless::Error) -> Self {
        let reason = error.to_string();
        match error {
            bertless::Error::Input { .. } | bertless::Error::Option { .. } => {
                Self::unanswerable(reason)
            }
            _ => Self::failed(reason),
        }
    }
}

/// What a direct caller gets, `{"errorType": "422 Unprocessable Content", "errorMessage": reason}`: AWS counts it as an error,
/// and keeps an event that nobody waits for.
impl From<Refusal> for Diagnostic {
    fn from(refusal: Refusal) -> Self {
        Self {
            error_type: phrase(refusal.status).to_owned(),
            error_message: refusal.reason,
        }
    }
}
