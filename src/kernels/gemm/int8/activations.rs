//! Rows of activations as bytes, each row by a scale of its own; as words where a level multiplies those.
//!
//! A row's numbers become q = round(x / scale) + zero, from -127 to 127, where scale and zero are made so that the row's
//! least and greatest number, and 0, fit: asymmetric, since what comes out of GELU is hardly ever negative. No row knows
//! of any other, so its products are the same bits in any company. Only operations that are rounded the same everywhere
//! are used, so a row becomes the same bytes on every processor.

use crate::kernels::Compute;
use crate::kernels::memory::AlignedFloats;
use crate::kernels::simd::{Kernel, LANES, ROUND, Simd};

/// A row, or a channel's weights, whose numbers span less than this are taken for zeros: one divided by it is finite.
pub(in crate::kernels) const MIN_RANGE: f32 = 1e-30;
/// Steps from a row's least number to its greatest: one fewer than there are from -127 to 127, so that wherever the
/// rounded zero falls nothing is ever clipped.
const LEVELS: f32 = 253.0;
/// QuadVec between rows' starts are a multiple of this: a cache line of bytes, two of words.
const ROW_GRAIN: usize = 16;
/// Numbers that are worth another thread's while.
const NUMBERS_PER_TASK: usize = 16 * 1024;

/// Rows of bytes or words, in memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct QuantizedRows {
    /// (rows, stride) of a level's [`QuadI8`](Simd::QuadI8).
    memory: AlignedFloats,
    /// Scale of each row: a quantised number q stands for `(q + neg_zero_point) * scale`. NaN where a number of the row is
    /// not finite, so that all its products are NaN.
    scales: Vec<f32>,
    /// Negated zero point of each row, in the level's encoding (see [`Simd::INT8_OFFSET`]).
    neg_zero_points: Vec<i32>,
    stride: usize,
}

impl QuantizedRows {
    /// Quantises `x`, rows of `k` numbers, for the products of `compute`'s level. Each number is multiplied by its channel's
    /// factor, (k), where there are factors.
    pub(in crate::kernels::gemm) fn fill(
        &mut self,
        compute: &Compute,
        x: &[f32],
        k: usize,
        factors: Option<&[f32]>,
    ) {
        assert!(factors.is_none_or(|factors| factors.len() == k));
        let rows = x.len() / k;
        self.stride = k.div_ceil(4).next_multiple_of(ROW_GRAIN);
        let row_bytes = self.stride * compute.cpu.run_int8(SizeOfFour);
        self.scales.resize(rows, 0.0);
        self.neg_zero_points.resize(rows, 0);
        let bytes = self.memory.at_least(rows * row_bytes / size_of::<f32>());
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(bytes);
        let tasks = match compute.team.count() {
            1 => 1,
            threads => (x.len() / NUMBERS_PER_TASK).clamp(1, threads),
        };
        let per_task = rows.div_ceil(tasks).max(1);
        let scales = self.scales.chunks_mut(per_task);
        let readings = scales.zip(self.neg_zero_points.chunks_mut(per_task));
        let bytes = bytes.chunks_mut(per_task * row_bytes);
        let parts = x.chunks(per_task * k).zip(bytes.zip(readings));
        let cpu = compute.cpu;
        compute.team.each(
            tasks,
            parts,
            |_, (x, (bytes, (scales, neg_zero_points)))| {
                cpu.run_int8(Quantize {
                    x,
                    k,
                    factors,
                    bytes,
                    row_bytes,
                    scales,
                    neg_zero_points,
                });
            },
        );
    }

    /// Returns the memory of all rows in quads, [`Simd::QuadI8`] of the level that they were filled for, and the number of
    /// quads from one row to the next.
    pub(super) fn quads(&self) -> (&[f32], usize) {
        (&self.memory, self.stride)
    }

    /// Scales of `R` rows from row `first` on.
    #[inline(always)]
    pub(super) fn scales<const R: usize>(&self, first: usize) -> &[f32; R] {
        let scales = self.scales[first..].first_chunk();
        scales.expect("a scale for each row")
    }

    /// Negated zero points of `R` rows from row `first` on.
    #[inline(always)]
    pub(super) fn neg_zero_points<const R: usize>(&self, first: usize) -> &[i32; R] {
        let zero_points = self.neg_zero_points[first..].first_chunk();
        zero_points.expect("a zero point for each row")
    }
}

/// The bytes that four activations take.
struct SizeOfFour;

impl Kernel for SizeOfFour {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        size_of::<S::QuadI8>()
    }
}

