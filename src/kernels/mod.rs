//! Numeric kernels: the ground floor, which works on slices of numbers.
//!
//! Everything that multiplies, sums or exponentiates in bulk is here. So is all `unsafe` code of the library, except
//! the code that maps a file (`weights/map.rs`, `ModelOptions::map`). Safe code outside this module cannot break a
//! contract that `unsafe` code relies on. Each contract is carried by a type that only an `unsafe fn` can make, or by a
//! token that is made only on a processor with the instructions, or it is asserted beside the `unsafe` code. The layers
//! above call these functions. Nothing here knows of BERT, files or named tensors.
//!
//! A kernel is written once, over vectors of sixteen floats ([`simd::Simd`]), and compiled once for each level
//! (instruction set). [`Cpu::run`] calls the copy for this processor's level. Two properties hold for all kernels:
//!
//! - Each output is computed by one chain of operations whose order depends on the lengths only. So the result does not
//!   depend on the number of rows, on how work is divided, or on the number of threads.
//! - NaN and infinity propagate, so a caller who checks the final result sees them.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod cpu;
pub(crate) mod finite;
pub(crate) mod gemm;
mod interrupt;
pub(crate) mod layer_norm;
pub(crate) mod math;
pub(crate) mod memory;
pub(crate) mod output;
pub(crate) mod simd;
pub(crate) mod softmax;
pub(crate) mod threads;

pub(crate) use activation::Activation;
pub(crate) use cpu::Cpu;
pub(crate) use interrupt::{Interrupt, Interruption};
pub(crate) use memory::BufferPool;
pub(crate) use threads::Threads;

use std::sync::Arc;

use gemm::{QuantizedRows, RoundedRows};
use memory::AlignedFloats;
use threads::Team;

/// Resources of a model: an instruction set, threads, and the buffers of its kernels.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) cpu: Cpu,
    pub(crate) threads: Threads,
    memory: Arc<Workspaces>,
}

impl Engine {
    /// Creates the resources without allocating buffers.
    pub(crate) fn new(cpu: Cpu, threads: Threads) -> Self {
        // Callers compute too. As many of them as there are processors can run at once.
        Self {
            cpu,
            memory: Arc::new(Workspaces::new(threads.count().max(threads::processors()))),
            threads,
        }
    }

    /// Returns the resources of one pass. They hold its helper threads until they are dropped.
    pub(crate) fn context(&self) -> ExecContext {
        self.interruptible(Interrupt::default())
    }

    /// Returns the resources of one pass that ends early once `interrupt` is raised.
    pub(crate) fn interruptible(&self, interrupt: Interrupt) -> ExecContext {
        ExecContext {
            team: self.threads.team(),
            interrupt,
            ..ExecContext::single_threaded(self.cpu, &self.memory)
        }
    }

    /// Returns the resources of a pass on a single thread that shows `observer` the inputs of each dense layer, in the
    /// order of rows.
    pub(crate) fn observed(&self, observer: Arc<dyn InputObserver>) -> ExecContext {
        ExecContext {
            observer: Some(observer),
            ..ExecContext::single_threaded(self.cpu, &self.memory)
        }
    }
}

/// Receives the inputs of a model's dense layers.
pub(crate) trait InputObserver: std::fmt::Debug + Send + Sync {
    /// Receives rows of `width` floats that are multiplied with the matrix named `matrix`.
    fn observe(&self, matrix: &str, width: usize, rows: &[f32]);
}

/// Resources of a pass: an instruction set, the threads that take part, and buffers.
#[derive(Debug)]
pub(crate) struct ExecContext {
    pub(crate) cpu: Cpu,
    pub(crate) team: Team,
    pub(crate) memory: Arc<Workspaces>,
    /// Signal to leave the rest of the pass undone.
    pub(crate) interrupt: Interrupt,
    /// Receives the inputs of dense layers while a model is calibrated.
    pub(crate) observer: Option<Arc<dyn InputObserver>>,
}

impl ExecContext {
    /// Creates the resources of a pass on a single thread.
    pub(crate) fn single_threaded(cpu: Cpu, memory: &Arc<Workspaces>) -> Self {
        Self {
            cpu,
            team: Team::solo(),
            memory: Arc::clone(memory),
            interrupt: Interrupt::default(),
            observer: None,
        }
    }

    /// Creates a single thread on the best instruction set.
    #[cfg(test)]
    pub(crate) fn serial() -> Self {
        Self::new(Cpu::detect(), &Threads::default())
    }

    /// Creates several threads on a chosen instruction set.
    #[cfg(test)]
    pub(crate) fn new(cpu: Cpu, threads: &Threads) -> Self {
        Self {
            cpu,
            team: threads.team(),
            memory: Arc::new(Workspaces::new(threads.count())),
            interrupt: Interrupt::default(),
            observer: None,
        }
    }
}

/// Buffers of kernels. Each thread takes one for as long as it needs it.
#[derive(Debug)]
pub(crate) struct Workspaces {
    /// Workspaces of attention, one for each head that is being computed.
    attention: BufferPool<attention::Workspace>,
    /// Activations rounded to bf16, for bf16 products.
    bf16_rows: BufferPool<RoundedRows>,
    /// Activations quantised to int8, for int8 products.
    int8_rows: BufferPool<QuantizedRows>,
    /// Scratch memory of tasks in f32.
    pub(crate) scratch: BufferPool<AlignedFloats>,
}

impl Workspaces {
    /// Creates empty pools, which keep at most `threads` idle buffers each.
    fn new(threads: usize) -> Self {
        Self {
            attention: BufferPool::new(threads),
            bf16_rows: BufferPool::new(threads),
            int8_rows: BufferPool::new(threads),
            scratch: BufferPool::new(threads),
        }
    }
}
