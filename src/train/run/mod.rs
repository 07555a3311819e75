//! Training runs: from a recipe to a trained model. `job` assembles a run from the steps in `prepare`, `trainer` runs the loop,
//! and the other modules handle its files and its evaluation.

mod adamw;
mod card;
mod evaluation;
mod fingerprint;
mod folder;
#[cfg(test)]
mod goldens;
mod job;
mod learnable;
mod log;
mod prepare;
mod schedule;
mod schema;
mod state;
mod trainable;
mod trainer;
mod trial;

pub use job::Job;
pub use log::{Figures, Line, Steps, read_log};
pub use trainer::{At, Observer, Outcome};
pub use trial::Trial;
