//! Products of i16, two steps of k at a time, with exact sums.
//!
//! No weights are kept like this: attention quantises both sides of its products for as long as a head is computed. Whoever
//! quantises chooses scales by which sums fit 32 bits.

use super::operands::{Dot, TileCoords};
use super::panels::PAIR_STEP;
use crate::kernels::Cpu;
use crate::kernels::simd::{Cache, Kernel, Simd};

/// 16-bit integers: two input channels a step, i32 accumulators, and no bias. Results are the sums, times a scale of each
/// row where they are `SCALED`.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct I16<'a, const SCALED: bool> {
    /// Scale of each row; not read where results are not scaled.
    pub(in crate::kernels) scales: &'a [f32],
}

impl<'a, const SCALED: bool> Dot for I16<'a, SCALED> {
    // All is in the first-level cache.
    const SINGLE_PANEL_ROWS: usize = 0;
    const PREFETCH_TO: Cache = Cache::First;
    const APPROX_ACTIVATION: bool = true;

    type Lhs<S: Simd> = [i16; 2];
    type Rhs = [i16; PAIR_STEP];
    type Vector<S: Simd> = S::Pairs;
    type Acc<S: Simd> = S::Ints;
    type Dequant<S: Simd, const R: usize, const P: usize> = &'a [f32; R];

    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output {
        cpu.run_int8(kernel)
    }

    #[inline(always)]
    fn mr<S: Simd>() -> usize {
        S::WORD_TILE_ROWS
    }

    #[inline(always)]
    fn init<S: Simd, const R: usize, const P: usize>(
        self,
        s: S,
        _: TileCoords,
        _: [S::Floats; P],
    ) -> [[S::Ints; P]; R] {
        [[s.splat_int(0); P]; R]
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, rhs: &[i16; PAIR_STEP], _: usize) -> S::Pairs {
        s.load_pairs(rhs)
    }

    #[inline(always)]
    fn broadcast<S: Simd>(s: S, lhs: [i16; 2], _: usize) -> S::Pairs {
        s.splat_pair(lhs)
    }

    #[inline(always)]
    fn mul_acc<S: Simd>(s: S, acc: S::Ints, rhs: S::Pairs, lhs: S::Pairs) -> S::Ints {
        s.dot_pairs(acc, rhs, lhs)
    }

    #[inline(always)]
    fn dequant<S: Simd, const R: usize, const P: usize>(
        self,
        _: S,
        tile: TileCoords,
    ) -> &'a [f32; R] {
        if SCALED {
            self.scales[tile.row..].first_chunk().expect("scales")
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
        acc: S::Ints,
        _: S::Floats,
    ) -> S::Floats {
        let sum = s.to_floats(acc);
        if SCALED {
            s.mul(sum, s.splat(scales[row]))
        } else {
            sum
        }
    }
}
