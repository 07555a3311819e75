//! What the wrappers beside it have in common: a model is asked in JSON, each text is checked and answered for itself, and
//! what cannot be answered is refused by a status and a reason.
//!
//! ```text
//! answers.rs   answers, each on its own
//! ask.rs       what is asked: texts and pairs out of JSON
//! coding.rs    bodies of HTTP in gzip and deflate
//! cors.rs      which web pages may ask
//! limits.rs    how much may be asked at once, and what else the environment says
//! refusal.rs   why something is not answered
//! ```

mod answers;
mod ask;
mod coding;
mod cors;
mod limits;
mod refusal;

pub use answers::{Answer, Counts, Refused, answers};
pub use ask::{Asked, Question, json, parse, read, text};
pub use coding::{ACCEPTED_CODINGS, decoded};
pub use cors::Cors;
pub use limits::{Limits, variable};
pub use refusal::{Refusal, named};
