//! The ground floor: numbers in slices.
//!
//! Everything that multiplies, sums or exponentiates in bulk is here. So is all `unsafe` code of the library, except the code
//! that maps a file (`weights/map.rs`, `ModelOptions::map`). No safe code outside this module can break a contract that
//! `unsafe` code relies on: the contract is carried by a type that only an `unsafe fn` can make, or by a token that is made
//! only on a processor with the instructions, or it is asserted beside the `unsafe` code. The layers above call these
//! functions; nothing here knows of BERT, of files or of tensors with names.
//!
//! A kernel is written once, over vectors of sixteen floats ([`simd::Simd`]); [`Cpu::run`] picks the copy that was
//! compiled for the instruction set at hand. Two properties hold for all of them:
//!
//! - each output is computed by one chain of operations whose order depends on the lengths only, so the result does
//!   not depend on how many rows there are, on how work is cut, or on the number of threads;
//! - NaN and infinity pass through, so that a caller who looks at the end sees them.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod cpu;
pub(crate) mod finite;
pub(crate) mod gemm;
pub(crate) mod layer_norm;
pub(crate) mod math;
pub(crate) mod memory;
pub(crate) mod output;
pub(crate) mod simd;
pub(crate) mod softmax;
pub(crate) mod threads;

pub(crate) use activation::Activation;
pub(crate) use cpu::Cpu;
pub(crate) use memory::BufferPool;
pub(crate) use threads::Threads;

use std::sync::Arc;

use gemm::{QuantizedRows, RoundedRows};
use memory::AlignedFloats;
use threads::Team;

/// What a model computes with: an instruction set, threads, and the memory that its kernels need.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) cpu: Cpu,
    pub(crate) threads: Threads,
    memory: Arc<Memory>,
}

impl Engine {
    /// With nothing in memory yet.
    pub(crate) fn new(cpu: Cpu, threads: Threads) -> Self {
        // Callers compute, too, as many at once as there are processors.
        Self {
            cpu,
            memory: Arc::new(Memory::new(threads.count().max(threads::processors()))),
            threads,
        }
    }

    /// What one pass computes with, as long as it lives.
    pub(crate) fn compute(&self) -> Compute {
        Compute {
            cpu: self.cpu,
            team: self.threads.team(),
            memory: Arc::clone(&self.memory),
            observer: None,
        }
    }

    /// A single thread that shows what goes into each dense layer, in the order of rows.
    pub(crate) fn observed(&self, observer: Arc<dyn Observer>) -> Compute {
        Compute {
            observer: Some(observer),
            ..Compute::alone(self.cpu, &self.memory)
        }
    }
}

/// Sees the inputs of a model's dense layers.
pub(crate) trait Observer: std::fmt::Debug + Send + Sync {
    /// Gets rows of `width` floats that are multiplied with the matrix of this name.
    fn observe(&self, matrix: &str, width: usize, rows: &[f32]);
}

/// What a pass computes with: an instruction set, the threads that take part in it, and memory.
#[derive(Debug)]
pub(crate) struct Compute {
    pub(crate) cpu: Cpu,
    pub(crate) team: Team,
    pub(crate) memory: Arc<Memory>,
    /// Sees the inputs of dense layers, if a model is calibrated.
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

impl Compute {
    /// A single thread.
    pub(crate) fn alone(cpu: Cpu, memory: &Arc<Memory>) -> Self {
        Self {
            cpu,
            team: Team::alone(),
            memory: Arc::clone(memory),
            observer: None,
        }
    }

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
            memory: Arc::new(Memory::new(threads.count())),
            observer: None,
        }
    }
}

/// What kernels compute in, lent to each thread as long as it needs it.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Workspaces in which attention computes a head.
    heads: BufferPool<attention::Workspace>,
    /// Rows rounded to bf16, for bf16 products.
    rounded: BufferPool<RoundedRows>,
    /// Rows quantised to int8, for int8 products.
    quantized: BufferPool<QuantizedRows>,
    /// Intermediate results of tasks, beside their outputs.
    pub(crate) buffers: BufferPool<AlignedFloats>,
}

impl Memory {
    /// None yet; as much is kept as so many threads need.
    fn new(threads: usize) -> Self {
        Self {
            heads: BufferPool::new(threads),
            rounded: BufferPool::new(threads),
            quantized: BufferPool::new(threads),
            buffers: BufferPool::new(threads),
        }
    }
}
