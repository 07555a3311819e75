//! The parts that encoders and heads are made of.
//!
//! Each has `load`, which asks a checkpoint for its weights by name and shape, and `forward`, which computes on rows:
//! matrices of (tokens, width), row by row. Memory to compute in is passed in ([`Scratch`]).

mod attention;
mod by_rows;
mod feed_forward;
mod linear;
mod norm;
mod scratch;
mod table;
mod texts;

pub(crate) use attention::{Buffers, SelfAttention};
pub(crate) use by_rows::by_rows;
pub(crate) use feed_forward::FeedForward;
pub(crate) use linear::Linear;
pub(crate) use norm::Norm;
pub(crate) use scratch::Scratch;
pub(crate) use table::Table;
pub(crate) use texts::Texts;
