//! What goes to the log: JSON, a line a request.

use std::time::Instant;

use bertless::Model;
use tracing_subscriber::filter::LevelFilter;

/// Sends events of `tracing` to standard output as JSON; AWS sets `AWS_LAMBDA_LOG_LEVEL` as the function is configured.
pub fn start() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok();
    let level = level
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO);
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_max_level(level)
        .init();
}

/// Milliseconds since then, to a microsecond.
pub fn milliseconds(begin: Instant) -> f64 {
    begin.elapsed().as_micros() as f64 / 1000.0
}

/// The function is there.
pub fn ready(model: &Model, opened_ms: f64, ready_ms: f64) {
    let (set, threads) = (model.instruction_set(), model.threads());
    tracing::info!(opened_ms, ready_ms, instruction_set = set, threads, "ready");
}

/// What a request came to.
#[derive(Debug, Default)]
pub struct Request {
    /// Which shape the event had.
    pub event: &'static str,
    /// The HTTP status, also of what is no HTTP.
    pub status: u16,
    pub texts: usize,
    pub failed: usize,
    pub tokens: usize,
    /// How many texts were longer than the model.
    pub truncated: usize,
}

/// One request.
pub fn request(id: &str, request: &Request, begin: Instant, cold: bool) {
    let Request {
        event,
        status,
        texts,
        failed,
        tokens,
        truncated,
    } = request;
    let duration_ms = milliseconds(begin);
    tracing::info!(
        request_id = id,
        event,
        status,
        texts,
        failed,
        tokens,
        truncated,
        duration_ms,
        cold,
        "request"
    );
}
