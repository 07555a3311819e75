//! Learning: fine-tuning and distillation, by backward passes written by hand. Nothing below knows that it exists.

mod adamw;
mod blueprint;
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "no command mines pairs of texts yet")
)]
mod bm25;
mod data;
mod figures;
mod learner;
mod log;
mod losses;
mod network;
mod objective;
mod ops;
mod parameters;
mod random;
mod recipe;
mod replace;
mod run;
mod schedule;
mod start;
mod state;
mod teacher;
mod trainer;
mod trial;
mod vocabulary;

pub use log::{Figures, Line, Steps, read_log};
pub use run::Job;
pub use trainer::{At, Observer, Outcome};
pub use trial::Trial;
