//! A bertless model behind HTTP, for Google Cloud Run: `POST /predict`, CloudEvents and Pub/Sub pushes on `/`, `/healthz`.
//!
//! The program loads the model and makes one prediction before it opens its port, so that the first request finds the
//! weights in memory. Asynchronous threads handle connections. A pool of as many threads as the model computes with makes
//! the predictions, behind a queue of bounded length. The JSON protocol, which all wrappers share, is in `../questions`.

mod body;
mod connections;
mod cors;
mod events;
mod failure;
mod log;
mod pool;
mod routes;
mod settings;
mod shutdown;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use bertless::Model;
use tokio::net::TcpListener;

use pool::Pool;
use routes::App;
use settings::Settings;

/// Text of the prediction before the first request, which reads every weight once.
const FIRST: &str = "An absolute delight.";

#[tokio::main]
async fn main() -> Result<()> {
    log::start();
    let begin = Instant::now();
    let settings = Settings::from_environment()?;
    let model = Model::load(&settings.model)?;
    // A model whose task needs a pair or a mask refuses this text. Its weights are in memory all the same.
    let _ = model.predict(FIRST);
    let (task, threads) = (model.task(), model.threads());
    let pool = Pool::start(model, settings.workers.unwrap_or(threads), settings.queue)?;

    let address = ("0.0.0.0", settings.port);
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("port {}", settings.port))?;
    tracing::info!(
        severity = "INFO",
        port = listener.local_addr()?.port(),
        %task,
        threads,
        start_ms = log::milliseconds(begin.elapsed()),
        "ready"
    );
    let app = Arc::new(App::new(pool, settings));
    tokio::select! {
        () = connections::serve(listener, app.clone()) => {}
        () = shutdown::deadline(&app) => {
            let unanswered = app.traffic.in_flight();
            anyhow::ensure!(unanswered == 0, "the time to stop is over, and {unanswered} requests have no response");
        }
    }
    tracing::info!(severity = "INFO", "stopped");
    Ok(())
}
