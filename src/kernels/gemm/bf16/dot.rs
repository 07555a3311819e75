//! Products of bf16.

use super::activations::RoundedRows;
use super::layout::steps;
use crate::kernels::Cpu;
use crate::kernels::gemm::operands::{Dot, Operands, RhsIn, TileCoords, f32_accumulators};
use crate::kernels::gemm::panels::PAIR_STEP;
use crate::kernels::simd::{Cache, Kernel, Simd};

/// Dot product in bf16: two input channels per k-step, f32 accumulators that start from the bias.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Bf16;

impl<'a> Operands<'a, Bf16> {
    /// Creates the operands of a product: rows of `k` bf16 values, panels of `[k / 2][16][2]`, two values in the memory
    /// of one float.
    pub(in crate::kernels::gemm) fn bf16(
        rows: &'a RoundedRows,
        k: usize,
        panels: &'a [f32],
        rhs_in: RhsIn,
    ) -> Self {
        let (lhs, lhs_stride) = rows.pairs();
        Self {
            lhs,
            lhs_stride,
            k_steps: steps(k),
            rhs: bytemuck::cast_slice(panels),
            rhs_in,
            dot: Bf16,
        }
    }
}

impl Dot for Bf16 {
    // For the reason given at the product of int8.
    const SINGLE_PANEL_ROWS: usize = 0;
    const PREFETCH_TO: Cache = Cache::L2;
    const APPROX_ACTIVATION: bool = true;
    const ACCUMULATES: bool = cfg!(feature = "train");

    type Lhs<S: Simd> = [i16; 2];
    type Rhs = [i16; PAIR_STEP];
    type Vector<S: Simd> = S::PairVec;

    f32_accumulators!();

    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output {
        cpu.run_bf16(kernel)
    }

    #[inline(always)]
    fn mr<S: Simd>() -> usize {
        S::BF16_TILE_ROWS
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, rhs: &[i16; PAIR_STEP], _: usize) -> S::PairVec {
        s.load_pairs(rhs)
    }

    #[inline(always)]
    fn broadcast<S: Simd>(s: S, lhs: [i16; 2], _: usize) -> S::PairVec {
        s.splat_pair(lhs)
    }

    #[inline(always)]
    fn mul_acc<S: Simd>(s: S, acc: S::F32, rhs: S::PairVec, lhs: S::PairVec) -> S::F32 {
        s.dot_bf16(acc, rhs, lhs)
    }
}
