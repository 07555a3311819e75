//! How a refusal is said to those who did not come by HTTP, and by a load balancer.

use bertless_questions::Refusal;
use lambda_runtime::Diagnostic;

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

/// What a direct caller gets, `{"errorType": "422 Unprocessable Content", "errorMessage": reason}`: AWS counts it as an error,
/// and keeps an event that nobody waits for.
pub(crate) fn diagnostic(refusal: Refusal) -> Diagnostic {
    Diagnostic {
        error_type: phrase(refusal.status).to_owned(),
        error_message: refusal.reason,
    }
}
