//! Memory that is aligned, shared and used again.

mod aligned;
mod arena;
mod pool;

pub(crate) use aligned::AlignedFloats;
pub(crate) use arena::{Arena, WeightBuf};
pub(crate) use pool::BufferPool;
