//! Progress bars on standard error. They are hidden where standard error is no terminal.

use std::ops::Deref;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// What a progress bar shows beside its message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Look {
    /// Position and length.
    Count,
    /// A percentage.
    Share,
    /// The elapsed time: the length is not known.
    Spinner,
}

/// A progress bar that is removed from the terminal when it is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar of length 0, which `set_length` changes.
    pub(crate) fn new(look: Look) -> Self {
        let bar = ProgressBar::new(0).with_style(look.style());
        if let Look::Spinner = look {
            bar.enable_steady_tick(TICK);
        }
        Self(bar)
    }
}

impl Look {
    pub(crate) fn style(self) -> ProgressStyle {
        let template = match self {
            Self::Count => "{bar:24} {pos}/{len} {msg} {eta} left",
            Self::Share => "{wide_bar} {percent}% {msg} {eta} left",
            Self::Spinner => "{spinner} {msg} {elapsed}",
        };
        ProgressStyle::with_template(template).expect("the templates above are valid")
    }
}

impl Deref for Progress {
    type Target = ProgressBar;

    fn deref(&self) -> &ProgressBar {
        &self.0
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
