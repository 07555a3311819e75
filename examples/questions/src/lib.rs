//! JSON protocol of the serverless wrappers beside this package: parses requests, checks and answers each text on its own, and
//! describes errors by a status and a reason.
//!
//! ```text
//! answers.rs     answers of the model, each with its own success or error
//! api_error.rs   status and reason of an error
//! ask.rs         requests: texts and pairs from JSON
//! coding.rs      compressed HTTP bodies: gzip and deflate
//! cors.rs        origins of web pages that may read answers
//! limits.rs      limits of a request, and environment variables
//! ```

mod answers;
mod api_error;
mod ask;
mod coding;
mod cors;
mod limits;

pub use answers::{Answer, Counts, ErrorBody, answers};
pub use api_error::{ApiError, named};
pub use ask::{PredictRequest, Question, json, parse, read, text};
pub use coding::{ACCEPTED_CODINGS, decoded};
pub use cors::Cors;
pub use limits::{Limits, variable};
