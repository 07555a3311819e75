//! Products of numbers in bf16: the upper half of a single-precision number, 8 bits of precision and the same range.
//!
//! Constant weights are rounded once, all else as it comes ([`RoundedRows`]), to nearest; sums are in single precision:
//!
//! `y = (.. ((bias + x1 w1) + x0 w0) + x3 w3) + x2 w2 ..`
//!
//! A product of two such numbers is exact, and this is the order of `vdpbf16ps`, Intel's and AMD's. So a level that widens
//! both sides, and multiplies and adds one after the other, gets the same bits, fused or not; only numbers below 2^-126 are
//! zero in the one and not in the other.

#[cfg(feature = "train")]
use super::product::Rows;
use super::product::{Distance, Operands};
use super::rounded::{RoundedRows, round};
use super::tile::{Place, runs};
use super::words::STEP_OF_WORDS;
use super::{PANEL, pack};
use crate::kernels::Cpu;
use crate::kernels::simd::{Cache, Kernel, Simd};

/// Steps of k: two input channels each, of which the last may have one.
pub(super) fn steps(k: usize) -> usize {
    k.div_ceil(2)
}

/// The same number in single precision.
pub(super) fn widened(bits: i16) -> f32 {
    f32::from_bits(u32::from(bits as u16) << 16)
}

/// Rounds rows of `k` weights and packs them, two in the place of a float; the last panel's missing rows stay as they
/// are in `panels`.
pub(super) fn pack_rounded(cpu: Cpu, rows: &[f32], k: usize, panels: &mut [f32]) {
    let steps = steps(k);
    // A pair is packed as one number.
    let panels: &mut [u32] = bytemuck::cast_slice_mut(panels);
    let mut pairs = vec![0u32; PANEL * steps];
    let rows = rows.chunks(PANEL * k);
    for (rows, panel) in rows.zip(panels.chunks_exact_mut(PANEL * steps)) {
        let pairs = &mut pairs[..rows.len() / k * steps];
        cpu.run_bf16(RoundWeights {
            rows,
            k,
            words: bytemuck::cast_slice_mut(pairs),
        });
        pack(pairs, steps, steps, panel);
    }
}

/// Rounds `columns` columns of `len` rows and packs them as weights of (columns, len), two in the place of a float.
#[cfg(feature = "train")]
#[inline(always)]
pub(super) fn pack_rounded_columns<S: Simd>(
    s: S,
    rows: Rows<'_>,
    columns: usize,
    len: usize,
    panels: &mut [f32],
) {
    let panels: &mut [[i16; STEP_OF_WORDS]] = bytemuck::cast_slice_mut(panels);
    for (index, panel) in panels.chunks_exact_mut(steps(len)).enumerate() {
        let column = index * PANEL;
        let width = PANEL.min(columns - column);
        for (step, line) in panel.iter_mut().enumerate() {
            let mut words = [[0; PANEL]; 2];
            for (row, words) in (2 * step..len).zip(&mut words) {
                let from = &rows.data[row * rows.stride + column..][..width];
                s.store_bf16(s.load_some(from, 0.0), words);
            }
            for (lane, pair) in line.as_chunks_mut().0.iter_mut().enumerate() {
                *pair = [words[0][lane], words[1][lane]];
            }
        }
    }
}

/// Some rows of weights.
struct RoundWeights<'a> {
    /// Rows of `k` numbers.
    rows: &'a [f32],
    k: usize,
    /// The same rows, one behind the other, each up to a whole pair.
    words: &'a mut [i16],
}

impl Kernel for RoundWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let words = self.words.chunks_exact_mut(self.k.next_multiple_of(2));
        for (row, words) in self.rows.chunks_exact(self.k).zip(words) {
            round(s, row, words);
        }
    }
}

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
    pub(super) fn new(x: &'a RoundedRows, k: usize, panels: &'a [f32], distance: Distance) -> Self {
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

#[cfg(test)]
mod tests;
