//! Products of bytes.

use super::activations::QuantizedRows;
use super::layout::{Int8Panels, STEP, steps};
use crate::kernels::Cpu;
use crate::kernels::gemm::operands::{Distance, Operands, Place, runs};
use crate::kernels::simd::{Cache, Kernel, Simd};

/// Rows of bytes, and panels of bytes.
pub(in crate::kernels::gemm) struct Int8Operands<'a> {
    x: &'a QuantizedRows,
    k: usize,
    panels: &'a Int8Panels,
    /// The steps of all panels, found once.
    steps: &'a [[i8; STEP]],
}

impl<'a> Int8Operands<'a> {
    /// Of `k` numbers each.
    pub(in crate::kernels::gemm) fn new(
        x: &'a QuantizedRows,
        k: usize,
        panels: &'a Int8Panels,
    ) -> Self {
        let steps = panels.bytes().as_chunks().0;
        Self {
            x,
            k,
            panels,
            steps,
        }
    }
}

impl Operands for Int8Operands<'_> {
    // A quarter of the bytes stays in the last cache, out of which two panels at a time come faster: 1 row 0.12 ms and not
    // 0.16, 8 rows 0.20 and not 0.24 (MiniLM's layers, AVX-512, Zen 5, 2026).
    const FEW_ROWS: usize = 0;
    // The first is full of rows and of the panels that are read: of 128 rows 3 % less time than with all in the first.
    const AHEAD: Cache = Cache::Second;
    const ROUGH: bool = true;

    type Activation<S: Simd> = S::Four;
    type Weights = [i8; STEP];
    type Spread<S: Simd> = S::Fours;
    type Loaded<S: Simd> = S::Fours;
    type Sum<S: Simd> = S::Ints;
    type Ends<'t, S: Simd, const R: usize, const P: usize>
        = ScalesOf<'t, S, R, P>
    where
        Self: 't;

    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output {
        cpu.run_int8(kernel)
    }

    #[inline(always)]
    fn tile_rows<S: Simd>() -> usize {
        S::INT8_TILE_ROWS
    }

    #[inline(always)]
    fn rows<S: Simd, const R: usize>(&self, place: Place) -> [&[S::Four]; R] {
        self.x.rows::<S, R>(place.row, steps(self.k))
    }

    #[inline(always)]
    fn panels<const P: usize>(&self, place: Place) -> [&[[i8; STEP]]; P] {
        let steps = steps(self.k);
        runs(self.steps, place.panel, steps, steps)
    }

    #[inline(always)]
    fn distance(&self) -> Distance {
        Distance::Far
    }

    #[inline(always)]
    fn begin<S: Simd, const R: usize, const P: usize>(
        &self,
        s: S,
        place: Place,
        _: [S::Floats; P],
    ) -> [[S::Ints; P]; R] {
        let shifts = self.x.reading::<R>(place.row).shifts;
        let mut sums = [[s.splat_int(0); P]; R];
        for at in 0..P {
            let of_weights = s.load_ints(&self.panels.sums[place.panel + at]);
            for (&shift, sums) in shifts.iter().zip(&mut sums) {
                sums[at] = s.mul_ints(of_weights, s.splat_int(shift));
            }
        }
        sums
    }

    #[inline(always)]
    fn parts<S: Simd>() -> usize {
        S::INT8_PARTS
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, weights: &[i8; STEP], part: usize) -> S::Fours {
        s.load_fours(weights, part)
    }

    #[inline(always)]
    fn spread<S: Simd>(s: S, activation: S::Four, part: usize) -> S::Fours {
        s.splat_four(activation, part)
    }

    #[inline(always)]
    fn add<S: Simd>(s: S, sum: S::Ints, weights: S::Fours, activations: S::Fours) -> S::Ints {
        s.ints_in_order(s.dot(sum, weights, activations))
    }

    #[inline(always)]
    fn ends<S: Simd, const R: usize, const P: usize>(
        &self,
        s: S,
        place: Place,
    ) -> ScalesOf<'_, S, R, P> {
        let mut of_channels = [s.splat(0.0); P];
        for (at, of_channels) in of_channels.iter_mut().enumerate() {
            *of_channels = s.load(&self.panels.scales[place.panel + at]);
        }
        ScalesOf {
            of_rows: self.x.reading(place.row).scales,
            of_channels,
        }
    }

    #[inline(always)]
    fn float<S: Simd, const R: usize, const P: usize>(
        s: S,
        ends: ScalesOf<'_, S, R, P>,
        (row, at): (usize, usize),
        sum: S::Ints,
        bias: S::Floats,
    ) -> S::Floats {
        // Without fusing, which not every level has.
        let scale = s.mul(ends.of_channels[at], s.splat(ends.of_rows[row]));
        s.add(s.mul(s.to_floats(sum), scale), bias)
    }
}

/// The scales of a tile's rows and columns.
#[derive(Clone, Copy)]
pub(in crate::kernels::gemm) struct ScalesOf<'a, S: Simd, const R: usize, const P: usize> {
    of_rows: &'a [f32; R],
    of_channels: [S::Floats; P],
}
