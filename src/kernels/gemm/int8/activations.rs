//! Activations quantised to int8, each row with a scale and a zero point of its own. Stored as bytes, or as i16 on
//! levels that multiply i16.
//!
//! An activation becomes q = round(x / scale) + zero, from -127 to 127. Scale and zero point are chosen so that the
//! row's minimum, its maximum and 0 fit. Quantisation is asymmetric, since the output of GELU is hardly ever negative.
//! Rows are quantised independently, so the products of a row give the same bits whatever other rows there are. Only
//! operations are used that round alike everywhere, so a row becomes the same integers on every processor.

use crate::kernels::ExecContext;
use crate::kernels::memory::AlignedFloats;
use crate::kernels::simd::{Kernel, LANES, ROUND, Simd};

/// Range below which a row, or a channel's weights, are quantised as zeros. Quotients by larger ranges are finite.
pub(in crate::kernels) const MIN_RANGE: f32 = 1e-30;
/// Number of quantisation steps from a row's minimum to its maximum: one fewer than from -127 to 127, so that no value
/// is ever clipped, wherever the rounded zero point falls.
const LEVELS: f32 = 253.0;
/// Row strides are multiples of this many quads (groups of four activations): one cache line as bytes, two as i16.
const ROW_GRAIN: usize = 16;
/// Number of activations for which one more thread is worth its overhead.
const FLOATS_PER_TASK: usize = 16 * 1024;

/// Quantised rows of activations, in memory that is reused.
#[derive(Debug, Default)]
pub(crate) struct QuantizedRows {
    /// Quads of (rows, stride): the level's [`QuadI8`](Simd::QuadI8).
    memory: AlignedFloats,
    /// Scale of each row: a quantised activation q represents `(q + neg_zero_point) * scale`. NaN if an activation of
    /// the row is not finite, so that all its products become NaN.
    scales: Vec<f32>,
    /// Negated zero point of each row, in the level's encoding (see [`Simd::INT8_OFFSET`]).
    neg_zero_points: Vec<i32>,
    /// Quads from one row's start to the next.
    stride: usize,
}

