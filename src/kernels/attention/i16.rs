//! Attention of a head in i16.
//!
//! Queries, keys, values and softmax numerators are quantised to i16, with one scale per head each. The scales are
//! chosen by the lengths of the sums, so that an i32 accumulator cannot overflow. So sums are exact, and equal on every
//! processor for the same i16 values. Eight bits are too few for the numerators: of 200 keys most fall below half a
//! step and would be lost (cosine with the exact embeddings of all-MiniLM-L6-v2 0.994; 0.99999 with i16).

use super::kernel::{Buffers, HeadInput, HeadKernel, MAX_QUERIES};
use crate::kernels::gemm::{
    GemmTask, I16, MIN_RANGE, Operands, OutputColumns, PAIR_STEP, PANEL, RhsIn, RowsView,
};
use crate::kernels::memory::AlignedFloats;
use crate::kernels::simd::{LANES, ROUND, Simd};
use crate::kernels::{math, softmax};

/// Greatest number of values that are quantised and stored together. A block is stored in pairs, in whichever order
/// costs least. Where one vector holds the block, pairs are neighbours. Otherwise each value of its first half is
/// paired with one of its second half. Any order of the products gives the same sum, as long as both operands use it.
const BLOCK: usize = 2 * LANES;

/// Greatest quantised value. The smallest is its negative, so that a sum of two products always fits 32 bits.
const I16_MAX: usize = i16::MAX as usize;

/// Head in i16: queries in rows, keys and values in panels, and a buffer for exponentials.
pub(super) struct I16Head<'a> {
    input: HeadInput<'a>,
    /// Quantised queries, (query_rows, head_dim): a pair of i16 in the bits of each f32, each block of a row in pairs.
    queries: &'a [f32],
    /// Floats from the start of one query row to the next.
    stride: usize,
    /// Keys, `[len / 16][head_dim / 2][16][2]`.
    keys: &'a [[i16; PAIR_STEP]],
    /// Values, `[head_dim / 16][len / 2][16][2]`.
    values: &'a [[i16; PAIR_STEP]],
    /// Exponentials of a block of queries: rows of `len` values, each padded to whole blocks and stored in pairs.
    exponentials: &'a mut [[i16; BLOCK]],
    /// Quantised value of an exponential of 1.
    unit: f32,
    /// Scale of the integer products of queries and keys.
    scores_scale: f32,
    /// Scale of the quantised values.
    values_scale: f32,
}

impl<'a> HeadKernel<'a> for I16Head<'a> {
    type Scores = I16<'a, false>;

    #[inline(always)]
    fn pack<S: Simd>(s: S, input: HeadInput<'a>, buffers: &'a mut Buffers) -> Self {
        let (len, head_dim) = (input.len, input.head_dim);
        let max = bound(head_dim);
        // The scale is that of all queries, so a query has the same i16 values whatever the number of output rows.
        let query = Scale::fit(s, input.queries, input, max);
        let wide = head_dim.next_multiple_of(BLOCK);
        let queries = i16s(&mut buffers.queries, input.query_rows * wide);
        fill_rows(s, input.queries, input, query, queries);

        let key = Scale::fit(s, input.keys, input, max);
        let steps = head_dim.div_ceil(2);
        let keys = i16s(&mut buffers.keys, len.div_ceil(PANEL) * steps * PAIR_STEP);
        let keys = keys.as_chunks_mut().0;
        fill_keys(s, input.keys, input, key, keys);

        // The product of the largest value and the largest exponential may not exceed max^2, so that sums fit 32 bits.
        // Exponentials get one bit more of it than values: most of them are far below their maximum, so the same step
        // is a larger part of them.
        let max = bound(len);
        let value = Scale::fit(s, input.values, input, max / 2);
        let steps = len.div_ceil(2);
        let values = i16s(
            &mut buffers.values,
            head_dim.div_ceil(PANEL) * steps * PAIR_STEP,
        );
        let values = values.as_chunks_mut().0;
        fill_values(s, input.values, input, value, values);

        let exponentials = i16s(
            &mut buffers.probs,
            input.block * len.next_multiple_of(BLOCK),
        );
        Self {
            input,
            queries: bytemuck::cast_slice(queries),
            stride: wide / 2,
            keys,
            values,
            exponentials: exponentials.as_chunks_mut().0,
            unit: (2 * max).min(I16_MAX) as f32,
            scores_scale: query.dequant * key.dequant,
            values_scale: value.dequant,
        }
    }

    #[inline(always)]
    fn scores(&self, first: usize) -> (Operands<'_, I16<'a, false>>, f32) {
        let operands = Operands {
            lhs: &self.queries[first * self.stride..],
            lhs_stride: self.stride,
            k_steps: self.input.head_dim.div_ceil(2),
            rhs: self.keys,
            rhs_in: RhsIn::L1,
            dot: I16 { scales: &[] },
        };
        (operands, self.scores_scale)
    }

    #[allow(unsafe_code, reason = "heads write columns of rows they share")]
    #[inline(always)]
    unsafe fn weighted_sum<S: Simd>(
        &mut self,
        s: S,
        scores: &mut [f32],
        stride: usize,
        factor: f32,
        context: OutputColumns<'_>,
    ) {
        let count = scores.len() / stride;
        let mut factors = [0.0; MAX_QUERIES];
        let factors = &mut factors[..count];
        self.exponentials(s, scores, stride, factor, factors);
        let len = self.input.len;
        let operands = Operands {
            lhs: bytemuck::cast_slice(self.exponentials),
            lhs_stride: len.next_multiple_of(BLOCK) / 2,
            k_steps: len.div_ceil(2),
            rhs: self.values,
            rhs_in: RhsIn::L1,
            dot: I16::<true> { scales: factors },
        };
        let task = GemmTask::without_epilogue(operands, context);
        // SAFETY: the caller's promise is the contract of `GemmTask::run`.
        unsafe {
            task.run(s, 0..count, 0..context.width.div_ceil(PANEL));
        }
    }
}

