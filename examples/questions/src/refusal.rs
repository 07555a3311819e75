//! Why something was not answered: a status and a reason, as JSON.

use serde::Serialize;

/// What a caller is told: `{"status": 422, "reason": ".."}`, of a request or of one text of many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// As HTTP has it, also of what did not come by HTTP.
    pub status: u16,
    /// For a person.
    pub reason: String,
}

impl Refusal {
    /// It is not what it should be: not JSON, not text.
    pub fn malformed(reason: impl Into<String>) -> Self {
        Self::new(400, reason)
    }

    /// It is more than is taken.
    pub fn too_large(reason: impl Into<String>) -> Self {
        Self::new(413, reason)
    }

    /// It was understood, and cannot be answered.
    pub fn unanswerable(reason: impl Into<String>) -> Self {
        Self::new(422, reason)
    }

    /// Nothing is wrong with it.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::new(500, reason)
    }

    /// An answer that should be there and is not.
    pub fn lost() -> Self {
        Self::failed("the answer was lost to a defect of this program")
    }

    /// By any other status.
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { status, reason }
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
