//! SIGTERM: what was asked is answered before the process ends.
//!
//! Cloud Run sends no new requests then, but some are on their way: they are still taken until it is quiet. It kills the
//! process ten seconds after the signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::routes::App;

/// How long nobody must have asked.
const QUIET: Duration = Duration::from_millis(100);
/// How long that is waited for at most.
const STILL_TAKEN: Duration = Duration::from_secs(7);
/// When what is still unanswered is given up.
const DEADLINE: Duration = Duration::from_secs(9);
const POLL: Duration = Duration::from_millis(10);

/// Which requests there are, and whether more are wanted.
#[derive(Debug)]
pub(crate) struct Traffic {
    asked: AtomicUsize,
    in_flight: AtomicUsize,
    cold: AtomicBool,
    stopping: watch::Sender<bool>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            asked: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            cold: AtomicBool::new(true),
            stopping: watch::Sender::new(false),
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
        *self.stopping.borrow()
    }

    async fn stopped(&self) {
        // The sender is here, so it does not end before.
        let _ = self
            .stopping
            .subscribe()
            .wait_for(|&stopping| stopping)
            .await;
    }
}

/// Waits for SIGTERM (or Ctrl-C), then until nobody asks any more.
pub(crate) async fn when_quiet(app: Arc<App>) {
    asked_to_stop().await;
    let traffic = &app.traffic;
    traffic.stopping.send_replace(true);
    tracing::info!(
        severity = "INFO",
        in_flight = traffic.in_flight(),
        "stopping"
    );
    let begin = Instant::now();
    let (mut since, mut seen) = (begin, traffic.asked.load(Ordering::SeqCst));
    while begin.elapsed() < STILL_TAKEN && since.elapsed() < QUIET {
        sleep(POLL).await;
        let asked = traffic.asked.load(Ordering::SeqCst);
        if asked != seen || traffic.in_flight() > 0 {
            (since, seen) = (Instant::now(), asked);
        }
    }
}

/// Comes some time after the signal, and never without it.
pub(crate) async fn deadline(app: &App) {
    app.traffic.stopped().await;
    sleep(DEADLINE).await;
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