/// Some rows, on one thread.
struct Quantize<'a> {
    /// Rows of `k` numbers.
    x: &'a [f32],
    k: usize,
    /// Factor of each channel.
    factors: Option<&'a [f32]>,
    /// Rows of `row_bytes` bytes.
    bytes: &'a mut [u8],
    row_bytes: usize,
    scales: &'a mut [f32],
    neg_zero_points: &'a mut [i32],
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.factors {
            None => self.rows::<S, false>(s, &[]),
            Some(factors) => self.rows::<S, true>(s, factors),
        }
    }
}

impl Quantize<'_> {
    #[inline(always)]
    fn rows<S: Simd, const SMOOTHED: bool>(self, s: S, factors: &[f32]) {
        let rows = self.x.chunks_exact(self.k);
        let bytes = self.bytes.chunks_exact_mut(self.row_bytes);
        let params = self.scales.iter_mut().zip(self.neg_zero_points);
        for ((row, bytes), (scale, zero_point)) in rows.zip(bytes).zip(params) {
            let quads = bytemuck::cast_slice_mut(bytes);
            (*scale, *zero_point) = quantize::<S, SMOOTHED>(s, row, factors, quads);
        }
    }
}

/// Quantises one row, times the factors of its channels where it is `SMOOTHED`. Returns its scale and its negated zero
/// point.
#[inline(always)]
fn quantize<S: Simd, const SMOOTHED: bool>(
    s: S,
    row: &[f32],
    factors: &[f32],
    fours: &mut [S::QuadI8],
) -> (f32, i32) {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let (factors, rest_factors) = factors.as_chunks::<LANES>();
    let load = |index: usize, block: &[f32; LANES]| {
        let x = s.load(block);
        if SMOOTHED {
            s.mul(x, s.load(&factors[index]))
        } else {
            x
        }
    };
    let rest = if SMOOTHED {
        s.mul(s.load_partial(rest, 0.0), s.load_partial(rest_factors, 0.0))
    } else {
        s.load_partial(rest, 0.0)
    };
    let nothing = s.splat(0.0);
    // Several of each, since one would have to wait for itself.
    const CHAINS: usize = 4;
    let [mut least, mut greatest, mut poison] = [[nothing; CHAINS]; 3];
    let (many, few) = blocks.as_chunks::<CHAINS>();
    for (index, some) in many.iter().enumerate() {
        for (at, block) in some.iter().enumerate() {
            let x = load(CHAINS * index + at, block);
            least[at] = s.min(least[at], x);
            greatest[at] = s.max(greatest[at], x);
            poison[at] = s.mul_add(x, nothing, poison[at]); // 0, but for what is not finite
        }
    }
    for (index, block) in (CHAINS * many.len()..).zip(few) {
        let x = load(index, block);
        least[0] = s.min(least[0], x);
        greatest[0] = s.max(greatest[0], x);
        poison[0] = s.mul_add(x, nothing, poison[0]);
    }
    let (mut least_of, mut greatest_of) = (s.min(nothing, rest), s.max(nothing, rest));
    let mut poison_of = s.mul(rest, nothing);
    for at in 0..CHAINS {
        least_of = s.min(least_of, least[at]);
        greatest_of = s.max(greatest_of, greatest[at]);
        poison_of = s.add(poison_of, poison[at]);
    }

    let least = -s.reduce_max(s.sub(nothing, least_of));
    let span = s.reduce_max(greatest_of) - least;
    let factor = if span < MIN_RANGE { 0.0 } else { LEVELS / span };
    // The middle of the row is between -1 and 0, so both ends are within 127.
    let zero = (-0.5 * LEVELS - least * factor + ROUND) - ROUND + S::INT8_OFFSET as f32;

    let (factor, shift) = (s.splat(factor), s.splat(ROUND + zero));
    let (whole, padding) = fours.as_chunks_mut::<{ LANES / 4 }>();
    for (index, (block, fours)) in blocks.iter().zip(whole.iter_mut()).enumerate() {
        s.store_quads(s.add(s.mul(load(index, block), factor), shift), fours);
    }
    // Zeros stand behind the row's end, where weights are zero as well.
    for (index, fours) in (blocks.len()..).zip(&mut whole[blocks.len()..]) {
        let x = if index == blocks.len() { rest } else { nothing };
        s.store_quads(s.add(s.mul(x, factor), shift), fours);
    }
    debug_assert!(padding.is_empty());
    (span / LEVELS + s.reduce_add(poison_of), -(zero as i32))
}
