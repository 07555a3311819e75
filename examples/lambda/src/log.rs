//! One line of JSON on standard output for each request, as CloudWatch reads it.

use std::time::{Duration, Instant};

use bertless_questions::{Answer, Counts, Refusal};
use tracing_subscriber::filter::LevelFilter;

/// Sets up lines of JSON, from the level on that AWS sets as the function is configured.
pub(crate) fn start() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok();
    let level = level.and_then(|level| match level.to_lowercase().as_str() {
        "fatal" => Some(LevelFilter::ERROR),
        known => known.parse().ok(),
    });
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .init();
}

/// To the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// What a request came to.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) begin: Instant,
    /// Whether it is the first of its process.
    pub(crate) cold: bool,
    /// Which shape the event had.
    pub(crate) source: &'static str,
    pub(crate) method: Option<String>,
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

    /// It was not answered.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.status = refusal.status;
        self.reason = Some(refusal.reason.clone());
    }

    /// What was answered.
    pub(crate) fn count(&mut self, answers: &[Answer]) {
        self.counts = Counts::of(answers);
    }

    /// Writes the line.
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
