//! Products of f32.

use super::operands::{Dot, Operands, RhsIn, RowsView, TileCoords, f32_accumulators};
use super::panels::PANEL;
use crate::kernels::Cpu;
use crate::kernels::simd::{Cache, Kernel, Simd};

/// Single precision: one input channel per k-step, accumulators that start from the bias.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct F32;

impl<'a> Operands<'a, F32> {
    /// Creates the operands of a product: rows of `k` floats, panels of `[k][16]`.
    #[inline(always)]
    pub(in crate::kernels) fn f32(
        rows: RowsView<'a>,
        k: usize,
        panels: &'a [f32],
        rhs_in: RhsIn,
    ) -> Self {
        Self {
            lhs: rows.data,
            lhs_stride: rows.stride,
            k_steps: k,
            rhs: panels.as_chunks().0,
            rhs_in,
            dot: F32,
        }
    }
}

impl Dot for F32 {
    // MiniLM's layers take 0.7 ms for 1 to 4 rows, and 0.8 to 0.9 ms two panels at a time (AVX-512, Zen 5, 2026).
    const SINGLE_PANEL_ROWS: usize = 8;
    const PREFETCH_TO: Cache = Cache::L1;
    const APPROX_ACTIVATION: bool = false;
    const ACCUMULATES: bool = cfg!(feature = "train");

    type Lhs<S: Simd> = f32;
    type Rhs = [f32; PANEL];
    type Vector<S: Simd> = S::F32;

    f32_accumulators!();

    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output {
        cpu.run(kernel)
    }

    #[inline(always)]
    fn mr<S: Simd>() -> usize {
        S::TILE_ROWS
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, rhs: &[f32; PANEL], _: usize) -> S::F32 {
        s.load(rhs)
    }

    #[inline(always)]
    fn broadcast<S: Simd>(s: S, lhs: f32, _: usize) -> S::F32 {
        s.splat(lhs)
    }

    #[inline(always)]
    fn mul_acc<S: Simd>(s: S, acc: S::F32, rhs: S::F32, lhs: S::F32) -> S::F32 {
        s.pin(s.mul_add(lhs, rhs, acc))
    }
}
