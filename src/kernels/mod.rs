//! The ground floor: numbers in slices.
//!
//! Everything that multiplies, sums or exponentiates in bulk is here, and so is all `unsafe` of the crate (but for the
//! one call that maps a file). The layers above call these functions; nothing here knows of BERT, of files or of
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
pub(crate) mod gemm;
pub(crate) mod layer_norm;
mod math;
pub(crate) mod simd;
pub(crate) mod softmax;
mod team;
pub(crate) mod threads;

pub(crate) use activation::Activation;
pub(crate) use cpu::Cpu;
pub(crate) use threads::Threads;

use std::cell::RefCell;

use gemm::QuantizedRows;
use team::Team;

/// What a model computes with: an instruction set, and threads.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) cpu: Cpu,
    pub(crate) threads: Threads,
}

impl Engine {
    /// What one pass computes with, as long as it lives.
    pub(crate) fn compute(&self) -> Compute {
        Compute {
            cpu: self.cpu,
            team: self.threads.team(),
            quantized: RefCell::default(),
        }
    }
}

/// What a pass computes with: an instruction set, and the threads that take part in it.
#[derive(Debug)]
pub(crate) struct Compute {
    pub(crate) cpu: Cpu,
    pub(crate) team: Team,
    /// Where a product of bytes has its rows, one after the other.
    pub(crate) quantized: RefCell<QuantizedRows>,
}

impl Compute {
    /// One thread, on the best instruction set.
    #[cfg(test)]
    pub(crate) fn serial() -> Self {
        Self {
            cpu: Cpu::detect(),
            team: Team::alone(),
            quantized: RefCell::default(),
        }
    }

    /// Several threads, on a chosen instruction set.
    #[cfg(test)]
    pub(crate) fn new(cpu: Cpu, threads: &Threads) -> Self {
        Self {
            cpu,
            team: threads.team(),
            quantized: RefCell::default(),
        }
    }
}
