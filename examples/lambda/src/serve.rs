//! Event loop: answers one event at a time or several at once, until SIGTERM.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bertless_questions::ApiError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::Error;
use crate::runtime_api::{Invocation, RuntimeApi};
use crate::service::Service;

/// Maximum time for an event to arrive that AWS sent just before SIGTERM.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

/// Answers events until SIGTERM, or until the Runtime API fails.
///
/// One thread does all input and output. Except on Managed Instances, AWS sends one request at a time. This thread then also
/// computes, because no other request waits. On Managed Instances AWS sends several requests at once. Other threads then compute,
/// as many as the model uses, and further requests wait for one of them.
///
/// # Errors
/// An error of the Runtime API, or of a thread that could not be started.
pub(crate) fn until_stopped(service: Service) -> Result<(), Error> {
    let settings = service.settings();
    let at_once = settings.concurrency.max(1);
    let api = RuntimeApi::at(&settings.runtime_api, at_once)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(service.model().threads())
        .enable_all()
        .build()?;
    let server = Arc::new(Server {
        service,
        api,
        at_once,
        in_flight: AtomicUsize::new(0),
        stopping: watch::Sender::new(false),
    });
    runtime.block_on(server.run())
}

struct Server {
    service: Service,
    api: RuntimeApi,
    at_once: usize,
    in_flight: AtomicUsize,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// Answers events until SIGTERM or the first error. Returns when every event that was received has its reply.
    async fn run(self: Arc<Self>) -> Result<(), Error> {
        let mut terminate = signal(SignalKind::terminate())?;
        self.api.restored().await?;
        let mut loops = JoinSet::new();
        for _ in 0..self.at_once {
            loops.spawn(self.clone().answer_events());
        }
        let mut result = Ok(());
        loop {
            tokio::select! {
                _ = terminate.recv() => {
                    let in_flight = self.in_flight.load(Ordering::Relaxed);
                    tracing::info!(in_flight, "stopping");
                    self.stopping.send_replace(true);
                }
                ended = loops.join_next() => match ended {
                    None => break,
                    Some(Ok(Ok(()))) => {}
                    // Events in the other loops still get their replies.
                    Some(failed) => {
                        self.stopping.send_replace(true);
                        result = failed.unwrap_or_else(|panic| Err(panic.into()));
                    }
                },
            }
        }
        if result.is_ok() {
            tracing::info!("stopped");
        }
        result
    }

    /// Receives events until SIGTERM, and answers each before it receives the next.
    async fn answer_events(self: Arc<Self>) -> Result<(), Error> {
        let mut stopping = self.stopping.subscribe();
        while !*stopping.borrow() {
            let mut next = std::pin::pin!(self.api.next());
            let invocation = tokio::select! {
                biased;
                invocation = &mut next => invocation?,
                () = until_stopping(&mut stopping) => {
                    match timeout(ON_ITS_WAY, next).await {
                        Ok(invocation) => invocation?,
                        Err(_) => break,
                    }
                }
            };
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            let replied = self.reply(invocation).await;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            replied?;
        }
        Ok(())
    }

    async fn reply(self: &Arc<Self>, invocation: Invocation) -> Result<(), Error> {
        let (reply, invocation) = match self.at_once {
            1 => (self.respond(&invocation), invocation),
            _ => {
                let server = self.clone();
                spawn_blocking(move || (server.respond(&invocation), invocation)).await?
            }
        };
        self.api.reply(&invocation, reply).await
    }

    /// Answers an event. A panic fails this event alone.
    fn respond(&self, invocation: &Invocation) -> Result<Vec<u8>, ApiError> {
        let respond = || {
            let (event, id) = (&invocation.event, &invocation.request_id);
            self.service.respond(event, id, invocation.deadline)
        };
        catch_unwind(AssertUnwindSafe(respond)).unwrap_or_else(|_| Err(ApiError::lost()))
    }
}

/// Waits until the server is stopping.
async fn until_stopping(stopping: &mut watch::Receiver<bool>) {
    // Waiting cannot fail: the server holds the sender, and outlives all loops.
    let _ = stopping.wait_for(|&stopping| stopping).await;
}