impl QuantizedRows {
    /// Quantises `x`, rows of `k` floats, on all threads, for the products of `exec`'s level. If there are
    /// `factors`, (k), each activation is first multiplied by the factor of its input channel.
    pub(in crate::kernels::gemm) fn fill(
        &mut self,
        exec: &ExecContext,
        x: &[f32],
        k: usize,
        factors: Option<&[f32]>,
    ) {
        assert!(factors.is_none_or(|factors| factors.len() == k));
        let rows = x.len() / k;
        self.stride = k.div_ceil(4).next_multiple_of(ROW_GRAIN);
        let row_bytes = self.stride * exec.cpu.run_int8(QuadSize);
        self.scales.resize(rows, 0.0);
        self.neg_zero_points.resize(rows, 0);
        let bytes = self.memory.at_least(rows * row_bytes / size_of::<f32>());
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(bytes);
        let tasks = match exec.team.count() {
            1 => 1,
            threads => (x.len() / FLOATS_PER_TASK).clamp(1, threads),
        };
        let per_task = rows.div_ceil(tasks).max(1);
        let scales = self.scales.chunks_mut(per_task);
        let params = scales.zip(self.neg_zero_points.chunks_mut(per_task));
        let bytes = bytes.chunks_mut(per_task * row_bytes);
        let parts = x.chunks(per_task * k).zip(bytes.zip(params));
        let cpu = exec.cpu;
        exec.team.for_each_part(
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

    /// Returns the memory of all rows as quads, [`Simd::QuadI8`] of the level that they were filled for, and the number
    /// of quads from one row to the next.
    pub(super) fn quads(&self) -> (&[f32], usize) {
        (&self.memory, self.stride)
    }

    /// Returns the scales of `R` rows from row `first` on.
    #[inline(always)]
    pub(super) fn scales<const R: usize>(&self, first: usize) -> &[f32; R] {
        let scales = self.scales[first..].first_chunk();
        scales.expect("a scale for each row")
    }

    /// Returns the negated zero points of `R` rows from row `first` on.
    #[inline(always)]
    pub(super) fn neg_zero_points<const R: usize>(&self, first: usize) -> &[i32; R] {
        let zero_points = self.neg_zero_points[first..].first_chunk();
        zero_points.expect("a zero point for each row")
    }
}

/// Computes the bytes of a level's quad.
struct QuadSize;

impl Kernel for QuadSize {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        size_of::<S::QuadI8>()
    }
}

/// Quantises rows on one thread.
struct Quantize<'a> {
    /// Rows of `k` floats.
    x: &'a [f32],
    /// Floats of a row.
    k: usize,
    /// Factor of each input channel.
    factors: Option<&'a [f32]>,
    /// Quantised rows of `row_bytes` bytes each.
    bytes: &'a mut [u8],
    /// Bytes of a quantised row.
    row_bytes: usize,
    /// Scale of each row.
    scales: &'a mut [f32],
    /// Negated zero point of each row.
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
    /// Quantises all rows; multiplies them by `factors` if `SMOOTHED`.
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

/// Quantises one row to `quads`. Multiplies it by the factors of its input channels if `SMOOTHED`. Returns its scale
/// and its negated zero point.
#[inline(always)]
fn quantize<S: Simd, const SMOOTHED: bool>(
    s: S,
    row: &[f32],
    factors: &[f32],
    quads: &mut [S::QuadI8],
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
    let zeros = s.splat(0.0);
    // Several accumulators of each: with one, every operation would wait for the one before.
    const CHAINS: usize = 4;
    let [mut min, mut max, mut poison] = [[zeros; CHAINS]; 3];
    let (many, few) = blocks.as_chunks::<CHAINS>();
    for (index, some) in many.iter().enumerate() {
        for (at, block) in some.iter().enumerate() {
            let x = load(CHAINS * index + at, block);
            min[at] = s.min(min[at], x);
            max[at] = s.max(max[at], x);
            poison[at] = s.mul_add(x, zeros, poison[at]); // 0, or NaN if an activation is not finite
        }
    }
    for (index, block) in (CHAINS * many.len()..).zip(few) {
        let x = load(index, block);
        min[0] = s.min(min[0], x);
        max[0] = s.max(max[0], x);
        poison[0] = s.mul_add(x, zeros, poison[0]);
    }
    let (mut min_lanes, mut max_lanes) = (s.min(zeros, rest), s.max(zeros, rest));
    let mut poison_lanes = s.mul(rest, zeros);
    for at in 0..CHAINS {
        min_lanes = s.min(min_lanes, min[at]);
        max_lanes = s.max(max_lanes, max[at]);
        poison_lanes = s.add(poison_lanes, poison[at]);
    }

    let min = -s.reduce_max(s.sub(zeros, min_lanes));
    let span = s.reduce_max(max_lanes) - min;
    let factor = if span < MIN_RANGE { 0.0 } else { LEVELS / span };
    // The zero point puts the middle of the row's range between -1 and 0, so both ends are within 127.
    let zero = (-0.5 * LEVELS - min * factor + ROUND) - ROUND + S::INT8_OFFSET as f32;

    let (factor, shift) = (s.splat(factor), s.splat(ROUND + zero));
    let (whole, padding) = quads.as_chunks_mut::<{ LANES / 4 }>();
    for (index, (block, quads)) in blocks.iter().zip(whole.iter_mut()).enumerate() {
        s.store_quads(s.add(s.mul(load(index, block), factor), shift), quads);
    }
    // The row is padded with zeros. The weights that they are multiplied with are zero as well.
    for (index, quads) in (blocks.len()..).zip(&mut whole[blocks.len()..]) {
        let x = if index == blocks.len() { rest } else { zeros };
        s.store_quads(s.add(s.mul(x, factor), shift), quads);
    }
    debug_assert!(padding.is_empty());
    (span / LEVELS + s.reduce_add(poison_lanes), -(zero as i32))
}
