//! Layers that encoders and heads consist of.
//!
//! Each has `load`, which takes its weights from a checkpoint by name and shape, and `forward`, which computes on rows:
//! row-major matrices of (tokens, width). The caller passes the memory for intermediate results ([`Scratch`]).

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
