//! What the wrappers beside it have in common: a model is asked in JSON, each text is checked and answered for itself, and
//! what cannot be answered is refused by a status and a reason.
//!
//! ```text
//! answers.rs   answers, each on its own
//! ask.rs       what is asked: texts and pairs out of JSON
//! limits.rs    how much may be asked at once, and what else the environment says
//! refusal.rs   why something is not answered
//! ```

mod answers;
mod ask;
mod limits;
mod refusal;

pub use answers::{Answer, Counts, Refused, answers};
pub use ask::{Asked, Question, parse, read, text};
pub use limits::{Limits, variable};
pub use refusal::Refusal;
