//! One line of JSON on standard output for each request, as CloudWatch reads it.

use std::time::{Duration, Instant};

use bertless_questions::{Answer, Counts, Refusal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// Sets up lines of JSON, from the level on that AWS sets as the function is configured.
///
/// Only this program's own lines are written, at any level: crates that it uses may log what passes through them.
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
    // A panic's own message can quote a text.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a defect of this program");
    }));
}

/// To the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Characters of a path that the log has at most.
const LONGEST_PATH: usize = 200;

/// What a request came to.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) begin: Instant,
    /// Whether it is the first of its process.
    pub(crate) cold: bool,
    /// Which shape the event had.
    pub(crate) source: &'static str,
    pub(crate) method: Option<String>,
    /// The beginning of the path.
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

    /// Notes that the request came by HTTP, and as what.
    pub(crate) fn asked_by_http(&mut self, method: Option<&str>, path: Option<&str>) {
        self.source = "http";
        self.method = method.map(str::to_owned);
        self.path = path.map(|path| path.chars().take(LONGEST_PATH).collect());
    }

    /// Notes that the request was not answered, and why.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.status = refusal.status;
        self.reason = Some(refusal.logged().to_owned());
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
