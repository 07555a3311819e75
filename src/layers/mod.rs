//! The parts that encoders and heads are made of.
//!
//! Each has `load`, which asks a checkpoint for its weights by name and shape, and `forward`, which computes on rows:
//! matrices of (tokens, width), row by row. Memory to compute in is passed in ([`Scratch`]).

mod attention;
mod embedding;
mod feed_forward;
mod linear;
mod norm;
mod parallel_row_blocks;
mod scratch;
mod texts;

pub(crate) use attention::{AttentionBuffers, SelfAttention};
pub(crate) use embedding::Embedding;
pub(crate) use feed_forward::FeedForward;
pub(crate) use linear::Linear;
pub(crate) use norm::Norm;
pub(crate) use parallel_row_blocks::parallel_row_blocks;
pub(crate) use scratch::Scratch;
pub(crate) use texts::Texts;
