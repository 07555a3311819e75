//! Settings from environment variables.

use std::path::PathBuf;

use bertless_questions::{Cors, Limits, variable};

use crate::Error;

/// Settings of the function, from its own variables and from those that AWS sets.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Packed file or model folder (`BERTLESS_MODEL`). `None` means the file in the function's package.
    #[cfg_attr(
        feature = "embedded",
        expect(dead_code, reason = "the model is in the program")
    )]
    pub(crate) model: Option<PathBuf>,
    pub(crate) limits: Limits,
    /// Origins of web pages that may read answers (`BERTLESS_CORS_ORIGIN`).
    pub(crate) cors: Cors,
    /// Host and port of the Runtime API (`AWS_LAMBDA_RUNTIME_API`).
    pub(crate) runtime_api: String,
    /// Number of requests that AWS sends to one process at a time, on Managed Instances (`AWS_LAMBDA_MAX_CONCURRENCY`).
    pub(crate) concurrency: usize,
}

/// Variables that AWS sets and that this function requires.
const REQUIRED: [&str; 2] = ["AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"];

impl Settings {
    pub(crate) fn from_environment() -> Result<Self, Error> {
        if let Some(name) = REQUIRED.iter().find(|name| std::env::var(name).is_err()) {
            return Err(format!("{name} is not set: this program is started by AWS Lambda").into());
        }
        let memory: u32 = variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 0)?;
        if memory == 0 {
            return Err("AWS_LAMBDA_FUNCTION_MEMORY_SIZE: 0 MB".into());
        }
        let model = std::env::var_os("BERTLESS_MODEL").filter(|path| !path.is_empty());
        Ok(Self {
            model: model.map(PathBuf::from),
            limits: Limits::from_environment()?,
            cors: Cors::from_environment()?,
            runtime_api: variable("AWS_LAMBDA_RUNTIME_API", String::new())?,
            concurrency: variable("AWS_LAMBDA_MAX_CONCURRENCY", 1)?,
        })
    }
}
