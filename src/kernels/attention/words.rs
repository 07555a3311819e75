//! A head in words of 16 bits.
//!
//! Queries, keys and values are made integers, each by one scale for the head, and so are the exponentials of scores, which
//! are at most one. How large they may become is said by the lengths of the sums, which must fit 32 bits: so sums are exact,
//! whatever comes, and the same on every processor for the same words. One byte would not do for the exponentials: of 200
//! keys most fall below a half and are gone (cosine of all-MiniLM-L6-v2 0.994, and 0.99999 with words).

use super::{Buffers, Form, Part};
use crate::kernels::aligned::AlignedFloats;
use crate::kernels::gemm::{LEAST_SPAN, PANEL, ROUND, Rows, STEP_OF_WORDS, WordOperands};
use crate::kernels::simd::{LANES, Simd};
use crate::kernels::{math, softmax};

/// The greatest word. The least is minus as much, so that two products of words always fit 32 bits.
const GREATEST: usize = i16::MAX as usize;

/// Queries in rows, keys and values in panels, all words, and room for exponentials.
pub(super) struct Words<'a> {
    part: Part<'a>,
    /// (len, head_dim), in pairs,
    queries: &'a [[i16; 2]],
    /// so many from one to the next.
    stride: usize,
    /// `[len / 16][head_dim / 2][16][2]`.
    keys: &'a [[i16; STEP_OF_WORDS]],
    /// `[head_dim / 16][len / 2][16][2]`.
    values: &'a [[i16; STEP_OF_WORDS]],
    /// Rows of a block, each of `len` and then zeros up to a whole vector.
    exponentials: &'a mut [[i16; LANES]],
    /// What 1 becomes among them.
    one: f32,
    scores_scale: f32,
    values_scale: f32,
}

impl<'a> Form<'a> for Words<'a> {
    type Queries<'b>
        = WordOperands<'b, false>
    where
        Self: 'b;
    type Shares<'b>
        = WordOperands<'b, true>
    where
        Self: 'b;

    #[inline(always)]
    fn pack<S: Simd>(s: S, part: Part<'a>, buffers: Buffers<'a>) -> Self {
        let (len, head_dim) = (part.len, part.head_dim);
        let most = bound(head_dim);
        let query = Scale::of(s, part.queries, part, most);
        let queries = words(buffers.queries, len * head_dim.next_multiple_of(LANES));
        fill_rows(s, part.queries, part, query, queries);

        let key = Scale::of(s, part.keys, part, most);
        let steps = head_dim.div_ceil(2);
        let keys = words(buffers.keys, len.div_ceil(PANEL) * steps * STEP_OF_WORDS);
        let keys = keys.as_chunks_mut().0;
        fill_keys(s, part.keys, part, key, keys);

        // An error of values is there in every sum, those of the exponentials cancel; but these grow with the length.
        let most = bound(len);
        let value = Scale::of(s, part.values, part, most / 2);
        let steps = len.div_ceil(2);
        let values = words(
            buffers.values,
            head_dim.div_ceil(PANEL) * steps * STEP_OF_WORDS,
        );
        let values = values.as_chunks_mut().0;
        fill_values(s, part.values, part, value, values);

        let exponentials = words(buffers.shares, part.block * len.next_multiple_of(LANES));
        Self {
            part,
            queries: bytemuck::cast_slice(queries),
            stride: head_dim.next_multiple_of(LANES) / 2,
            keys,
            values,
            exponentials: exponentials.as_chunks_mut().0,
            one: (2 * most).min(GREATEST) as f32,
            scores_scale: query.step * key.step,
            values_scale: value.step,
        }
    }

    #[inline(always)]
    fn scores_scale(&self) -> f32 {
        self.scores_scale
    }

    #[inline(always)]
    fn scores(&self, first: usize) -> WordOperands<'_, false> {
        WordOperands {
            x: &self.queries[first * self.stride..],
            stride: self.stride,
            steps: self.part.head_dim.div_ceil(2),
            panels: self.keys,
            scales: &[],
        }
    }

    #[inline(always)]
    fn exponentials<S: Simd>(
        &mut self,
        s: S,
        scores: &mut [f32],
        stride: usize,
        factor: f32,
        factors: &mut [f32],
    ) {
        let len = self.part.len;
        // The greatest of all rows first: what is found across lanes is late, and later rows need not wait for it.
        for (scores, greatest) in scores.chunks_exact(stride).zip(&mut *factors) {
            *greatest = softmax::largest(s, &scores[..len]);
        }
        // e^x is 2 to the power of x log2(e).
        let factor = s.splat(factor * std::f32::consts::LOG2_E);
        let (one, round) = (s.splat(self.one), s.splat(ROUND));
        let rows = self.exponentials.chunks_exact_mut(stride / LANES);
        for ((scores, words), of_row) in scores.chunks_exact(stride).zip(rows).zip(factors) {
            let max = s.splat(*of_row);
            let mut sum = s.splat(0.0);
            for (some, words) in scores[..len].chunks(LANES).zip(words) {
                // Lanes past the end become 0, as what is left of exp there is far below a half.
                let x = s.load_some(some, f32::NEG_INFINITY);
                let e = math::exp2_roughly(s, s.mul(s.sub(x, max), factor));
                let rounded = s.mul_add(e, one, round);
                s.store_low_words(rounded, words);
                sum = s.add(sum, s.sub(rounded, round));
            }
            *of_row = self.values_scale / s.sum(sum);
        }
    }

    #[inline(always)]
    fn context<'b>(
        &'b self,
        _: &'b [f32],
        stride: usize,
        factors: &'b [f32],
    ) -> WordOperands<'b, true> {
        WordOperands {
            x: bytemuck::cast_slice(self.exponentials),
            stride: stride / 2,
            steps: self.part.len.div_ceil(2),
            panels: self.values,
            scales: factors,
        }
    }

    // The product has done it.
    #[inline(always)]
    fn divide<S: Simd>(_: S, _: &mut [f32], _: f32) {}
}

