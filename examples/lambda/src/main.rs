//! A bertless model as an AWS Lambda function.
//!
//! ```text
//! main.rs      init: opens the model and makes one prediction
//! serve.rs     event loop, until SIGTERM; runtime_api.rs is its client of AWS Lambda's Runtime API
//! service.rs   answers one event: returns the reply and writes a log line
//! events.rs    shapes of events; http.rs and sqs.rs parse two of them
//! model.rs     loader of the model
//! settings.rs  settings from the environment
//! status.rs    status codes with their phrases
//! log.rs       one line of JSON for each request
//! ```
//!
//! The JSON protocol, which all wrappers share, is in `../questions`. A module depends only on modules below it in this list.

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

/// Any error that ends the process.
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

/// Opens the model and makes one prediction, so that memory is allocated and weights are in the caches before the first request.
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

/// Joins an error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
