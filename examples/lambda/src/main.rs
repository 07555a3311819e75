//! A bertless model as an AWS Lambda function.
//!
//! ```text
//! main.rs      init: the model is opened and asked once
//! serve.rs     events are waited for and answered, until SIGTERM; runtime_api.rs where they come from
//! service.rs   an event in, a reply and a line of log out
//! events.rs    which shape an event has; http.rs and sqs.rs what these shapes hold
//! model.rs     which model, and from where
//! settings.rs  what the environment says
//! status.rs    status codes in words
//! log.rs       one line of JSON a request
//! ```
//!
//! What is asked and how it is answered stands in `../questions`, for every wrapper. As in bertless itself, an arrow only ever
//! points down.

mod events;
mod http;
mod log;
mod model;
mod runtime_api;
mod serve;
mod service;
mod settings;
mod sqs;
mod status;

use std::process::ExitCode;
use std::time::Instant;

use service::Service;
use settings::Settings;

/// An error that ends the process.
type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let begin = Instant::now();
    log::start();
    match init(begin).and_then(serve::until_stopped) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = chain(&*error), "the function cannot run");
            ExitCode::FAILURE
        }
    }
}

/// The model, which has answered once: memory is there and weights are in the caches before the first request comes.
fn init(begin: Instant) -> Result<Service, Error> {
    let settings = Settings::from_environment()?;
    let model = model::open(&settings)?;
    let opened_ms = log::milliseconds(begin.elapsed());
    model::warm(&model)?;
    let start_ms = log::milliseconds(begin.elapsed());
    tracing::info!(
        task = %model.task(),
        threads = model.threads(),
        instruction_set = model.instruction_set(),
        opened_ms,
        start_ms,
        "ready"
    );
    Ok(Service::new(model, settings))
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
