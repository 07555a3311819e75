//! Progress of a training, on standard error.

use std::path::{Path, PathBuf};

use anyhow::Result;
use bertless::train::{At, Figures, Line, Observer, read_log};

use super::super::output::{note, replace};
use super::super::progress::{Look, Progress};
use super::curves;

/// Prints evaluations, with a progress bar if standard error is a terminal.
pub(super) struct TrainingProgress {
    bar: Progress,
    log: PathBuf,
    /// Moving average of the loss.
    loss: Option<f64>,
    /// Number of tokens in the steps since `begun`.
    tokens: u64,
    /// Time of the first step.
    begun: Option<std::time::Instant>,
}

impl TrainingProgress {
    pub(super) fn new(log: PathBuf) -> Self {
        Self {
            bar: Progress::new(Look::Count),
            log,
            loss: None,
            tokens: 0,
            begun: None,
        }
    }

    /// Removes the bar, and draws the final chart.
    pub(super) fn finish(self) -> Result<()> {
        drop(self.bar);
        write_chart(&self.log)
    }

    /// Returns whether any training step was run.
    pub(super) fn has_seen_steps(&self) -> bool {
        self.begun.is_some()
    }

    pub(super) fn print(&self, message: &str) {
        self.bar.suspend(|| note(message));
    }
}

impl Observer for TrainingProgress {
    fn taught(&mut self, done: usize, of: usize) {
        if done == 0 && of > 0 {
            self.bar.set_length(of as u64);
            self.bar.set_message("texts through the teacher,");
        }
        self.bar.set_position(done as u64);
    }

    fn step(&mut self, at: At) -> bool {
        let begun = *self.begun.get_or_insert_with(|| {
            // The first step is not counted: a resumed run begins in the middle.
            self.bar.set_length(at.steps);
            self.bar.set_position(at.step);
            self.bar.reset_eta();
            std::time::Instant::now()
        });
        // An exponential average over about the last 20 steps.
        let loss = self
            .loss
            .map_or(at.loss, |mean| mean + (at.loss - mean) / 20.0);
        self.loss = Some(loss);
        let seconds = begun.elapsed().as_secs_f64();
        let speed = self.tokens as f64 / seconds.max(1e-9);
        self.tokens += at.tokens as u64;
        self.bar
            .set_message(format!("loss {loss:.4}, {speed:.0} tokens/s,"));
        self.bar.set_position(at.step);
        true
    }

    fn line(&mut self, line: &Line) {
        if let Line::Figures(figures) = line {
            let best = if figures.best {
                ", the best so far"
            } else {
                ""
            };
            self.print(&format!(
                "step {}: {}{best}",
                figures.step,
                format_metrics(figures)
            ));
            // A chart that cannot be written is an error only at the end.
            let _ = write_chart(&self.log);
        }
    }
}

/// Formats metrics as `name value`, separated by commas.
pub(super) fn format_metrics(figures: &Figures) -> String {
    let figures = figures.figures.iter();
    let figures: Vec<String> = figures.map(|(name, x)| format!("{name} {x:.4}")).collect();
    figures.join(", ")
}

/// Draws the curves of a log into `curves.svg` beside it.
fn write_chart(log: &Path) -> Result<()> {
    let svg = curves::svg(&read_log(log)?)?;
    replace(&log.with_file_name("curves.svg"), svg.as_bytes())
}