/// The greatest number two of which may be multiplied and `times` such products summed up in 32 bits.
fn bound(times: usize) -> usize {
    (i32::MAX as usize / times).isqrt().min(GREATEST)
}

/// So many words of a buffer of floats.
#[inline(always)]
fn words(buffer: &mut AlignedFloats, count: usize) -> &mut [i16] {
    &mut bytemuck::cast_slice_mut(buffer.at_least(count.div_ceil(2)))[..count]
}

/// How numbers become words.
#[derive(Clone, Copy)]
struct Scale {
    /// Words of 1,
    factor: f32,
    /// and what one word is: NaN where a number is not finite.
    step: f32,
}

impl Scale {
    /// By which the greatest of a head's numbers becomes `most`.
    #[inline(always)]
    fn of<S: Simd>(s: S, rows: Rows<'_>, part: Part<'_>, most: usize) -> Self {
        let nothing = Seen::nothing(s);
        let (mut even, mut odd) = (nothing, nothing);
        for row in 0..part.len {
            let row = &rows.data[row * rows.stride..][..part.head_dim];
            let (twos, rest) = row.as_chunks::<{ 2 * LANES }>();
            for two in twos {
                let (first, second) = two.split_at(LANES);
                even = even.and(s, s.load_some(first, 0.0));
                odd = odd.and(s, s.load_some(second, 0.0));
            }
            for some in rest.chunks(LANES) {
                even = even.and(s, s.load_some(some, 0.0));
            }
        }
        let lowest = s.min(even.lowest, odd.lowest);
        let greatest = s.largest(s.sub(s.splat(0.0), lowest));
        let poison = s.sum(s.add(even.poison, odd.poison));
        match greatest < LEAST_SPAN {
            true => Self {
                factor: 0.0,
                step: poison,
            },
            false => Self {
                factor: most as f32 / greatest,
                step: greatest / most as f32 + poison,
            },
        }
    }

