//! What the environment says, with defaults that fit Cloud Run's own.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

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
    /// `FUNCTION_SIGNATURE_TYPE`: what `/` takes.
    pub(crate) root: Root,
}

/// What a request may hold at most.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// `BERTLESS_MAX_BODY`: bytes of a body.
    pub(crate) body: usize,
    /// `BERTLESS_MAX_TEXTS`: texts of a request.
    pub(crate) texts: usize,
    /// `BERTLESS_MAX_TEXT`: bytes of a text, or of both of a pair.
    pub(crate) text: usize,
}

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
            limits: Limits {
                body: read("BERTLESS_MAX_BODY", 1 << 20)?,
                texts: read("BERTLESS_MAX_TEXTS", 256)?,
                text: read("BERTLESS_MAX_TEXT", 64 << 10)?,
            },
            root: match root.as_str() {
                "" => Root::Either,
                "http" => Root::Http,
                "cloudevent" | "event" => Root::Events,
                other => {
                    bail!("FUNCTION_SIGNATURE_TYPE: {other:?} is neither http nor cloudevent")
                }
            },
        };
        ensure!(settings.queue > 0, "BERTLESS_QUEUE: 0 requests may wait");
        Ok(settings)
    }
}

/// A variable's value; one that is not set, or empty, is the default.
fn read<T: FromStr>(name: &str, default: T) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => {
            let parsed = value.parse();
            parsed.with_context(|| format!("{name}: {value:?}"))
        }
        Ok(_) | Err(std::env::VarError::NotPresent) => Ok(default),
        Err(error) => Err(error).context(name.to_owned()),
    }
}
