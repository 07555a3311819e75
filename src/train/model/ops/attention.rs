//! Scaled dot-product attention over ragged rows (Vaswani et al. 2017, section 3.2.1), with dropout of the probabilities: `out
//! = dropout(P) V` with `P = softmax(Q K^T / sqrt(head_dim))`, for each text and head.
//!
//! The backward pass recomputes the probabilities: keeping them would take memory that grows with the square of a text's length.

use super::dropout::{Mask, MaskRow};
use crate::kernels::gemm::Small;
use crate::kernels::memory::AlignedFloats;
use crate::kernels::output::{OutputChunks, for_each_chunk};
use crate::kernels::simd::{Kernel, LANES, Simd};
use crate::kernels::{ExecContext, softmax};

/// Inputs of attention: three projections, each (rows, heads * head_dim).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention<'a> {
    pub(crate) query: &'a [f32],
    /// Offset of each text's first query, and the total. A text has as many queries as keys, or fewer.
    pub(crate) query_starts: &'a [usize],
    pub(crate) key: &'a [f32],
    pub(crate) value: &'a [f32],
    /// Offset of each text's first key and value, and the total.
    pub(crate) starts: &'a [usize],
    pub(crate) heads: usize,
    /// Dropout mask of the probabilities: its row is `row * heads + head`, its column the key's index in the text.
    pub(crate) mask: Mask,
}

/// Forward pass; `out` is (queries, heads * head_dim).
pub(crate) fn forward(exec: &ExecContext, input: &Attention<'_>, out: &mut [f32]) {
    let cpu = exec.cpu;
    let outs = [OutputChunks::by_sequence(input.query_starts, out)];
    for_each_chunk(exec, input.starts.len() - 1, outs, |buffer, text, [out]| {
        let text = Text::new(input, text);
        cpu.run(Forward { text, buffer, out });
    });
}

/// Backward pass: computes the gradients of the three projections from that of the output.
pub(crate) fn backward(
    exec: &ExecContext,
    input: &Attention<'_>,
    d_out: &[f32],
    [d_query, d_key, d_value]: [&mut [f32]; 3],
) {
    let cpu = exec.cpu;
    let outs = [
        OutputChunks::by_sequence(input.query_starts, d_query),
        OutputChunks::by_sequence(input.starts, d_key),
        OutputChunks::by_sequence(input.starts, d_value),
    ];
    for_each_chunk(exec, input.starts.len() - 1, outs, |buffer, text, outs| {
        let text = Text::new(input, text);
        cpu.run(Backward {
            d_out: text.of_queries(d_out),
            text,
            buffer,
            outs,
        });
    });
}

/// The rows of one text in all inputs.
#[derive(Clone, Copy)]
struct Text<'a> {
    input: Attention<'a>,
    /// Row of the text's first query.
    first_query: usize,
    /// Number of the text's queries.
    queries: usize,
    /// Row of the text's first key and value.
    first_key: usize,
    /// Number of the text's keys and values.
    keys: usize,
    /// Distance from one row to the next, in floats.
    hidden: usize,
    head_dim: usize,
}

impl<'a> Text<'a> {
    fn new(input: &Attention<'a>, text: usize) -> Self {
        let rows = input.starts[input.starts.len() - 1];
        let hidden = input.key.len() / rows.max(1);
        let (first_query, first_key) = (input.query_starts[text], input.starts[text]);
        Self {
            input: *input,
            first_query,
            queries: input.query_starts[text + 1] - first_query,
            first_key,
            keys: input.starts[text + 1] - first_key,
            hidden,
            head_dim: hidden / input.heads,
        }
    }

