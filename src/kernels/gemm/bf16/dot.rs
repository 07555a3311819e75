//! Products of numbers in bf16.

use super::activations::RoundedRows;
use super::layout::steps;
use crate::kernels::Cpu;
use crate::kernels::gemm::operands::{Distance, Operands, Place, runs};
use crate::kernels::gemm::panels::STEP_OF_WORDS;
use crate::kernels::simd::{Cache, Kernel, Simd};

/// Rows of numbers in bf16, and panels of them.
pub(in crate::kernels) struct Bf16Operands<'a> {
    /// Rows of pairs,
    pub(in crate::kernels) x: &'a [[i16; 2]],
    /// from one row's start to the next,
    pub(in crate::kernels) stride: usize,
    /// and how many of them are multiplied: k is twice as much.
    pub(in crate::kernels) steps: usize,
    /// `[panels][steps][16][2]`.
    pub(in crate::kernels) panels: &'a [[i16; STEP_OF_WORDS]],
    pub(in crate::kernels) distance: Distance,
}

impl<'a> Bf16Operands<'a> {
    /// Of `k` numbers each.
    pub(in crate::kernels::gemm) fn new(
        x: &'a RoundedRows,
        k: usize,
        panels: &'a [f32],
        distance: Distance,
    ) -> Self {
        let (x, stride) = x.pairs();
        Self {
            x,
            stride,
            steps: steps(k),
            panels: bytemuck::cast_slice(panels),
            distance,
        }
    }
}

impl Operands for Bf16Operands<'_> {
    // As in the product of bytes.
    const FEW_ROWS: usize = 0;
    const AHEAD: Cache = Cache::Second;
    const ROUGH: bool = true;
    const ACCUMULATES: bool = cfg!(feature = "train");

    type Activation<S: Simd> = [i16; 2];
    type Weights = [i16; STEP_OF_WORDS];
    type Spread<S: Simd> = S::Pairs;
    type Loaded<S: Simd> = S::Pairs;
    type Sum<S: Simd> = S::Floats;
    type Ends<'t, S: Simd, const R: usize, const P: usize>
        = ()
    where
        Self: 't;

    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output {
        cpu.run_bf16(kernel)
    }

    #[inline(always)]
    fn tile_rows<S: Simd>() -> usize {
        S::BF16_TILE_ROWS
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
        self.distance
    }

    #[inline(always)]
    fn begin<S: Simd, const R: usize, const P: usize>(
        &self,
        _: S,
        _: Place,
        bias: [S::Floats; P],
    ) -> [[S::Floats; P]; R] {
        [bias; R]
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
    fn add<S: Simd>(s: S, sum: S::Floats, weights: S::Pairs, activations: S::Pairs) -> S::Floats {
        s.dot_bf16(sum, weights, activations)
    }

    #[inline(always)]
    fn ends<S: Simd, const R: usize, const P: usize>(&self, _: S, _: Place) {}

    #[inline(always)]
    fn float<S: Simd, const R: usize, const P: usize>(
        _: S,
        (): (),
        _: (usize, usize),
        sum: S::Floats,
        _: S::Floats,
    ) -> S::Floats {
        sum
    }
}
