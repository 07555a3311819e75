//! Scaled dot-product attention over ragged rows (Vaswani et al. 2017, section 3.2.1), with dropout of its shares:
//! `out = dropout(P) V` with `P = softmax(Q K^T / sqrt(head_dim))`, for each text and head.
//!
//! The backward pass computes the shares once more: to keep them would take memory with the square of a text's length.

use super::dropout::Mask;
use crate::kernels::aligned::AlignedFloats;
use crate::kernels::gemm::Small;
use crate::kernels::pieces::{Pieces, each};
use crate::kernels::simd::{Kernel, LANES, Simd};
use crate::kernels::{Compute, softmax};

/// What attention reads: three projections of all rows, (rows, heads * head_dim).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention<'a> {
    pub(crate) query: &'a [f32],
    pub(crate) key: &'a [f32],
    pub(crate) value: &'a [f32],
    /// Where each text starts, and the end.
    pub(crate) starts: &'a [usize],
    pub(crate) heads: usize,
    /// Of the shares of a query; its row is `row * heads + head`, its column the key's place in the text.
    pub(crate) mask: Mask,
}

/// What comes out, (rows, heads * head_dim).
pub(crate) fn forward(compute: &Compute, input: &Attention<'_>, out: &mut [f32]) {
    let cpu = compute.cpu;
    let outs = [Pieces::texts(input.starts, out)];
    each(
        compute,
        input.starts.len() - 1,
        outs,
        |buffer, text, [out]| {
            let text = Text::new(input, text);
            cpu.run(Forward { text, buffer, out });
        },
    );
}

/// From the gradient of what came out to those of the three projections.
pub(crate) fn backward(
    compute: &Compute,
    input: &Attention<'_>,
    d_out: &[f32],
    [d_query, d_key, d_value]: [&mut [f32]; 3],
) {
    let cpu = compute.cpu;
    let outs = [
        Pieces::texts(input.starts, d_query),
        Pieces::texts(input.starts, d_key),
        Pieces::texts(input.starts, d_value),
    ];
    each(
        compute,
        input.starts.len() - 1,
        outs,
        |buffer, text, outs| {
            let text = Text::new(input, text);
            cpu.run(Backward {
                d_out: text.own(d_out),
                text,
                buffer,
                outs,
            });
        },
    );
}

/// The shares of one head in one text before dropout, (tokens, tokens).
pub(crate) fn shares(
    compute: &Compute,
    input: &Attention<'_>,
    (text, head): (usize, usize),
) -> Vec<f32> {
    let text = Text::new(input, text);
    compute.cpu.run(Shares { text, head })
}

/// One text.
#[derive(Clone, Copy)]
struct Text<'a> {
    input: Attention<'a>,
    /// Its first row.
    first: usize,
    len: usize,
    /// From one row to the next.
    hidden: usize,
    head_dim: usize,
}

impl<'a> Text<'a> {
    fn new(input: &Attention<'a>, text: usize) -> Self {
        let rows = input.starts[input.starts.len() - 1];
        let hidden = input.query.len() / rows.max(1);
        let first = input.starts[text];
        Self {
            input: *input,
            first,
            len: input.starts[text + 1] - first,
            hidden,
            head_dim: hidden / input.heads,
        }
    }

