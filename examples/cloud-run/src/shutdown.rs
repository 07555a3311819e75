//! Shutdown after SIGTERM: every request that was received gets its response before the process ends.
//!
//! Cloud Run sends no new requests after the signal, but some may be on their way. The process accepts requests until none
//! has arrived for a while. Cloud Run kills the process ten seconds after the signal.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::routes::{App, SharedApp};

/// Time without a new request after which the process stops accepting requests.
const QUIET: Duration = Duration::from_millis(100);
/// Maximum time after the signal in which requests are accepted.
const STILL_TAKEN: Duration = Duration::from_secs(7);
/// Time after the signal at which the process stops waiting for bodies.
const BODIES: Duration = Duration::from_secs(5);
/// Time after the signal at which the process ends, even with unanswered requests.
const DEADLINE: Duration = Duration::from_secs(9);
const POLL: Duration = Duration::from_millis(10);

/// Counts of requests, and the state of the shutdown.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// Number of requests that have arrived since the start.
    received: AtomicUsize,
    in_flight: AtomicUsize,
    cold: AtomicBool,
    /// Time of the signal; `None` before it.
    stopping: watch::Sender<Option<Instant>>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            received: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            cold: AtomicBool::new(true),
            stopping: watch::Sender::new(None),
        }
    }
}

/// A request that is being answered.
pub(crate) struct InFlight<'a>(&'a Traffic);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Traffic {
    pub(crate) fn enter(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        self.received.fetch_add(1, Ordering::SeqCst);
        InFlight(self)
    }

    /// Returns whether this is the first call.
    pub(crate) fn is_first(&self) -> bool {
        self.cold.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.borrow().is_some()
    }

    /// Waits until the process stops waiting for bodies.
    pub(crate) async fn gives_up_on_bodies(&self) {
        self.stopped_for(BODIES).await;
    }

    /// Waits until `time` after the signal.
    async fn stopped_for(&self, time: Duration) {
        let mut stopping = self.stopping.subscribe();
        // `self` holds the sender, so waiting cannot fail.
        let stopped = stopping.wait_for(Option::is_some).await;
        let stopped = stopped.ok().and_then(|stopped| *stopped);
        match stopped {
            Some(at) => sleep_until(at + time).await,
            None => std::future::pending().await,
        }
    }
}

/// Waits for SIGTERM (or Ctrl-C), and then until no new requests arrive.
pub(crate) async fn when_quiet(app: SharedApp) {
    stop_signal().await;
    let traffic = &app.traffic;
    let begin = Instant::now();
    traffic.stopping.send_replace(Some(begin));
    tracing::info!(
        severity = "INFO",
        in_flight = traffic.in_flight(),
        "stopping"
    );
    let (mut since, mut seen) = (begin, traffic.received.load(Ordering::SeqCst));
    while begin.elapsed() < STILL_TAKEN && since.elapsed() < QUIET {
        sleep(POLL).await;
        let received = traffic.received.load(Ordering::SeqCst);
        if received != seen || traffic.in_flight() > 0 {
            (since, seen) = (Instant::now(), received);
        }
    }
}

/// Waits until the process ends, even with unanswered requests.
pub(crate) async fn deadline(app: &App) {
    app.traffic.stopped_for(DEADLINE).await;
}

async fn stop_signal() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            // Without a handler the signal ends the process.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
