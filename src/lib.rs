//! BERT for serverless functions, in pure Rust.

pub mod batch;
pub mod error;
mod kernels;

pub use batch::{Batch, Encoding, Input};
pub use error::{Error, Result};