    /// Returns the text's slice of a buffer with a row per query.
    #[inline(always)]
    fn of_queries(&self, rows: &'a [f32]) -> &'a [f32] {
        &rows[self.first_query * self.hidden..][..self.queries * self.hidden]
    }

    /// Returns the text's slice of a buffer with a row per key.
    #[inline(always)]
    fn of_keys(&self, rows: &'a [f32]) -> &'a [f32] {
        &rows[self.first_key * self.hidden..][..self.keys * self.hidden]
    }

    /// Number of floats in the panels of a head's rows, whether packed by rows or by columns.
    fn panels(&self) -> usize {
        let by_rows = Small::panels(self.keys, self.head_dim);
        by_rows.max(Small::panels(self.head_dim, self.keys.max(self.queries)))
    }

    /// Computes the dot products of query rows and key rows, (queries, padded keys). Both slices begin with the head's first
    /// column.
    #[inline(always)]
    fn dot_products<S: Simd>(
        &self,
        s: S,
        [a, b]: [&[f32]; 2],
        panels: &mut [f32],
        out: &mut [f32],
    ) {
        let panels = &mut panels[..Small::panels(self.keys, self.head_dim)];
        Small::pack_rows(b, self.keys, self.head_dim, self.hidden, panels);
        let product = Small {
            x: a,
            stride: self.hidden,
            k: self.head_dim,
            panels,
        };
        let padded = padded(self.keys);
        product.multiply(s, self.queries, padded, out, padded);
    }

    /// Computes a head's columns of `out = weights rows`: `weights` is (n, padded k), `rows` has k rows and `out` has n. Both
    /// begin with the head's first column.
    #[inline(always)]
    fn weighted_sum<S: Simd>(
        &self,
        s: S,
        weights: &[f32],
        k: usize,
        rows: &[f32],
        panels: &mut [f32],
        out: &mut [f32],
    ) {
        let panels = &mut panels[..Small::panels(self.head_dim, k)];
        Small::pack_columns(s, rows, self.head_dim, k, self.hidden, panels);
        let product = Small {
            x: weights,
            stride: padded(k),
            k,
            panels,
        };
        product.multiply(
            s,
            weights.len() / padded(k),
            self.head_dim,
            out,
            self.hidden,
        );
    }

    /// Computes P of a head, (queries, padded keys); the columns past the keys are zero.
    #[inline(always)]
    fn probs<S: Simd>(&self, s: S, head: usize, panels: &mut [f32], probs: &mut [f32]) {
        let column = head * self.head_dim;
        let query = &self.of_queries(self.input.query)[column..];
        let key = &self.of_keys(self.input.key)[column..];
        self.dot_products(s, [query, key], panels, probs);
        for row in probs.chunks_exact_mut(padded(self.keys)) {
            let row = &mut row[..self.keys];
            let sum = softmax::exp_and_sum(s, row, self.scale());
            softmax::scale(s, row, 1.0 / sum);
        }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// Returns the row of the dropout mask for a query.
    #[inline(always)]
    fn mask_row(&self, query: usize, head: usize) -> MaskRow {
        let row = self.first_query + query;
        self.input.mask.row(row * self.input.heads + head)
    }

    /// Returns whether the text has no rows to compute.
    fn is_empty(&self) -> bool {
        self.queries == 0 || self.keys == 0
    }
}

/// Length of a row of scores, padded to whole vectors.
#[inline(always)]
fn padded(len: usize) -> usize {
    len.next_multiple_of(LANES)
}

struct Forward<'a> {
    text: Text<'a>,
    buffer: &'a mut AlignedFloats,
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { text, buffer, out } = self;
        if text.is_empty() {
            out.fill(0.0);
            return;
        }
        let padded = padded(text.keys);
        let buffer = buffer.at_least(text.panels() + text.queries * padded);
        let (panels, probs) = buffer.split_at_mut(text.panels());
        for head in 0..text.input.heads {
            text.probs(s, head, panels, probs);
            for (query, probs) in probs.chunks_exact_mut(padded).enumerate() {
                let mask = text.mask_row(query, head);
                for (column, prob) in probs.iter_mut().enumerate() {
                    *prob *= mask.factor(column);
                }
            }
            let column = head * text.head_dim;
            let values = &text.of_keys(text.input.value)[column..];
            text.weighted_sum(s, probs, text.keys, values, panels, &mut out[column..]);
        }
    }
}

struct Backward<'a> {
    text: Text<'a>,
    /// Gradient of the output, for the rows of the text's queries.
    d_out: &'a [f32],
    buffer: &'a mut AlignedFloats,
    /// Gradients of the text's queries, keys and values.
    outs: [&'a mut [f32]; 3],
}

impl Kernel for Backward<'_> {
    type Output = ();

