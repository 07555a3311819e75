//! The ground floor: numbers in slices.
//!
//! Everything that multiplies, sums or exponentiates in bulk is here, and so is all `unsafe` of the library (but for
//! the one call that maps a file). The layers above call these functions; nothing here knows of BERT, of files or of
//! tensors with names.
//!
//! A kernel is written once, over vectors of sixteen floats ([`simd::Simd`]); [`Cpu::run`] picks the copy that was
//! compiled for the instruction set at hand. Two properties hold for all of them:
//!
//! - each output is computed by one chain of operations whose order depends on the lengths only, so the result does
//!   not depend on how many rows there are, on how work is cut, or on the number of threads;
//! - NaN and infinity pass through, so that a caller who looks at the end sees them.

pub(crate) mod activation;
pub(crate) mod aligned;
pub(crate) mod arena;
pub(crate) mod attention;
pub(crate) mod cpu;
mod disjoint;
pub(crate) mod finite;
pub(crate) mod gemm;
pub(crate) mod layer_norm;
pub(crate) mod math;
mod passes;
#[cfg(feature = "train")]
pub(crate) mod pieces;
mod pool;
pub(crate) mod simd;
pub(crate) mod softmax;
mod team;
pub(crate) mod threads;

pub(crate) use activation::Activation;
pub(crate) use cpu::Cpu;
pub(crate) use pool::Pool;
pub(crate) use threads::Threads;

use std::sync::Arc;

#[cfg(feature = "train")]
use aligned::AlignedFloats;
use gemm::{QuantizedRows, RoundedRows};
use team::Team;

/// What a model computes with: an instruction set, threads, and the memory that its kernels need.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) cpu: Cpu,
    pub(crate) threads: Threads,
    heads: Arc<Pool<attention::Scratch>>,
    rounded: Arc<Pool<RoundedRows>>,
    quantized: Arc<Pool<QuantizedRows>>,
    #[cfg(feature = "train")]
    buffers: Arc<Pool<AlignedFloats>>,
}

impl Engine {
    /// With nothing in memory yet.
    pub(crate) fn new(cpu: Cpu, threads: Threads) -> Self {
        let most = threads.count();
        Self {
            cpu,
            threads,
            heads: Arc::new(Pool::new(most)),
            rounded: Arc::new(Pool::new(most)),
            quantized: Arc::new(Pool::new(most)),
            #[cfg(feature = "train")]
            buffers: Arc::new(Pool::new(most)),
        }
    }

    /// What one pass computes with, as long as it lives.
    pub(crate) fn compute(&self) -> Compute {
        Compute {
            cpu: self.cpu,
            team: self.threads.team(),
            heads: Arc::clone(&self.heads),
            rounded: Arc::clone(&self.rounded),
            quantized: Arc::clone(&self.quantized),
            #[cfg(feature = "train")]
            buffers: Arc::clone(&self.buffers),
        }
    }
}

/// What a pass computes with: an instruction set, the threads that take part in it, and memory.
#[derive(Debug)]
pub(crate) struct Compute {
    pub(crate) cpu: Cpu,
    pub(crate) team: Team,
    /// What attention computes a head in, one for each thread.
    heads: Arc<Pool<attention::Scratch>>,
    /// Where a product of numbers in bf16 has its rows,
    rounded: Arc<Pool<RoundedRows>>,
    /// and where one of bytes has them, one after the other.
    quantized: Arc<Pool<QuantizedRows>>,
    /// What a task packs in, one for each thread.
    #[cfg(feature = "train")]
    pub(crate) buffers: Arc<Pool<AlignedFloats>>,
}

impl Compute {
    /// One thread, on the best instruction set.
    #[cfg(test)]
    pub(crate) fn serial() -> Self {
        Self::new(Cpu::detect(), &Threads::default())
    }

    /// Several threads, on a chosen instruction set.
    #[cfg(test)]
    pub(crate) fn new(cpu: Cpu, threads: &Threads) -> Self {
        Self {
            cpu,
            team: threads.team(),
            heads: Arc::new(Pool::new(threads.count())),
            rounded: Arc::new(Pool::new(1)),
            quantized: Arc::new(Pool::new(1)),
            #[cfg(feature = "train")]
            buffers: Arc::new(Pool::new(threads.count())),
        }
    }
}