    /// Sixteen numbers with their words in the low bits; what a row does not have is 0.
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, some: &[f32]) -> S::Floats {
        let (factor, round) = (s.splat(self.factor), s.splat(ROUND));
        s.add(s.mul(s.load_some(some, 0.0), factor), round)
    }
}

/// What is known of a head's numbers.
#[derive(Clone, Copy)]
struct Seen<S: Simd> {
    /// Minus the greatest magnitude.
    lowest: S::Floats,
    /// 0, or NaN if one was not finite.
    poison: S::Floats,
}

impl<S: Simd> Seen<S> {
    #[inline(always)]
    fn nothing(s: S) -> Self {
        Self {
            lowest: s.splat(0.0),
            poison: s.splat(0.0),
        }
    }

    /// After sixteen more of them.
    #[inline(always)]
    fn and(self, s: S, x: S::Floats) -> Self {
        Self {
            lowest: s.min(self.lowest, s.minus_abs(x)),
            poison: s.mul_add(x, s.splat(0.0), self.poison),
        }
    }
}

/// (len, head_dim), each row up to a whole vector.
#[inline(always)]
fn fill_rows<S: Simd>(s: S, rows: Rows<'_>, part: Part<'_>, scale: Scale, words: &mut [i16]) {
    let mut words = words.as_chunks_mut().0.iter_mut();
    for row in 0..part.len {
        let row = &rows.data[row * rows.stride..][..part.head_dim];
        for (some, words) in row.chunks(LANES).zip(&mut words) {
            s.store_low_words(scale.apply(s, some), words);
        }
    }
}

/// `[len / 16][head_dim / 2][16][2]`; what stands past the last key is left over from earlier use.
#[inline(always)]
fn fill_keys<S: Simd>(
    s: S,
    rows: Rows<'_>,
    part: Part<'_>,
    scale: Scale,
    panels: &mut [[i16; STEP_OF_WORDS]],
) {
    /// Keys at a time, so that a step's pairs are stored together.
    const TOGETHER: usize = 4;
    let steps = part.head_dim.div_ceil(2);
    for (index, panel) in panels.chunks_exact_mut(steps).enumerate() {
        let panel: &mut [[[i16; 2]; PANEL]] = bytemuck::cast_slice_mut(panel);
        let keys = PANEL.min(part.len - index * PANEL);
        for first in (0..keys).step_by(TOGETHER) {
            for (at, steps) in panel.chunks_mut(LANES / 2).enumerate() {
                let mut words = [[0; LANES]; TOGETHER];
                for (key, words) in words.iter_mut().enumerate().take(keys - first) {
                    let row = &rows.data[(index * PANEL + first + key) * rows.stride..];
                    let some = &row[at * LANES..part.head_dim.min((at + 1) * LANES)];
                    s.store_low_words(scale.apply(s, some), words);
                }
                for (step, pairs) in steps.iter_mut().enumerate() {
                    let of_step = |key: usize| [words[key][2 * step], words[key][2 * step + 1]];
                    pairs[first..first + TOGETHER].copy_from_slice(&std::array::from_fn::<
                        _,
                        TOGETHER,
                        _,
                    >(of_step));
                }
            }
        }
    }
}

/// `[head_dim / 16][len / 2][16][2]`, with zeros where the last pair has no second row.
#[inline(always)]
fn fill_values<S: Simd>(
    s: S,
    rows: Rows<'_>,
    part: Part<'_>,
    scale: Scale,
    panels: &mut [[i16; STEP_OF_WORDS]],
) {
    let Part { len, head_dim, .. } = part;
    for (index, panel) in panels.chunks_exact_mut(len.div_ceil(2)).enumerate() {
        let column = index * PANEL;
        let width = PANEL.min(head_dim - column);
        let row = |row: usize| &rows.data[row * rows.stride + column..][..width];
        for (step, words) in panel.iter_mut().enumerate() {
            let even = scale.apply(s, row(2 * step));
            let odd = match 2 * step + 1 < len {
                true => scale.apply(s, row(2 * step + 1)),
                false => s.splat(ROUND),
            };
            s.store_low_pairs(even, odd, words);
        }
    }
}
