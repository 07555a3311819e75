//! One line of JSON on standard output for each request, as Cloud Logging reads it.

use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{Method, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use bertless_questions::Counts;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::failure::{CLOSE, Failure};
use crate::routes::SharedApp;

/// Fields of a log line that the handler provides, as an extension of the response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// Id of the event; `None` for other requests.
    pub(crate) event: Option<String>,
    pub(crate) counts: Counts,
}

/// Status that the log gives a request whose client left before the response. nginx logs the same status.
const CLIENT_LEFT: u16 = 499;

/// Maximum number of characters of a path or of an event's id in the log.
const LONGEST: usize = 200;

/// Sets up the log: lines of JSON.
///
/// Only lines of this program are written: its dependencies may log the texts that pass through them.
pub(crate) fn start() {
    let own = Targets::new().with_target(env!("CARGO_CRATE_NAME"), LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false);
    tracing_subscriber::registry().with(lines).with(own).init();
    // The message of a panic may quote a text.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(severity = "ERROR", location, "a defect of this program");
    }));
}

/// Middleware that counts a request while it is being answered, and writes its log line.
pub(crate) async fn each(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let mut line = Line {
        begin: Instant::now(),
        method: request.method().clone(),
        path: beginning(request.uri().path()).to_owned(),
        cold: *request.method() == Method::POST && app.traffic.is_first(),
        status: CLIENT_LEFT,
        record: Record::default(),
        reason: None,
    };
    let version = request.version();
    let counted = app.traffic.enter();
    let mut response = next.run(request).await;
    drop(counted);
    line.status = response.status().as_u16();
    if let Some(record) = response.extensions_mut().remove() {
        line.record = record;
    }
    let failure = response.extensions_mut().remove::<Failure>();
    line.reason = failure.map(|failure| failure.0.logged().to_owned());
    // Makes the client send its next request to another instance. HTTP/2 has no such header: its connections are closed when
    // the server stops accepting requests.
    if app.traffic.is_stopping() && version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, CLOSE);
    }
    response
}

/// Log line of a request. Dropping it writes the line, so that a request whose client leaves is logged, too.
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
        macro_rules! at {
            ($level:ident, $severity:literal) => {
                tracing::$level!(
                    severity = $severity,
                    method = self.method.as_str(),
                    path = self.path,
                    status = self.status,
                    duration_ms = milliseconds(self.begin.elapsed()),
                    texts = self.record.counts.texts,
                    failed = self.record.counts.failed,
                    tokens = self.record.counts.tokens,
                    truncated = self.record.counts.truncated,
                    cold = self.cold,
                    event = self.record.event.as_deref().map(beginning),
                    reason = self.reason.as_deref(),
                    "request"
                )
            };
        }
        match self.status {
            0..400 => at!(info, "INFO"),
            400..500 => at!(warn, "WARNING"),
            _ => at!(error, "ERROR"),
        }
    }
}

fn beginning(text: &str) -> &str {
    let end = text.char_indices().nth(LONGEST);
    end.map_or(text, |(end, _)| &text[..end])
}

/// Converts a duration to milliseconds, rounded to the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