    /// Its rows.
    #[inline(always)]
    fn own(&self, rows: &'a [f32]) -> &'a [f32] {
        &rows[self.first * self.hidden..][..self.len * self.hidden]
    }

    /// Its rows from a head's first column on.
    #[inline(always)]
    fn part(&self, rows: &'a [f32], head: usize) -> &'a [f32] {
        &self.own(rows)[head * self.head_dim..]
    }

    fn padded(&self) -> usize {
        self.len.next_multiple_of(LANES)
    }

    /// Floats of the panels that keys or queries of a head become, by rows or by columns.
    fn panels(&self) -> usize {
        let by_rows = Small::panels(self.len, self.head_dim);
        by_rows.max(Small::panels(self.head_dim, self.len))
    }

    /// Products of a head's rows in `a` with those in `b`, (len, padded): each number is a row of `a` times a row of `b`.
    #[inline(always)]
    fn products<S: Simd>(&self, s: S, [a, b]: [&[f32]; 2], panels: &mut [f32], out: &mut [f32]) {
        let (len, width) = (self.len, self.head_dim);
        let panels = &mut panels[..Small::panels(len, width)];
        Small::pack_rows(b, (len, width), self.hidden, panels);
        let product = Small {
            x: a,
            stride: self.hidden,
            k: width,
            panels,
        };
        product.multiply(s, (len, self.padded()), out, self.padded());
    }

    /// `out = weights rows`, a head's columns of it: `weights` is (len, padded), `rows` and `out` the text's, from the
    /// head's first column on.
    #[inline(always)]
    fn mix<S: Simd>(
        &self,
        s: S,
        (weights, rows): (&[f32], &[f32]),
        panels: &mut [f32],
        out: &mut [f32],
    ) {
        let (len, width) = (self.len, self.head_dim);
        let panels = &mut panels[..Small::panels(width, len)];
        Small::pack_columns(s, rows, (width, len), self.hidden, panels);
        let product = Small {
            x: weights,
            stride: self.padded(),
            k: len,
            panels,
        };
        product.multiply(s, (len, width), out, self.hidden);
    }

    /// P of a head, (len, padded); the columns past `len` are zero.
    #[inline(always)]
    fn shares<S: Simd>(&self, s: S, head: usize, panels: &mut [f32], shares: &mut [f32]) {
        let (query, key) = (
            self.part(self.input.query, head),
            self.part(self.input.key, head),
        );
        self.products(s, [query, key], panels, shares);
        for row in shares.chunks_exact_mut(self.padded()) {
            let row = &mut row[..self.len];
            let sum = softmax::exponentials(s, row, self.scale());
            softmax::scale(s, row, 1.0 / sum);
        }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// The row of the mask for a query.
    #[inline(always)]
    fn mask_row(&self, row: usize, head: usize) -> super::dropout::MaskRow {
        self.input
            .mask
            .row((self.first + row) * self.input.heads + head)
    }
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
        let square = text.len * text.padded();
        let buffer = buffer.at_least(text.panels() + square);
        let (panels, shares) = buffer.split_at_mut(text.panels());
        if text.len == 0 {
            return;
        }
        for head in 0..text.input.heads {
            text.shares(s, head, panels, shares);
            for (row, shares) in shares.chunks_exact_mut(text.padded()).enumerate() {
                let mask = text.mask_row(row, head);
                for (column, share) in shares.iter_mut().enumerate() {
                    *share *= mask.factor(column);
                }
            }
            let values = text.part(text.input.value, head);
            let out = &mut out[head * text.head_dim..];
            text.mix(s, (shares, values), panels, out);
        }
    }
}

struct Backward<'a> {
    text: Text<'a>,
    /// The text's rows.
    d_out: &'a [f32],
    buffer: &'a mut AlignedFloats,
    /// The text's rows of the gradients of queries, keys and values.
    outs: [&'a mut [f32]; 3],
}

impl Kernel for Backward<'_> {
    type Output = ();

    /// With the gradient D of `out`: `dV = dropout(P)^T D`, `dP = dropout(D V^T)`, and through softmax
    /// `dS = P * (dP - sum of P * dP) / sqrt(head_dim)`, from which `dQ = dS K` and `dK = dS^T Q`.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            text,
            d_out,
            buffer,
            outs: [d_query, d_key, d_value],
        } = self;
        let (len, padded) = (text.len, text.padded());
        if len == 0 {
            return;
        }
        let square = len * padded;
        let (panels, squares) = buffer
            .at_least(text.panels() + 4 * square)
            .split_at_mut(text.panels());
        let (shares, squares) = squares.split_at_mut(square);
        let (d_shares, squares) = squares.split_at_mut(square);
        let (dropped, turned) = squares.split_at_mut(square);
        let Attention {
            query, key, value, ..
        } = text.input;
        for head in 0..text.input.heads {
            let column = head * text.head_dim;
            let d_out = &d_out[column..];
            text.shares(s, head, panels, shares);
            let values = text.part(value, head);
            text.products(s, [d_out, values], panels, d_shares);
            let rows = shares
                .chunks_exact(padded)
                .zip(d_shares.chunks_exact_mut(padded));
            for (row, ((p, d), dropped)) in rows.zip(dropped.chunks_exact_mut(padded)).enumerate() {
                let mask = text.mask_row(row, head);
                for (column, ((p, d), dropped)) in
                    p.iter().zip(&mut *d).zip(&mut *dropped).enumerate()
                {
                    let factor = mask.factor(column);
                    *dropped = p * factor;
                    *d *= factor;
                }
                let mut sum = s.splat(0.0);
                let (p, d) = (p.as_chunks::<LANES>().0, d.as_chunks_mut::<LANES>().0);
                for (p, d) in p.iter().zip(&mut *d) {
                    sum = s.mul_add(s.load(p), s.load(d), sum);
                }
                let (sum, scale) = (s.splat(s.sum(sum)), s.splat(text.scale()));
                for (p, d) in p.iter().zip(d) {
                    let change = s.sub(s.load(d), sum);
                    s.store(s.mul(s.mul(s.load(p), change), scale), d);
                }
            }
            turn(dropped, (len, padded), turned);
            text.mix(s, (turned, d_out), panels, &mut d_value[column..]);
            let keys = text.part(key, head);
            text.mix(s, (d_shares, keys), panels, &mut d_query[column..]);
            turn(d_shares, (len, padded), turned);
            let queries = text.part(query, head);
            text.mix(s, (turned, queries), panels, &mut d_key[column..]);
        }
    }
}

