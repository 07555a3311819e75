//! SIGTERM: what was asked is answered before the process ends.
//!
//! Cloud Run sends no new requests then, but some are on their way: they are still taken until it is quiet. It kills the
//! process ten seconds after the signal.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::routes::{App, SharedApp};

/// How long nobody must have asked.
const QUIET: Duration = Duration::from_millis(100);
/// How long that is waited for at most.
const STILL_TAKEN: Duration = Duration::from_secs(7);
/// Time after the signal at which bodies that have not arrived are given up.
const BODIES: Duration = Duration::from_secs(5);
/// When what is still unanswered is given up.
const DEADLINE: Duration = Duration::from_secs(9);
const POLL: Duration = Duration::from_millis(10);

/// Which requests there are, and whether more are wanted.
#[derive(Debug)]
pub(crate) struct Traffic {
    asked: AtomicUsize,
    in_flight: AtomicUsize,
    cold: AtomicBool,
    /// Time of the signal, once it has come.
    stopping: watch::Sender<Option<Instant>>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            asked: AtomicUsize::new(0),
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
        self.asked.fetch_add(1, Ordering::SeqCst);
        InFlight(self)
    }

    /// True once.
    pub(crate) fn is_first(&self) -> bool {
        self.cold.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.borrow().is_some()
    }

    /// Waits until the process stops and gives up bodies that have not arrived.
    pub(crate) async fn gives_up_on_bodies(&self) {
        self.stopped_for(BODIES).await;
    }

    /// Waits for the signal, and then for a while.
    async fn stopped_for(&self, time: Duration) {
        let mut stopping = self.stopping.subscribe();
        // The sender is here, so it does not end before.
        let stopped = stopping.wait_for(Option::is_some).await;
        let stopped = stopped.ok().and_then(|stopped| *stopped);
        match stopped {
            Some(at) => sleep_until(at + time).await,
            None => std::future::pending().await,
        }
    }
}

/// Waits for SIGTERM (or Ctrl-C), then until nobody asks any more.
pub(crate) async fn when_quiet(app: SharedApp) {
    asked_to_stop().await;
    let traffic = &app.traffic;
    let begin = Instant::now();
    traffic.stopping.send_replace(Some(begin));
    tracing::info!(
        severity = "INFO",
        in_flight = traffic.in_flight(),
        "stopping"
    );
    let (mut since, mut seen) = (begin, traffic.asked.load(Ordering::SeqCst));
    while begin.elapsed() < STILL_TAKEN && since.elapsed() < QUIET {
        sleep(POLL).await;
        let asked = traffic.asked.load(Ordering::SeqCst);
        if asked != seen || traffic.in_flight() > 0 {
            (since, seen) = (Instant::now(), asked);
        }
    }
}

/// Waits until the process stops and gives up what is still unanswered.
pub(crate) async fn deadline(app: &App) {
    app.traffic.stopped_for(DEADLINE).await;
}

async fn asked_to_stop() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            // Then the signal ends the process, as it does without a handler.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