impl I16Head<'_> {
    /// Stores exp(factor (x - max)) of each row of scores as i16. Writes to `factors`, for each row, the factor that
    /// turns its integer products with values into the context.
    #[inline(always)]
    fn exponentials<S: Simd>(
        &mut self,
        s: S,
        scores: &mut [f32],
        stride: usize,
        factor: f32,
        factors: &mut [f32],
    ) {
        let len = self.input.len;
        // The maxima of all rows come first: a maximum over lanes has a long latency, which later rows need not wait
        // for.
        for (scores, greatest) in scores.chunks_exact(stride).zip(&mut *factors) {
            *greatest = softmax::row_max(s, &scores[..len]);
        }
        // e^x is 2^(x log2(e)).
        let to_exp2 = factor * std::f32::consts::LOG2_E;
        let rows = self.exponentials.chunks_exact_mut(len.div_ceil(BLOCK));
        for ((scores, blocks), of_row) in scores.chunks_exact(stride).zip(rows).zip(factors) {
            // Rounding may lift the exponential of the greatest score above 1, and a value above `unit` may overflow
            // i16. If the greatest scaled score is below 2,048 in magnitude, rounding lifts it by less than the 7e-5 by
            // which `exp2_approx` stays below 1. Otherwise `room` is subtracted from all scores of the row.
            let greatest = *of_row * to_exp2;
            let room = if greatest.abs() < 2048.0 {
                0.0
            } else {
                greatest.abs() * f32::EPSILON
            };
            let mut row = RowOfExponentials {
                factor: s.splat(to_exp2),
                shift: s.splat(-(greatest + room)),
                unit: s.splat(self.unit),
                sum: s.splat_i32(0),
            };
            let (whole, rest) = scores[..len].as_chunks::<BLOCK>();
            for (scores, out) in whole.iter().zip(&mut *blocks) {
                row.add(s, scores, out);
            }
            if !rest.is_empty() {
                row.add(s, rest, &mut blocks[whole.len()]);
            }
            // NaN and infinity among queries or keys have become ordinary i16 values; the scale is NaN.
            let poison = self.scores_scale * 0.0;
            *of_row = self.values_scale / s.reduce_add(s.to_f32(row.sum)) + poison;
        }
    }
}

/// Exponentials of one query's scores, while they are computed.
struct RowOfExponentials<S: Simd> {
    /// Factor of a score. Its exponential is 2^(score * factor + shift), 1 for the greatest score.
    factor: S::F32,
    /// Term added to a score, after the factor.
    shift: S::F32,
    /// Quantised value of an exponential of 1.
    unit: S::F32,
    /// Sum, in each lane, of the quantised exponentials so far.
    sum: S::I32,
}

