//! Products of i16 with exact sums.
//!
//! No weights are stored like this: attention quantises both sides of its products while it computes a head. It must
//! choose scales for which sums fit 32 bits.

use super::operands::{Dot, TileCoords};
use super::panels::PAIR_STEP;
use crate::kernels::Cpu;
use crate::kernels::simd::{Cache, Kernel, Simd};

/// Arithmetic of an i16 product: two input channels per k-step, i32 accumulators, no bias. Stores the sums, multiplied by
/// a scale for each row if `SCALED`.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct I16<'a, const SCALED: bool> {
    /// Scale of each row. Not read unless `SCALED`.
    pub(in crate::kernels) scales: &'a [f32],
}

impl<'a, const SCALED: bool> Dot for I16<'a, SCALED> {
    // Both sides are in the first-level cache.
    const SINGLE_PANEL_ROWS: usize = 0;
    const PREFETCH_TO: Cache = Cache::L1;
    const APPROX_ACTIVATION: bool = true;

    type Lhs<S: Simd> = [i16; 2];
    type Rhs = [i16; PAIR_STEP];
    type Vector<S: Simd> = S::PairVec;
    type Acc<S: Simd> = S::I32;
    type Dequant<S: Simd, const R: usize, const P: usize> = &'a [f32; R];

    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output {
        cpu.run_int8(kernel)
    }

    #[inline(always)]
    fn mr<S: Simd>() -> usize {
        S::I16_TILE_ROWS
    }

    #[inline(always)]
    fn init<S: Simd, const R: usize, const P: usize>(
        self,
        s: S,
        _: TileCoords,
        _: [S::F32; P],
    ) -> [[S::I32; P]; R] {
        [[s.splat_i32(0); P]; R]
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
    fn mul_acc<S: Simd>(s: S, acc: S::I32, rhs: S::PairVec, lhs: S::PairVec) -> S::I32 {
        s.dot_i16x2(acc, rhs, lhs)
    }

    #[inline(always)]
    fn dequant<S: Simd, const R: usize, const P: usize>(
        self,
        _: S,
        tile: TileCoords,
    ) -> &'a [f32; R] {
        if SCALED {
            self.scales[tile.row..]
                .first_chunk()
                .expect("a scale for each row of the tile")
        } else {
            &[1.0; R]
        }
    }

    #[inline(always)]
    fn finish<S: Simd, const R: usize, const P: usize>(
        s: S,
        scales: &'a [f32; R],
        row: usize,
        _: usize,
        acc: S::I32,
        _: S::F32,
    ) -> S::F32 {
        let sum = s.to_f32(acc);
        if SCALED {
            s.mul(sum, s.splat(scales[row]))
        } else {
            sum
        }
    }
}
