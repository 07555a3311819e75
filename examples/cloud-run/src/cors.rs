//! Cross-origin resource sharing: preflights, and the headers by which a browser lets a page read a response.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bertless_questions::ApiError;

use crate::failure::Failure;
use crate::routes::SharedApp;

/// Middleware that answers preflights and adds the CORS headers to every other response.
pub(crate) async fn each(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let origin = value(headers, header::ORIGIN);
    let is_preflight = *request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let (headers, mut response) = if is_preflight {
        let requested = value(headers, header::ACCESS_CONTROL_REQUEST_HEADERS);
        match app.cors().preflight(&origin, &requested) {
            Ok(headers) => (headers, StatusCode::NO_CONTENT.into_response()),
            Err(error) => (app.cors().headers(&origin), Failure(error).into_response()),
        }
    } else {
        (app.cors().headers(&origin), next.run(request).await)
    };
    for (name, value) in headers {
        match HeaderValue::from_str(&value) {
            Ok(value) => response
                .headers_mut()
                .insert(HeaderName::from_static(name), value),
            Err(error) => return Failure(ApiError::failed(error.to_string())).into_response(),
        };
    }
    response
}

fn value(headers: &HeaderMap, name: HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}
