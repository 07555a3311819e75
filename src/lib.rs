//! BERT for serverless functions, in pure Rust.

pub mod batch;
mod config;
pub mod error;
mod kernels;
mod weights;

pub use batch::{Batch, Encoding, Input};
pub use config::{Family, Pooling, ScoreFunction, Task};
pub use error::{Error, Result};
pub use weights::Files;
#[cfg(feature = "mmap")]
pub use weights::MapContract;
