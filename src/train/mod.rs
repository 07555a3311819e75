//! Learning: fine-tuning and distillation, by backward passes written by hand. Nothing below knows that it exists.

mod adamw;
mod blueprint;
mod bm25;
mod card;
mod data;
mod figures;
mod folder;
mod identity;
mod inside;
mod label;
mod learnable;
mod learner;
mod log;
mod losses;
mod names;
mod network;
mod objective;
mod ops;
mod parameters;
mod random;
mod reading;
mod recipe;
mod replace;
mod run;
mod schedule;
mod source;
mod start;
mod state;
mod targets;
mod teacher;
mod trainer;
mod trial;
mod vocabulary;

pub use data::{
    Cell, JsonLines, JsonRow, Row, TableFormat, TableReader, TextLines, label_id, label_ids,
};
pub use label::{Labelled, Labelling, label};
pub use log::{Figures, Line, Steps, read_log};
pub use names::{SECOND_COLUMNS, TEXT_COLUMNS, usual_pair};
pub use recipe::Recipe;
pub use run::Job;
pub use source::{Condition, Source};
pub use trainer::{At, Observer, Outcome};
pub use trial::Trial;
