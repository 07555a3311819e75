//! Products of words of 16 bits, two steps of k at a time, with exact sums.
//!
//! Nobody keeps such panels: they are what both sides of an attention become for as long as a head is computed. Whoever
//! makes the words sees to it that sums fit 32 bits.

use super::PANEL;
use super::product::Operands;
use super::tile::Place;
use crate::kernels::Cpu;
use crate::kernels::simd::{Kernel, Simd};

/// Words of one step of a panel: two for each of its channels.
pub(in crate::kernels) const STEP_OF_WORDS: usize = 2 * PANEL;

/// Rows of words, and panels of words; what comes out are the sums as the nearest floats, without scale and bias.
pub(in crate::kernels) struct WordOperands<'a> {
    /// Rows of pairs,
    pub(in crate::kernels) x: &'a [[i16; 2]],
    /// from one row's start to the next,
    pub(in crate::kernels) stride: usize,
    /// and how many of them are multiplied: k is twice as much.
    pub(in crate::kernels) steps: usize,
    /// `[panels][steps][16][2]`.
    pub(in crate::kernels) panels: &'a [[i16; STEP_OF_WORDS]],
}

impl Operands for WordOperands<'_> {
    // All is in the nearest cache.
    const FEW_ROWS: usize = 0;
    const ROUGH: bool = true;

    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output {
        cpu.run_int8(kernel)
    }

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
    ) -> [[S::Floats; P]; R] {
        let steps = self.steps;
        let mut rows = [&self.x[..0]; R];
        for (index, row) in rows.iter_mut().enumerate() {
            *row = &self.x[(place.row + index) * self.stride..][..steps];
        }
        let mut panels = [&self.panels[..0]; P];
        for (index, panel) in panels.iter_mut().enumerate() {
            *panel = &self.panels[(place.panel + index) * steps..][..steps];
        }
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
        let mut out = [[s.splat(0.0); P]; R];
        for at in 0..P {
            for row in 0..R {
                out[row][at] = s.to_floats(sums[row][at]);
            }
        }
        out
    }
}
