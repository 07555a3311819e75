//! Events, one after the other or several at once, until SIGTERM.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bertless_questions::Refusal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::Error;
use crate::runtime_api::{Invocation, RuntimeApi};
use crate::service::Service;

/// How long an event that was handed out just before SIGTERM may be on its way here.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

/// Answers events; ends when the process is told to, or when the Runtime API is gone.
///
/// One thread reads and writes. Where AWS sends one request at a time, as everywhere but on Managed Instances, it computes
/// as well: nobody waits meanwhile. Where several come at once, computing is done by as many other threads as the model
/// has, and the rest waits for one of them.
///
/// # Errors
/// An error of the Runtime API, or of a thread that could not be made.
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
    /// Answers events until SIGTERM or the first error; returns when all that was begun is answered.
    async fn run(self: Arc<Self>) -> Result<(), Error> {
        let mut terminate = signal(SignalKind::terminate())?;
        self.api.restored().await?;
        let mut loops = JoinSet::new();
        for _ in 0..self.at_once {
            loops.spawn(self.clone().one_after_the_other());
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
                    // What others have begun is still answered.
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

    /// Asks for an event, answers it, and asks for the next.
    async fn one_after_the_other(self: Arc<Self>) -> Result<(), Error> {
        let mut stopping = self.stopping.subscribe();
        while !*stopping.borrow() {
            let mut next = std::pin::pin!(self.api.next());
            let invocation = tokio::select! {
                biased;
                invocation = &mut next => invocation?,
                () = stop(&mut stopping) => {
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

    /// Answers an event; a panic fails that event alone.
    fn respond(&self, invocation: &Invocation) -> Result<Vec<u8>, Refusal> {
        let respond = || {
            self.service
                .respond(&invocation.event, &invocation.request_id)
        };
        catch_unwind(AssertUnwindSafe(respond)).unwrap_or_else(|_| Err(Refusal::lost()))
    }
}

/// Waits until the process is to stop.
async fn stop(stopping: &mut watch::Receiver<bool>) {
    // The sender outlives all loops.
    let _ = stopping.wait_for(|&stopping| stopping).await;
}
