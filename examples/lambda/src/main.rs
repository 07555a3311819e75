//! A bertless model as an AWS Lambda function.
//!
//! ```text
//! main.rs     init: the model is opened and asked once, then events are waited for
//! model.rs    which model, and from where
//! service.rs  an event in, a reply and a line of log out
//! events.rs   which shape an event has; http.rs and sqs.rs what these shapes hold
//! ask.rs      what is asked: the JSON of a question, and its limits
//! predict.rs  answers, each on its own
//! refusal.rs  why something is not answered
//! log.rs      one JSON line a request
//! ```
//!
//! As in bertless itself, an arrow only ever points down.

mod ask;
mod events;
mod http;
mod log;
mod model;
mod predict;
mod refusal;
mod service;
mod sqs;

use std::process::ExitCode;
use std::time::Instant;

use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use serde_json::value::RawValue;

use crate::refusal::Refusal;
use crate::service::Service;

/// How many requests AWS sends to one process at a time; absent where that is one, as everywhere but on Managed Instances.
const CONCURRENCY: &str = "AWS_LAMBDA_MAX_CONCURRENCY";
/// Where events come from; the first of the variables that the runtime cannot do without.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

fn main() -> ExitCode {
    let begin = Instant::now();
    log::start();
    match init(begin).and_then(|service| serve(&service)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = chain(&*error), "the function cannot run");
            ExitCode::FAILURE
        }
    }
}

/// The model, which has answered once: memory is there and weights are in the caches before the first request comes.
fn init(begin: Instant) -> Result<Service, Error> {
    if std::env::var_os(RUNTIME_API).is_none() {
        return Err(
            format!("{RUNTIME_API} is not set: this program is started by AWS Lambda").into(),
        );
    }
    let service = Service::new(model::open()?, ask::Limits::from_env()?);
    let opened_ms = log::milliseconds(begin);
    model::warm(service.model())?;
    log::ready(service.model(), opened_ms, log::milliseconds(begin));
    Ok(service)
}

/// Answers events until the process is ended.
fn serve(service: &Service) -> Result<(), Error> {
    let concurrency = std::env::var(CONCURRENCY).ok();
    let concurrent = concurrency.is_some_and(|count| count.parse::<usize>().is_ok_and(|n| n > 1));
    let service = service.clone();
    if concurrent {
        // Requests are computed by as many threads as the model has: more would only wait for each other.
        let threads = service.model().threads();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(1).max_blocking_threads(threads);
        let handler = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
            let service = service.clone();
            async move {
                let work = move || service.respond(&event.payload, &event.context.request_id);
                let done = tokio::task::spawn_blocking(work).await;
                done.unwrap_or_else(|error| Err(Refusal::failed(error.to_string())))
            }
        });
        runtime
            .enable_all()
            .build()?
            .block_on(lambda_runtime::run_concurrent(handler))
    } else {
        // One request at a time: nobody waits while it computes, so no second thread is needed.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handler = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
            let reply = service.respond(&event.payload, &event.context.request_id);
            async { reply }
        });
        runtime.block_on(Runtime::new(handler).run())
    }
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