impl<S: Simd> RowOfExponentials<S> {
    /// Stores the exponentials of a block's scores as i16 and adds them to `sum`.
    #[inline(always)]
    fn add(&mut self, s: S, scores: &[f32], out: &mut [i16; BLOCK]) {
        let pairs = if scores.len() <= LANES {
            let e = self.exp(s, scores);
            s.store_i16_truncating(
                e,
                out.first_chunk_mut()
                    .expect("a block holds at least LANES values"),
            );
            s.pair_i16_truncating(e, s.splat(ROUND))
        } else {
            let [even, odd] = halves(scores);
            let pairs = s.pair_i16_truncating(self.exp(s, even), self.exp(s, odd));
            s.store_pairs(pairs, out);
            pairs
        };
        self.sum = s.dot_i16x2(self.sum, pairs, s.splat_pair([1, 1]));
    }

    /// Returns sixteen exponentials, each with its quantised value in the lane's low 16 bits. Lanes past the end of
    /// `scores` become 0: exp(-infinity) is clamped to a value far below half a step.
    #[inline(always)]
    fn exp(&self, s: S, scores: &[f32]) -> S::F32 {
        let x = s.load_partial(scores, f32::NEG_INFINITY);
        let e = math::exp2_approx(s, s.mul_add(x, self.factor, self.shift));
        s.mul_add(e, self.unit, s.splat(ROUND))
    }
}

/// Divides a block into halves. The second half is the shorter one if the length is odd.
#[inline(always)]
fn halves<T>(block: &[T]) -> [&[T]; 2] {
    block.split_at(block.len().div_ceil(2)).into()
}

/// Returns the largest value, at most 32767, for which `times` products of two such values fit a 32-bit sum.
fn bound(times: usize) -> usize {
    (i32::MAX as usize / times).isqrt().min(I16_MAX)
}

/// Returns `count` i16 values of a buffer of floats, after growing it to hold them.
#[inline(always)]
fn i16s(buffer: &mut AlignedFloats, count: usize) -> &mut [i16] {
    &mut bytemuck::cast_slice_mut(buffer.at_least(count.div_ceil(2)))[..count]
}

/// Scale of a head's queries, keys or values.
#[derive(Clone, Copy)]
struct Scale {
    /// Factor from floats to 16-bit integers.
    factor: f32,
    /// Factor from 16-bit integers back to floats. NaN if a float of the head is not finite.
    dequant: f32,
}

impl Scale {
    /// Returns the scale for which the largest magnitude of a head's floats becomes `max`.
    #[inline(always)]
    fn fit<S: Simd>(s: S, rows: RowsView<'_>, input: HeadInput<'_>, max: usize) -> Self {
        let empty = RangeStats::empty(s);
        let (mut even, mut odd) = (empty, empty);
        for row in 0..input.len {
            let row = &rows.data[row * rows.stride..][..input.head_dim];
            let (twos, rest) = row.as_chunks::<{ 2 * LANES }>();
            for two in twos {
                let (first, second) = two.split_at(LANES);
                even = even.include(s, s.load_partial(first, 0.0));
                odd = odd.include(s, s.load_partial(second, 0.0));
            }
            for some in rest.chunks(LANES) {
                even = even.include(s, s.load_partial(some, 0.0));
            }
        }
        let lowest = s.min(even.lowest, odd.lowest);
        let greatest = s.reduce_max(s.sub(s.splat(0.0), lowest));
        let poison = s.reduce_add(s.add(even.poison, odd.poison));
        if greatest < MIN_RANGE {
            Self {
                factor: 0.0,
                dequant: poison,
            }
        } else {
            Self {
                factor: max as f32 / greatest,
                dequant: greatest / max as f32 + poison,
            }
        }
    }

    /// Quantises a block and stores it in pairs.
    #[inline(always)]
    fn fill<S: Simd>(self, s: S, block: &[f32], out: &mut [i16; BLOCK]) {
        if block.len() <= LANES {
            s.store_i16_truncating(
                self.apply(s, block),
                out.first_chunk_mut()
                    .expect("a block holds at least LANES values"),
            );
        } else {
            let [even, odd] = halves(block);
            let pairs = s.pair_i16_truncating(self.apply(s, even), self.apply(s, odd));
            s.store_pairs(pairs, out);
        }
    }

    /// Returns sixteen quantised floats, each with its value in the lane's low 16 bits. Lanes past the end of `some`
    /// become 0.
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, some: &[f32]) -> S::F32 {
        let (factor, round) = (s.splat(self.factor), s.splat(ROUND));
        s.add(s.mul(s.load_partial(some, 0.0), factor), round)
    }
}

