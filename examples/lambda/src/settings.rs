//! What the environment says.

use std::path::PathBuf;

use bertless_questions::{Limits, variable};
use lambda_runtime::Error;

/// Everything that can be chosen, and what AWS has chosen.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `BERTLESS_MODEL`: a packed file or a folder; absent, the file in the function's package.
    #[cfg_attr(
        feature = "embedded",
        expect(dead_code, reason = "the model is in the program")
    )]
    pub(crate) model: Option<PathBuf>,
    pub(crate) limits: Limits,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`: how many requests AWS sends to one process at a time, on Managed Instances.
    pub(crate) concurrency: usize,
}

/// What AWS sets, and the runtime's client cannot do without.
const REQUIRED: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
];

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
            concurrency: variable("AWS_LAMBDA_MAX_CONCURRENCY", 1)?,
        })
    }
}
