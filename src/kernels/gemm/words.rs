//! Products of words of 16 bits, two steps of k at a time, with exact sums.
//!
//! Nobody keeps such panels: they are what both sides of an attention become for as long as a head is computed. Whoever
//! makes the words sees to it that sums fit 32 bits.

use super::PANEL;
use super::product::Operands;
use super::tile::{Place, runs};
use crate::kernels::Cpu;
use crate::kernels::simd::{Kernel, Simd};

/// Words of one step of a panel: two for each of its channels.
pub(in crate::kernels) const STEP_OF_WORDS: usize = 2 * PANEL;

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
    const ROUGH: bool = true;

    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output {
        cpu.run_int8(kernel)
    }

    type Sum<S: Simd> = S::Ints;

    #[inline(always)]
    fn tile_rows<S: Simd>() -> usize {
        S::WORD_TILE_ROWS
    }

    #[inline(always)]
    fn sums<S: Simd, const R: usize, const P: usize>(
        &self,
        s: S,
        place: Place,
        _: [S::Floats; P],
    ) -> [[S::Ints; P]; R] {
        let steps = self.steps;
        let rows: [_; R] = runs(self.x, place.row, self.stride, steps);
        let panels: [_; P] = runs(self.panels, place.panel, steps, steps);
        let mut sums = [[s.splat_int(0); P]; R];
        for step in 0..steps {
            let mut weights = [s.load_pairs(&[0; STEP_OF_WORDS]); P];
            for (weights, panel) in weights.iter_mut().zip(&panels) {
                *weights = s.load_pairs(&panel[step]);
            }
            for (row, sums) in rows.iter().zip(&mut sums) {
                let activations = s.splat_pair(row[step]);
                for (sum, &weights) in sums.iter_mut().zip(&weights) {
                    *sum = s.dot_pairs(*sum, weights, activations);
                }
            }
        }
        sums
    }

    type Ends<'t, S: Simd, const R: usize, const P: usize>
        = &'t [f32; R]
    where
        Self: 't;

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
