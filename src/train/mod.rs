//! Learning: fine-tuning and distillation, by backward passes written by hand. Nothing below knows that it exists.

mod adamw;
mod blueprint;
mod bm25;
mod card;
mod data;
mod figures;
mod inside;
mod label;
mod learner;
mod log;
mod losses;
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

pub use label::{Labelled, Labelling, label};
pub use log::{Figures, Line, Steps, read_log};
pub use recipe::Recipe;
pub use run::Job;
pub use source::{Condition, Source};
pub use trainer::{At, Observer, Outcome};
pub use trial::Trial;
