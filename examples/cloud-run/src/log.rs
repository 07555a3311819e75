//! One line of JSON on standard output for each request, as Cloud Logging reads it.

use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use bertless_questions::Counts;

use crate::failure::Failure;
use crate::routes::SharedApp;

/// What a handler knows of its request; it travels with the response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// The id of the event, if it was one.
    pub(crate) event: Option<String>,
    pub(crate) counts: Counts,
}

/// The status of a request whose client has left, as nginx writes it.
const CLIENT_LEFT: u16 = 499;

/// Sets up lines of JSON.
pub(crate) fn start() {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .init();
}

/// Counts a request while it is answered, and writes its line.
pub(crate) async fn each(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let mut line = Line {
        begin: Instant::now(),
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        cold: *request.method() == Method::POST && app.traffic.is_first(),
        status: CLIENT_LEFT,
        record: Record::default(),
        reason: None,
    };
    let counted = app.traffic.enter();
    let mut response = next.run(request).await;
    drop(counted);
    line.status = response.status().as_u16();
    if let Some(record) = response.extensions_mut().remove() {
        line.record = record;
    }
    let failure = response.extensions_mut().remove::<Failure>();
    line.reason = failure.map(|failure| failure.0.reason);
    if app.traffic.is_stopping() {
        // The next request of this client is for another instance.
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Written when it is dropped, so that a request whose client leaves has its line, too.
struct Line {
    begin: Instant,
    method: Method,
    path: String,
    cold: bool,
    status: u16,
    record: Record,
    reason: Option<String>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let severity = match self.status {
            0..400 => "INFO",
            400..500 => "WARNING",
            _ => "ERROR",
        };
        tracing::info!(
            severity,
            method = self.method.as_str(),
            path = self.path,
            status = self.status,
            duration_ms = milliseconds(self.begin.elapsed()),
            texts = self.record.counts.texts,
            failed = self.record.counts.failed,
            tokens = self.record.counts.tokens,
            truncated = self.record.counts.truncated,
            cold = self.cold,
            event = self.record.event.as_deref(),
            reason = self.reason.as_deref(),
            "request"
        );
    }
}

/// To the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
