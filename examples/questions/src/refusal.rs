//! Why something was not answered: a status and a reason, as JSON.

use serde::Serialize;

/// What a caller is told: `{"status": 422, "reason": ".."}`, of a request or of one text of many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Status code as in HTTP, also of requests that did not come by HTTP.
    pub status: u16,
    /// Reason for a person. It holds no text that was asked, and no path of this machine.
    pub reason: String,
    /// What the log says in place of the reason, where the caller must not know all.
    #[serde(skip)]
    pub detail: Option<String>,
}

impl Refusal {
    /// Refuses what is not in the form that it should have: not JSON, not text.
    pub fn malformed(reason: impl Into<String>) -> Self {
        Self::new(400, reason)
    }

    /// Refuses what is more than is taken.
    pub fn too_large(reason: impl Into<String>) -> Self {
        Self::new(413, reason)
    }

    /// Refuses a body with more than `limit` bytes.
    pub fn body_too_large(limit: usize) -> Self {
        Self::too_large(format!("the body has more than {limit} bytes"))
    }

    /// Refuses what was understood and cannot be answered.
    pub fn unanswerable(reason: impl Into<String>) -> Self {
        Self::new(422, reason)
    }

    /// Refuses something with which nothing is wrong. Only the log has the cause.
    pub fn failed(cause: impl Into<String>) -> Self {
        let mut refusal = Self::new(500, "a defect of this program: its log says which");
        refusal.detail = Some(cause.into());
        refusal
    }

    /// Refuses for want of an answer that should be there.
    pub fn lost() -> Self {
        Self::new(500, "the answer was lost to a defect of this program")
    }

    /// Refuses with any other status.
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            detail: None,
        }
    }

    /// The reason as the log has it.
    pub fn logged(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.reason)
    }
}

/// A text that does not fit the task is the caller's mistake. Any other error is this program's, and can name a file.
impl From<bertless::Error> for Refusal {
    fn from(error: bertless::Error) -> Self {
        match error {
            bertless::Error::Input { .. } | bertless::Error::Option { .. } => {
                Self::unanswerable(error.to_string())
            }
            _ => Self::failed(chain(&error)),
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Characters of a quoted name at most.
const LONGEST_NAME: usize = 64;

/// Quotes a key, a header's value or another name that a caller has chosen, if it looks like a name.
///
/// A reason stands in the log, and what a caller writes in the place of a name may be a whole text. Of that only the length is
/// given.
pub fn named(name: &str) -> String {
    let characters = name.chars().count();
    match characters <= LONGEST_NAME && name.chars().all(|c| c.is_ascii_graphic()) {
        true => format!("{name:?}"),
        false => format!("a name of {characters} characters"),
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
        let source = std::io::Error::other("unexpected end of file");
        let refusal = Refusal::from(bertless::Error::Io { path, source });
        assert_eq!(refusal.status, 500);
        assert!(!refusal.reason.contains("/var"), "{refusal:?}");
        assert_eq!(
            refusal.logged(),
            "/var/task/model.safetensors: unexpected end of file"
        );
        let json = serde_json::to_string(&refusal).unwrap();
        assert!(!json.contains("/var"), "{json}");
    }
}
