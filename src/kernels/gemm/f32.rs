//! Products of floats.

use super::operands::{Distance, Operands, Place, Rows, runs};
use super::panels::PANEL;

use crate::kernels::Cpu;
use crate::kernels::simd::{Cache, Kernel, Simd};

/// Rows of floats, and panels of floats.
pub(in crate::kernels) struct FloatOperands<'a> {
    /// Rows of k numbers.
    pub(in crate::kernels) x: Rows<'a>,
    pub(in crate::kernels) k: usize,
    /// `[panels][k][16]`.
    pub(in crate::kernels) panels: &'a [f32],
    pub(in crate::kernels) distance: Distance,
}

impl Operands for FloatOperands<'_> {
    // 1 to 4 rows of MiniLM's layers take 0.7 ms, and 0.8 to 0.9 two panels at a time (AVX-512, Zen 5, 2026).
    const FEW_ROWS: usize = 8;
    const AHEAD: Cache = Cache::First;
    const ROUGH: bool = false;
    const ACCUMULATES: bool = cfg!(feature = "train");

    type Activation<S: Simd> = f32;
    type Weights = [f32; PANEL];
    type Spread<S: Simd> = S::Floats;
    type Loaded<S: Simd> = S::Floats;
    type Sum<S: Simd> = S::Floats;
    type Ends<'t, S: Simd, const R: usize, const P: usize>
        = ()
    where
        Self: 't;

    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output {
        cpu.run(kernel)
    }

    #[inline(always)]
    fn tile_rows<S: Simd>() -> usize {
        S::TILE_ROWS
    }

    #[inline(always)]
    fn rows<S: Simd, const R: usize>(&self, place: Place) -> [&[f32]; R] {
        runs(self.x.data, place.row, self.x.stride, self.k)
    }

    #[inline(always)]
    fn panels<const P: usize>(&self, place: Place) -> [&[[f32; PANEL]]; P] {
        runs(self.panels.as_chunks().0, place.panel, self.k, self.k)
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
    fn load<S: Simd>(s: S, weights: &[f32; PANEL], _: usize) -> S::Floats {
        s.load(weights)
    }

    #[inline(always)]
    fn spread<S: Simd>(s: S, activation: f32, _: usize) -> S::Floats {
        s.splat(activation)
    }

    #[inline(always)]
    fn add<S: Simd>(s: S, sum: S::Floats, weights: S::Floats, activations: S::Floats) -> S::Floats {
        s.in_order(s.mul_add(activations, weights, sum))
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
