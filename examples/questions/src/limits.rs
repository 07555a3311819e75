//! Limits of a request, and the reader of environment variables.

use std::env::VarError;
use std::fmt::Display;
use std::str::FromStr;

/// Limits of a request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum size of a request's JSON in bytes (`BERTLESS_MAX_BODY`).
    pub body: usize,
    /// Maximum number of texts in a request (`BERTLESS_MAX_TEXTS`).
    pub texts: usize,
    /// Maximum size of a text in bytes, or of both texts of a pair together (`BERTLESS_MAX_TEXT`).
    pub text: usize,
}

impl Limits {
    /// Reads the limits from the environment. Defaults: 1 MiB, 256 texts, 64 KiB.
    ///
    /// # Errors
    /// Names a variable that is 0 or not a number.
    pub fn from_environment() -> Result<Self, String> {
        let limit = |name, default| match variable(name, default)? {
            0 => Err(format!("{name}: 0: must be at least 1")),
            limit => Ok(limit),
        };
        Ok(Self {
            body: limit("BERTLESS_MAX_BODY", 1 << 20)?,
            texts: limit("BERTLESS_MAX_TEXTS", 256)?,
            text: limit("BERTLESS_MAX_TEXT", 64 << 10)?,
        })
    }
}

/// Reads and parses an environment variable. Returns `default` if it is not set or empty.
///
/// # Errors
/// Names the variable and why its value is invalid.
pub fn variable<T: FromStr>(name: &str, default: T) -> Result<T, String>
where
    T::Err: Display,
{
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value
            .parse()
            .map_err(|error| format!("{name}: {value:?}: {error}")),
        Ok(_) | Err(VarError::NotPresent) => Ok(default),
        Err(error) => Err(format!("{name}: {error}")),
    }
}
