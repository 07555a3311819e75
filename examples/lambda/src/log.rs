//! One line of JSON on standard output for each request, as CloudWatch reads it.

use std::time::{Duration, Instant};

use tracing_subscriber::filter::LevelFilter;

use crate::predict::Answer;
use crate::refusal::Refusal;

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
    texts: usize,
    failed: usize,
    tokens: usize,
    truncated: usize,
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
            texts: 0,
            failed: 0,
            tokens: 0,
            truncated: 0,
        }
    }

    /// It was not answered.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.status = refusal.status;
        self.reason = Some(refusal.reason.clone());
    }

    /// Counts answers.
    pub(crate) fn count(&mut self, answers: &[Answer]) {
        self.texts += answers.len();
        for answer in answers {
            match &answer.0 {
                Ok(prediction) => {
                    self.tokens += prediction.n_tokens();
                    self.truncated += usize::from(prediction.truncated());
                }
                Err(_) => self.failed += 1,
            }
        }
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
                    texts = self.texts,
                    failed = self.failed,
                    tokens = self.tokens,
                    truncated = self.truncated,
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