/// Range of a head's floats, lane by lane.
#[derive(Clone, Copy)]
struct RangeStats<S: Simd> {
    /// Negated largest magnitude.
    lowest: S::F32,
    /// 0, or NaN if a float was not finite.
    poison: S::F32,
}

impl<S: Simd> RangeStats<S> {
    /// Returns the range of no floats.
    #[inline(always)]
    fn empty(s: S) -> Self {
        Self {
            lowest: s.splat(0.0),
            poison: s.splat(0.0),
        }
    }

    /// Returns the range that includes sixteen more floats.
    #[inline(always)]
    fn include(self, s: S, x: S::F32) -> Self {
        Self {
            lowest: s.min(self.lowest, s.neg_abs(x)),
            poison: s.mul_add(x, s.splat(0.0), self.poison),
        }
    }
}

/// Quantises the first `query_rows` rows to `out`, (query_rows, head_dim), each block in pairs.
#[inline(always)]
fn fill_rows<S: Simd>(
    s: S,
    rows: RowsView<'_>,
    input: HeadInput<'_>,
    scale: Scale,
    out: &mut [i16],
) {
    let mut out = out.as_chunks_mut().0.iter_mut();
    for row in 0..input.query_rows {
        let row = &rows.data[row * rows.stride..][..input.head_dim];
        for (block, out) in row.chunks(BLOCK).zip(&mut out) {
            scale.fill(s, block, out);
        }
    }
}

/// Quantises rows as keys to `[len / 16][head_dim / 2][16][2]`. Lanes past the last key hold leftover values.
#[inline(always)]
fn fill_keys<S: Simd>(
    s: S,
    rows: RowsView<'_>,
    input: HeadInput<'_>,
    scale: Scale,
    panels: &mut [[i16; PAIR_STEP]],
) {
    let steps = input.head_dim.div_ceil(2);
    let (mut of_keys, mut few_steps) = ([[0.0; LANES]; PANEL], [[0.0; PANEL]; LANES]);
    for (index, panel) in panels.chunks_exact_mut(steps).enumerate() {
        let keys = PANEL.min(input.len - index * PANEL);
        for (at, steps) in panel.chunks_mut(LANES).enumerate() {
            for (key, pairs) in of_keys.iter_mut().enumerate().take(keys) {
                let row = &rows.data[(index * PANEL + key) * rows.stride..][..input.head_dim];
                let block = &row[at * BLOCK..input.head_dim.min((at + 1) * BLOCK)];
                scale.fill(s, block, bytemuck::cast_mut(pairs));
            }
            // A pair is moved as one f32.
            let steps: &mut [[f32; PANEL]] = bytemuck::cast_slice_mut(steps);
            match steps.first_chunk_mut() {
                Some(steps) => s.transpose(&of_keys, steps),
                None => {
                    s.transpose(&of_keys, &mut few_steps);
                    steps.copy_from_slice(&few_steps[..steps.len()]);
                }
            }
        }
    }
}

/// Quantises rows as values to `[head_dim / 16][len / 2][16][2]`. The second half of the last pair is zero if there is
/// no row for it.
#[inline(always)]
fn fill_values<S: Simd>(
    s: S,
    rows: RowsView<'_>,
    input: HeadInput<'_>,
    scale: Scale,
    panels: &mut [[i16; PAIR_STEP]],
) {
    let HeadInput { len, head_dim, .. } = input;
    for (index, panel) in panels.chunks_exact_mut(len.div_ceil(2)).enumerate() {
        let column = index * PANEL;
        let width = PANEL.min(head_dim - column);
        let row = |row: usize| &rows.data[row * rows.stride + column..][..width];
        for (block, steps) in panel.chunks_mut(LANES).enumerate() {
            let (first, end) = (block * BLOCK, len.min((block + 1) * BLOCK));
            let (stride, second) = if end - first <= LANES {
                (2, first + 1)
            } else {
                (1, first + steps.len())
            };
            for (step, line) in steps.iter_mut().enumerate() {
                let even = scale.apply(s, row(first + stride * step));
                let odd = if second + stride * step < end {
                    scale.apply(s, row(second + stride * step))
                } else {
                    s.splat(ROUND)
                };
                s.store_pairs(s.pair_i16_truncating(even, odd), line);
            }
        }
    }
}
