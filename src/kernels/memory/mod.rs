//! Memory of kernels: aligned buffers, one shared range for weights, and pools of buffers that are reused.

mod aligned;
mod arena;
mod pool;

pub(crate) use aligned::AlignedFloats;
pub(crate) use arena::{Arena, WeightBuf};
pub(crate) use pool::BufferPool;
