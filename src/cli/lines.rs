//! Open inputs, and the location of a text for error messages.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail};

use super::closed;

const STDIN: &str = "standard input";

/// Where a text comes from. Errors about the text begin with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// It is the only one.
    Only,
    /// An argument, counted from 1.
    Argument(usize),
    /// A line of a file, counted from 1.
    Line(Rc<str>, usize),
}

impl Location {
    /// Prefixes an error with this location.
    pub(crate) fn blame(&self, error: anyhow::Error) -> anyhow::Error {
        // No text is to blame for the model.
        if let Some(bertless::Error::WrongTask { .. }) = error.downcast_ref() {
            return error;
        }
        match self {
            Self::Only => error,
            Self::Argument(number) => error.context(format!("text {number}")),
            Self::Line(file, number) => error.context(format!("{file}, line {number}")),
        }
    }
}

/// An open file or standard input.
pub(crate) struct Opened {
    pub(crate) name: Rc<str>,
    pub(crate) input: Box<dyn Read + Send>,
    /// Size in bytes, if it is a file.
    pub(crate) size: Option<u64>,
    /// True for standard input: the next read may block.
    pub(crate) waits: bool,
}

impl Opened {
    /// Opens a file, or standard input if the path is `-`.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Self::stdin();
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| name.clone())?;
        let size = file.metadata().ok().filter(|data| data.is_file());
        Ok(Self {
            name: name.into(),
            size: size.map(|data| data.len()),
            input: Box::new(file),
            waits: false,
        })
    }

    pub(crate) fn stdin() -> Result<Self> {
        if closed::stdin() {
            bail!("{STDIN}: it is closed");
        }
        Ok(Self {
            name: STDIN.into(),
            size: None,
            input: Box::new(std::io::stdin()),
            waits: true,
        })
    }
}
