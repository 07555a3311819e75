//! Products of words of 16 bits, two steps of k at a time, with exact sums.
//!
//! Nobody keeps such panels: they are what both sides of an attention become for as long as a head is computed. Whoever
//! makes the words sees to it that sums fit 32 bits.

use super::operands::{Distance, Operands, Place, runs};
use super::panels::STEP_OF_WORDS;

use crate::kernels::Cpu;
use crate::kernels::simd::{Cache, Kernel, Simd};

/// Rows of words, and panels of words; what comes out are the sums as floats, `SCALED` or as they are, without bias.
pub(in crate::kernels) struct WordOperands<'a, const SCALED: bool> {
    /// Rows of pairs,
    pub(in crate::kernels) x: &'a [[i16; 2]],
    /// from one row's start to the next,
    pub(in crate::kernels) stride: usize,
    /// and how many of them are multiplied: k is twice as much.
    pub(in crate::kernels) steps: usize,
    /// `[panels][steps][16][2]`.
    pub(in crate::kernels) panels: &'a [[i16; STEP_OF_WORDS]],
    /// What the sums of each row are multiplied by, where they are.
    pub(in crate::kernels) scales: &'a [f32],
}

impl<const SCALED: bool> Operands for WordOperands<'_, SCALED> {
    // All is in the nearest cache.
    const FEW_ROWS: usize = 0;
    const AHEAD: Cache = Cache::First;
    const ROUGH: bool = true;

    type Activation<S: Simd> = [i16; 2];
    type Weights = [i16; STEP_OF_WORDS];
    type Spread<S: Simd> = S::Pairs;
    type Loaded<S: Simd> = S::Pairs;
    type Sum<S: Simd> = S::Ints;
    type Ends<'t, S: Simd, const R: usize, const P: usize>
        = &'t [f32; R]
    where
        Self: 't;

    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output {
        cpu.run_int8(kernel)
    }

    #[inline(always)]
    fn tile_rows<S: Simd>() -> usize {
        S::WORD_TILE_ROWS
    }

    #[inline(always)]
    fn rows<S: Simd, const R: usize>(&self, place: Place) -> [&[[i16; 2]]; R] {
        runs(self.x, place.row, self.stride, self.steps)
    }

    #[inline(always)]
    fn panels<const P: usize>(&self, place: Place) -> [&[[i16; STEP_OF_WORDS]]; P] {
        runs(self.panels, place.panel, self.steps, self.steps)
    }

    #[inline(always)]
    fn distance(&self) -> Distance {
        Distance::Near
    }

    #[inline(always)]
    fn begin<S: Simd, const R: usize, const P: usize>(
        &self,
        s: S,
        _: Place,
        _: [S::Floats; P],
    ) -> [[S::Ints; P]; R] {
        [[s.splat_int(0); P]; R]
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, weights: &[i16; STEP_OF_WORDS], _: usize) -> S::Pairs {
        s.load_pairs(weights)
    }

    #[inline(always)]
    fn spread<S: Simd>(s: S, activation: [i16; 2], _: usize) -> S::Pairs {
        s.splat_pair(activation)
    }

    #[inline(always)]
    fn add<S: Simd>(s: S, sum: S::Ints, weights: S::Pairs, activations: S::Pairs) -> S::Ints {
        s.dot_pairs(sum, weights, activations)
    }

    #[inline(always)]
    fn ends<S: Simd, const R: usize, const P: usize>(&self, _: S, place: Place) -> &[f32; R] {
        match SCALED {
            true => self.scales[place.row..].first_chunk().expect("scales"),
            false => &[1.0; R],
        }
    }

    #[inline(always)]
    fn float<S: Simd, const R: usize, const P: usize>(
        s: S,
        scales: &[f32; R],
        (row, _): (usize, usize),
        sum: S::Ints,
        _: S::Floats,
    ) -> S::Floats {
        let sum = s.to_floats(sum);
        match SCALED {
            true => s.mul(sum, s.splat(scales[row])),
            false => sum,
        }
    }
}
