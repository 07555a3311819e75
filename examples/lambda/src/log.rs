//! Log for CloudWatch: one line of JSON on standard output for each request.

use std::time::{Duration, Instant};

use bertless_questions::{Answer, ApiError, Counts};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// Sets up the log, with the minimum level that the function's configuration in AWS sets.
///
/// Only events of this program are written, at any level: its dependencies may log the texts that pass through them.
pub(crate) fn start() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok();
    let level = level.and_then(|level| match level.to_lowercase().as_str() {
        "fatal" => Some(LevelFilter::ERROR),
        known => known.parse().ok(),
    });
    let own = env!("CARGO_CRATE_NAME");
    let own = Targets::new().with_target(own, level.unwrap_or(LevelFilter::INFO));
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
        tracing::error!(location, "a defect of this program");
    }));
}

/// Converts a duration to milliseconds, rounded to the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Maximum number of characters of a path in the log.
const LONGEST_PATH: usize = 200;

/// Log line of a request.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) begin: Instant,
    /// Whether this is the first request of the process (a cold start).
    pub(crate) cold: bool,
    /// Shape of the event.
    pub(crate) source: &'static str,
    pub(crate) method: Option<String>,
    /// Path of an HTTP request, cut to the maximum length.
    pub(crate) path: Option<String>,
    pub(crate) status: u16,
    pub(crate) reason: Option<String>,
    counts: Counts,
}

impl Record {
    pub(crate) fn new(cold: bool) -> Self {
        Self {
            begin: Instant::now(),
            cold,
            source: "direct",
            method: None,
            path: None,
            status: 200,
            reason: None,
            counts: Counts::default(),
        }
    }

    /// Records that the request came over HTTP, with its method and path.
    pub(crate) fn http(&mut self, method: Option<&str>, path: Option<&str>) {
        self.source = "http";
        self.method = method.map(str::to_owned);
        self.path = path.map(|path| path.chars().take(LONGEST_PATH).collect());
    }

    /// Records the error of a request that was not answered.
    pub(crate) fn refused(&mut self, error: &ApiError) {
        self.status = error.status;
        self.reason = Some(error.logged().to_owned());
    }

    /// Records the totals of the answers.
    pub(crate) fn count(&mut self, answers: &[Answer]) {
        self.counts = Counts::of(answers);
    }

    /// Writes the log line.
    pub(crate) fn write(self, request_id: &str) {
        macro_rules! at {
            ($level:ident) => {
                tracing::$level!(
                    request_id,
                    source = self.source,
                    method = self.method.as_deref(),
                    path = self.path.as_deref(),
                    status = self.status,
                    duration_ms = milliseconds(self.begin.elapsed()),
                    texts = self.counts.texts,
                    failed = self.counts.failed,
                    tokens = self.counts.tokens,
                    truncated = self.counts.truncated,
                    cold = self.cold,
                    reason = self.reason.as_deref(),
                    "request"
                )
            };
        }
        match self.status {
            0..400 => at!(info),
            400..500 => at!(warn),
            _ => at!(error),
        }
    }
}