    /// Computes the gradients of all heads. With the gradient D of `out`: `dV = dropout(P)^T D`, `dP = dropout(D V^T)`, and through softmax
    /// `dS = P * (dP - sum of P * dP) / sqrt(head_dim)`, from which `dQ = dS K` and `dK = dS^T Q`.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            text,
            d_out,
            buffer,
            outs: [d_query, d_key, d_value],
        } = self;
        if text.is_empty() {
            for d in [d_query, d_key, d_value] {
                d.fill(0.0);
            }
            return;
        }
        let (queries, keys) = (text.queries, text.keys);
        let padded_keys = padded(keys);
        let (square, transposed) = (queries * padded_keys, keys * padded(queries));
        let (panels, squares) = buffer
            .at_least(text.panels() + 3 * square + transposed)
            .split_at_mut(text.panels());
        let (probs, squares) = squares.split_at_mut(square);
        let (d_probs, squares) = squares.split_at_mut(square);
        let (dropped, transposed) = squares.split_at_mut(square);
        for head in 0..text.input.heads {
            let column = head * text.head_dim;
            let d_out = &d_out[column..];
            text.probs(s, head, panels, probs);
            let value = &text.of_keys(text.input.value)[column..];
            text.dot_products(s, [d_out, value], panels, d_probs);
            let rows = probs.chunks_exact(padded_keys);
            let rows = rows.zip(d_probs.chunks_exact_mut(padded_keys));
            let rows = rows.zip(dropped.chunks_exact_mut(padded_keys));
            for (query, ((p, d), dropped)) in rows.enumerate() {
                let mask = text.mask_row(query, head);
                let elements = p.iter().zip(&mut *d).zip(&mut *dropped);
                for (column, ((p, d), dropped)) in elements.enumerate() {
                    let factor = mask.factor(column);
                    *dropped = p * factor;
                    *d *= factor;
                }
                let mut sum = s.splat(0.0);
                let (p, d) = (p.as_chunks::<LANES>().0, d.as_chunks_mut::<LANES>().0);
                for (p, d) in p.iter().zip(&mut *d) {
                    sum = s.mul_add(s.load(p), s.load(d), sum);
                }
                let (sum, scale) = (s.splat(s.reduce_add(sum)), s.splat(text.scale()));
                for (p, d) in p.iter().zip(d) {
                    let change = s.sub(s.load(d), sum);
                    s.store(s.mul(s.mul(s.load(p), change), scale), d);
                }
            }
            transpose(dropped, queries, keys, transposed);
            text.weighted_sum(
                s,
                transposed,
                queries,
                d_out,
                panels,
                &mut d_value[column..],
            );
            let key = &text.of_keys(text.input.key)[column..];
            text.weighted_sum(s, d_probs, keys, key, panels, &mut d_query[column..]);
            transpose(d_probs, queries, keys, transposed);
            let query = &text.of_queries(text.input.query)[column..];
            text.weighted_sum(s, transposed, queries, query, panels, &mut d_key[column..]);
        }
    }
}

/// Transposes a matrix of scores, (queries, padded keys), to (keys, padded queries).
#[inline(always)]
fn transpose(scores: &[f32], queries: usize, keys: usize, out: &mut [f32]) {
    let (padded_keys, padded_queries) = (padded(keys), padded(queries));
    for (row, elements) in scores.chunks_exact(padded_keys).enumerate() {
        for (column, &x) in elements[..keys].iter().enumerate() {
            out[column * padded_queries + row] = x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dropout::Dropout;
    use super::super::oracle::{self, GradientCheck, random};
    use super::*;
    use crate::kernels::{Cpu, Threads};

    #[test]
    fn both_passes_agree_with_differences_on_every_level() {
        let starts = [0, 1, 6, 6, 23, 40];
        let fewer = [0, 1, 3, 3, 4, 21];
        for (rate, heads, head_dim, query_starts) in [
            (0.0, 2, 5, starts),
            (0.4, 3, 16, starts),
            (0.1, 1, 20, starts),
            (0.3, 2, 8, fewer),
        ] {
            let hidden = heads * head_dim;
            let of_keys = |seed| random(seed, starts[5] * hidden);
            let of_queries = |seed| random(seed, query_starts[5] * hidden);
            let (query, key, value) = (of_queries(1), of_keys(2), of_keys(3));
            let d_out = of_queries(4);
            let mask = Dropout {
                seed: 5,
                ..Dropout::NONE
            }
            .mask(6, rate);
            let check = GradientCheck::of(&d_out, |parts| {
                let factor = |row, column| f64::from(mask.row(row).factor(column));
                oracle::attention(parts, &query_starts, &starts, heads, factor)
            });
            let parts = [&query[..], &key, &value];
            let input = Attention {
                query: &query,
                query_starts: &query_starts,
                key: &key,
                value: &value,
                starts: &starts,
                heads,
                mask,
            };
            for cpu in Cpu::supported() {
                let exec = ExecContext::new(cpu, &Threads::new(2).unwrap());
                let mut out = vec![f32::NAN; query.len()];
                forward(&exec, &input, &mut out);
                check.forward(parts, &out);
                let mut d = parts.map(|part| vec![f32::NAN; part.len()]);
                let [d_query, d_key, d_value] = &mut d;
                backward(&exec, &input, &d_out, [d_query, d_key, d_value]);
                check.backward(parts, [&d[0], &d[1], &d[2]]);
            }
        }
    }
}
