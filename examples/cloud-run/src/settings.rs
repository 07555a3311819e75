//! What the environment says, with defaults that fit Cloud Run's own.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Error, Result, bail, ensure};
use bertless_questions::{Cors, Limits, variable};

/// Everything that can be chosen.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `PORT`.
    pub(crate) port: u16,
    /// `BERTLESS_MODEL`: a packed file or a folder.
    pub(crate) model: PathBuf,
    /// `BERTLESS_WORKERS`: threads that answer; by default as many as the model computes with.
    pub(crate) workers: Option<usize>,
    /// `BERTLESS_QUEUE`: requests that may wait for one of them.
    pub(crate) queue: usize,
    pub(crate) limits: Limits,
    /// `BERTLESS_READ_TIMEOUT`, in seconds: longest time for the head of a request to arrive, and as long again for its body.
    pub(crate) read_timeout: Duration,
    /// `BERTLESS_CORS_ORIGIN`: origins whose pages may read answers.
    pub(crate) cors: Cors,
    /// `FUNCTION_SIGNATURE_TYPE`: what `/` takes.
    pub(crate) root: Root,
}

/// Places of the queue are made when the process starts; Cloud Run itself sends 1,000 requests at once at most.
const MOST_WAITING: usize = 100_000;

/// Each is a thread, with memory of its own.
const MOST_WORKERS: usize = 1024;

/// Largest `BERTLESS_READ_TIMEOUT`, in seconds. Cloud Run's own request timeout is an hour at most.
const LONGEST_READ: u64 = 3600;

/// What the path `/` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// Events and requests, by what they look like.
    Either,
    /// What `/predict` takes.
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
            // As many as Cloud Run sends to one instance if nobody says otherwise.
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
            "BERTLESS_WORKERS: {} threads, at most {MOST_WORKERS} can compute",
            settings.workers.unwrap_or_default()
        );
        ensure!(
            (1..=LONGEST_READ).contains(&settings.read_timeout.as_secs()),
            "BERTLESS_READ_TIMEOUT: {} seconds, 1 to {LONGEST_READ} can be waited",
            settings.read_timeout.as_secs()
        );
        ensure!(settings.queue > 0, "BERTLESS_QUEUE: 0 requests may wait");
        ensure!(
            settings.queue <= MOST_WAITING,
            "BERTLESS_QUEUE: {} requests may wait, at most {MOST_WAITING} can",
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