/// The first `len` columns of `len` rows, (len, padded), the other way round.
#[inline(always)]
fn turn(square: &[f32], (len, padded): (usize, usize), out: &mut [f32]) {
    for (row, numbers) in square.chunks_exact(padded).enumerate() {
        for (column, &x) in numbers[..len].iter().enumerate() {
            out[column * padded + row] = x;
        }
    }
}

struct Shares<'a> {
    text: Text<'a>,
    head: usize,
}

impl Kernel for Shares<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let Self { text, head } = self;
        let mut panels = vec![0.0; text.panels()];
        let mut padded = vec![0.0; text.len * text.padded()];
        if text.len > 0 {
            text.shares(s, head, &mut panels, &mut padded);
        }
        let rows = padded.chunks(text.padded().max(1));
        rows.flat_map(|row| &row[..text.len]).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::dropout::Dropout;
    use super::super::oracle::{self, Check, random};
    use super::*;
    use crate::kernels::{Cpu, Threads};

    #[test]
    fn both_passes_agree_with_differences_on_every_level() {
        let starts = [0, 1, 6, 6, 23, 40];
        for (rate, heads, head_dim) in [(0.0, 2, 5), (0.4, 3, 16), (0.1, 1, 20)] {
            let hidden = heads * head_dim;
            let [query, key, value, d_out] =
                [1, 2, 3, 4].map(|seed| random(seed, starts[5] * hidden));
            let mask = Dropout {
                seed: 5,
                ..Dropout::NONE
            }
            .mask(6, rate);
            let check = Check::of(&d_out, |parts| {
                let factor = |row, column| f64::from(mask.row(row).factor(column));
                oracle::attention(parts, &starts, heads, factor)
            });
            let parts = [&query[..], &key, &value];
            let input = Attention {
                query: &query,
                key: &key,
                value: &value,
                starts: &starts,
                heads,
                mask,
            };
            for cpu in Cpu::supported() {
                let compute = Compute::new(cpu, &Threads::new(2).unwrap());
                let mut out = vec![f32::NAN; query.len()];
                forward(&compute, &input, &mut out);
                check.forward(parts, &out);
                let mut d = [(); 3].map(|()| vec![f32::NAN; query.len()]);
                let [d_query, d_key, d_value] = &mut d;
                backward(&compute, &input, &d_out, [d_query, d_key, d_value]);
                check.backward(parts, [&d[0], &d[1], &d[2]]);
            }
        }
    }

    #[test]
    fn shares_add_up_to_one_and_make_what_comes_out() {
        let starts = [0, 4, 21];
        let [query, key] = [1, 2].map(|seed| random(seed, 21 * 8));
        let compute = Compute::serial();
        let value = vec![1.0; query.len()];
        let mask = Dropout::NONE.mask(0, 0.0);
        let (query, key, value) = (&query[..], &key[..], &value[..]);
        let input = Attention {
            query,
            key,
            value,
            starts: &starts,
            heads: 2,
            mask,
        };
        for (text, len) in [(0, 4), (1, 17)] {
            let shares = shares(&compute, &input, (text, 1));
            assert_eq!(shares.len(), len * len);
            for row in shares.chunks(len) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            }
        }
    }
}
