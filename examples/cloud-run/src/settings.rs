//! Settings from environment variables, with defaults that match Cloud Run's.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Error, Result, bail, ensure};
use bertless_questions::{Cors, Limits, variable};

/// Settings of the server.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Port to listen on (`PORT`).
    pub(crate) port: u16,
    /// Packed file or model folder (`BERTLESS_MODEL`).
    pub(crate) model: PathBuf,
    /// Number of threads that make predictions (`BERTLESS_WORKERS`). Default: the number of threads that the model computes with.
    pub(crate) workers: Option<usize>,
    /// Number of requests that may wait for a thread (`BERTLESS_QUEUE`).
    pub(crate) queue: usize,
    pub(crate) limits: Limits,
    /// Maximum time for the head of a request to arrive, and then again for its body (`BERTLESS_READ_TIMEOUT`, in seconds).
    pub(crate) read_timeout: Duration,
    /// Origins of web pages that may read answers (`BERTLESS_CORS_ORIGIN`).
    pub(crate) cors: Cors,
    /// Requests that the path `/` accepts (`FUNCTION_SIGNATURE_TYPE`).
    pub(crate) root: Root,
}

/// Maximum length of the queue, whose memory is allocated when the process starts. Cloud Run sends at most 1,000 requests at
/// once.
const MOST_WAITING: usize = 100_000;

/// Maximum number of workers. Each is a thread with memory of its own.
const MOST_WORKERS: usize = 1024;

/// Maximum of `BERTLESS_READ_TIMEOUT`, in seconds. Cloud Run's request timeout is at most an hour.
const LONGEST_READ: u64 = 3600;

/// Requests that the path `/` accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// Events and plain requests, distinguished by their headers and bodies.
    Either,
    /// Plain requests, as `/predict` accepts them.
    Http,
    /// CloudEvents and Pub/Sub pushes.
    Events,
}

impl Settings {
    pub(crate) fn from_environment() -> Result<Self> {
        let target: String = read("FUNCTION_TARGET", "predict".to_owned())?;
        ensure!(
            target == "predict",
            "FUNCTION_TARGET: there is no function {target:?}, only \"predict\""
        );
        let root: String = read("FUNCTION_SIGNATURE_TYPE", String::new())?;
        let settings = Self {
            port: read("PORT", 8080)?,
            model: read("BERTLESS_MODEL", PathBuf::from("model.safetensors"))?,
            workers: read("BERTLESS_WORKERS", 0).map(|workers| Some(workers).filter(|&n| n > 0))?,
            // Cloud Run's default for concurrent requests per instance.
            queue: read("BERTLESS_QUEUE", 80)?,
            limits: Limits::from_environment().map_err(Error::msg)?,
            read_timeout: Duration::from_secs(read("BERTLESS_READ_TIMEOUT", 30)?),
            cors: Cors::from_environment().map_err(Error::msg)?,
            root: match root.as_str() {
                "" => Root::Either,
                "http" => Root::Http,
                "cloudevent" | "event" => Root::Events,
                other => {
                    bail!("FUNCTION_SIGNATURE_TYPE: {other:?} is neither http nor cloudevent")
                }
            },
        };
        ensure!(
            settings.workers <= Some(MOST_WORKERS),
            "BERTLESS_WORKERS: {}: must be at most {MOST_WORKERS} threads",
            settings.workers.unwrap_or_default()
        );
        ensure!(
            (1..=LONGEST_READ).contains(&settings.read_timeout.as_secs()),
            "BERTLESS_READ_TIMEOUT: {}: must be 1 to {LONGEST_READ} seconds",
            settings.read_timeout.as_secs()
        );
        ensure!(
            settings.queue > 0,
            "BERTLESS_QUEUE: 0: must be at least 1 request"
        );
        ensure!(
            settings.queue <= MOST_WAITING,
            "BERTLESS_QUEUE: {}: must be at most {MOST_WAITING} requests",
            settings.queue
        );
        Ok(settings)
    }
}

fn read<T: FromStr>(name: &str, default: T) -> Result<T>
where
    T::Err: Display,
{
    variable(name, default).map_err(Error::msg)
}
