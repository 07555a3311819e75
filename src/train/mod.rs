//! Fine-tuning and distillation, with backward passes written by hand. No module of the crate below this one depends on it.
//!
//! Modules in order of dependency, lowest first: `random`; `atomic` (files that are never half-written); `data` (tables to
//! examples); `task` (the table of tasks); `recipe`; `model` (network, parameters, checkpoint); `losses`; `distill` (outputs
//! and hidden states of a teacher); `run` (the training loop and its folder). Beside `run`, `label` writes tables of a
//! teacher's predictions.

mod atomic;
mod data;
mod distill;
mod label;
mod losses;
mod model;
mod random;
mod recipe;
mod run;
mod task;

/// Returns the path of a model of the fixtures.
#[cfg(test)]
fn fixture(name: &str) -> std::path::PathBuf {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    fixtures.join("models").join(name)
}

pub use data::{
    Cell, Condition, JsonLines, JsonRow, Row, SECOND_COLUMNS, Source, TEXT_COLUMNS, TableFormat,
    TableReader, TextLines, label_id, label_ids, usual_pair,
};
pub use label::{Labelled, Labelling, label};
pub use recipe::Recipe;
pub use run::{At, Figures, Job, Line, Observer, Outcome, Steps, Trial, read_log};
