//! How much may be asked, and how variables of the environment are read.

use std::env::VarError;
use std::fmt::Display;
use std::str::FromStr;

/// What a request may hold at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `BERTLESS_MAX_BODY`: bytes of a question's JSON.
    pub body: usize,
    /// `BERTLESS_MAX_TEXTS`: texts of a question.
    pub texts: usize,
    /// `BERTLESS_MAX_TEXT`: bytes of a text, or of both of a pair.
    pub text: usize,
}

impl Limits {
    /// What the environment says; 1 MiB, 256 texts and 64 KiB where it says nothing.
    ///
    /// # Errors
    /// Which variable is no number, or 0.
    pub fn from_environment() -> Result<Self, String> {
        let limit = |name, default| match variable(name, default)? {
            0 => Err(format!("{name}: 0: nothing could be asked")),
            limit => Ok(limit),
        };
        Ok(Self {
            body: limit("BERTLESS_MAX_BODY", 1 << 20)?,
            texts: limit("BERTLESS_MAX_TEXTS", 256)?,
            text: limit("BERTLESS_MAX_TEXT", 64 << 10)?,
        })
    }
}

/// A variable's value; one that is not set, or empty, is the default.
///
/// # Errors
/// Which variable it is, and why its value cannot be read.
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
