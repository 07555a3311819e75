//! Errors as HTTP responses.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bertless_questions::{ACCEPTED_CODINGS, ApiError, ErrorBody};

/// Error that becomes a response: `{"error": {"status": 422, "reason": ".."}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) ApiError);

/// Seconds after which a client may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

pub(crate) const CLOSE: HeaderValue = HeaderValue::from_static("close");

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(ErrorBody { error: &self.0 })).into_response();
        let accepted = HeaderValue::from_static(ACCEPTED_CODINGS);
        let headers = response.headers_mut();
        match status {
            StatusCode::SERVICE_UNAVAILABLE => headers.insert(header::RETRY_AFTER, RETRY_AFTER),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => headers.insert(header::ACCEPT_ENCODING, accepted),
            // The rest of the body may still arrive, and must not be read as the next request.
            StatusCode::REQUEST_TIMEOUT => headers.insert(header::CONNECTION, CLOSE),
            _ => None,
        };
        response.extensions_mut().insert(self);
        response
    }
}
