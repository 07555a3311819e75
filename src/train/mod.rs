//! Learning: fine-tuning and distillation, by backward passes written by hand. Nothing below knows that it exists.
//!
//! Floors, lowest first: `random` and `atomic` (files that are never half-written); `data` (tables as examples); `task` (one
//! table of tasks); `recipe`; `model` (network, parameters, checkpoint); `losses`; `distill` (what a teacher gives); `run` (the loop and its folder); beside
//! `run`, `label` (a teacher's tables).

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

pub use data::{
    Cell, Condition, JsonLines, JsonRow, Row, SECOND_COLUMNS, Source, TEXT_COLUMNS, TableFormat,
    TableReader, TextLines, label_id, label_ids, usual_pair,
};
pub use label::{Labelled, Labelling, label};
pub use recipe::Recipe;
pub use run::{At, Figures, Job, Line, Observer, Outcome, Steps, Trial, read_log};
