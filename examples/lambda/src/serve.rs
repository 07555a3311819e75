//! Events, one after the other or several at once, until SIGTERM.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bertless_questions::Refusal;
use lambda_runtime::tower::layer::layer_fn;
use lambda_runtime::{Error, LambdaEvent, LambdaInvocation, Runtime, service_fn};
use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::refusal::diagnostic;
use crate::service::Service;

/// How long an event that was handed out just before SIGTERM may be on its way here.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

/// Answers events; ends when the process is told to, or when the Runtime API is gone.
///
/// One thread reads and writes. Where AWS sends one request at a time, as everywhere but on Managed Instances, it computes
/// as well: nobody waits meanwhile. Where several come at once, computing is done by as many other threads as the model
/// has, and the rest waits for one of them.
pub(crate) fn until_stopped(service: Service) -> Result<(), Error> {
    let at_once = service.settings().concurrency > 1;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(service.model().threads())
        .enable_all()
        .build()?;
    let handler = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let service = service.clone();
        async move {
            let work = move || service.respond(&event.payload, &event.context.request_id);
            let reply = match at_once {
                false => work(),
                true => tokio::task::spawn_blocking(work)
                    .await
                    .unwrap_or_else(|error| Err(Refusal::failed(error.to_string()))),
            };
            reply.map_err(diagnostic)
        }
    });
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let traffic = Arc::new(Traffic::default());
        let counted = |inner| Counted {
            inner,
            traffic: traffic.clone(),
        };
        let events = Runtime::new(handler).layer(layer_fn(counted));
        let mut events = std::pin::pin!(events.run_concurrent());
        tokio::select! {
            ended = &mut events => return ended,
            _ = terminate.recv() => traffic.stopping.send_replace(true),
        };
        tracing::info!(in_flight = *traffic.in_flight.borrow(), "stopping");
        let over = async {
            tokio::time::sleep(ON_ITS_WAY).await;
            traffic.over().await;
        };
        tokio::select! {
            biased;
            () = over => tracing::info!("stopped"),
            ended = events => return ended,
        }
        Ok(())
    })
}

/// Which requests there are, and whether more are wanted.
#[derive(Debug, Default)]
struct Traffic {
    in_flight: watch::Sender<usize>,
    stopping: watch::Sender<bool>,
}

impl Traffic {
    /// Comes when no request is left.
    async fn over(&self) {
        // The sender is here, so it does not end before.
        let _ = self.in_flight.subscribe().wait_for(|&left| left == 0).await;
    }
}

/// Around the runtime's own service, which ends when AWS has the reply: before that, a request is not over.
#[derive(Clone)]
struct Counted<S> {
    inner: S,
    traffic: Arc<Traffic>,
}

impl<S> lambda_runtime::Service<LambdaInvocation> for Counted<S>
where
    S: lambda_runtime::Service<LambdaInvocation, Response = (), Error = Error>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: LambdaInvocation) -> Self::Future {
        let traffic = self.traffic.clone();
        traffic.in_flight.send_modify(|count| *count += 1);
        let replied = self.inner.call(request);
        Box::pin(async move {
            let done = replied.await;
            traffic.in_flight.send_modify(|count| *count -= 1);
            if *traffic.stopping.borrow() {
                // No next event is asked for.
                std::future::pending::<()>().await;
            }
            done
        })
    }
}
