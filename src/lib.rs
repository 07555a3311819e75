//! BERT for serverless functions, in pure Rust.

pub mod batch;
pub mod error;

pub use batch::{Batch, Encoding, Input};
pub use error::{Error, Result};
