//! Scaled dot-product attention over ragged rows.

use super::Compute;
use super::aligned::AlignedFloats;
use super::disjoint::Disjoint;
use super::gemm::{self, Epilogue, FloatOperands, PANEL, Product, Rows};
use super::simd::{Kernel, LANES, Simd};
use super::softmax::{self, exponentials};

/// Scores that are kept at once should stay in a core's first-level cache, if they are of a whole tile of queries.
const BYTES_OF_SCORES: usize = 28 * 1024;

/// Query rows whose scores are kept at once, however short they are.
const MAX_QUERIES: usize = 128;

/// One projection of all rows: head `h` of row `r` is `data[offset + r * stride + h * head_dim..][..head_dim]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Projection<'a> {
    /// The matrix that holds it.
    pub(crate) data: &'a [f32],
    /// From one row's start to the next.
    pub(crate) stride: usize,
    /// Where it starts in each row.
    pub(crate) offset: usize,
}

/// A number added to each score, which depends on the head and on key position minus query position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RelativeBias<'a> {
    /// (heads, 2 * reach - 1): entry `reach - 1 + key - query` of each head.
    pub(crate) data: &'a [f32],
    /// One more than the largest distance.
    pub(crate) reach: usize,
}

/// What attention reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention<'a> {
    pub(crate) query: Projection<'a>,
    pub(crate) key: Projection<'a>,
    pub(crate) value: Projection<'a>,
    /// Where each sequence starts, and the end.
    pub(crate) starts: &'a [usize],
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) bias: Option<RelativeBias<'a>>,
}

/// `softmax(Q K^T / sqrt(head_dim) + bias) V` for each sequence and head (Vaswani et al. 2017, section 3.2.1); `out` is
/// (rows, heads * head_dim).
///
/// Exact to 4e-6 of the largest value, and to 1.5e-6 where scores stay below 13 (against f64; scores up to 50, sequences up
/// to 512 rows).
///
/// A task is one head of one sequence; keys are never divided, so the order of every sum is that of the sequence.
pub(crate) fn attention(compute: &Compute, input: &Attention<'_>, out: &mut [f32]) {
    let sequences = input.starts.len() - 1;
    let rows = input.starts[sequences];
    assert_eq!(out.len(), rows * input.heads * input.head_dim);
    if let Some(bias) = input.bias {
        assert_eq!(bias.data.len(), input.heads * (2 * bias.reach - 1));
        let longest = input.starts.windows(2).map(|w| w[1] - w[0]).max();
        assert!(longest.is_none_or(|longest| longest <= bias.reach));
    }
    let out = Disjoint::new(out);
    let (cpu, heads) = (compute.cpu, &*compute.heads);
    compute.team.run(
        sequences * input.heads,
        || heads.lend(),
        |scratch, task| {
            cpu.run(OneHead {
                input,
                sequence: task / input.heads,
                head: task % input.heads,
                scratch,
                out: &out,
            });
        },
    );
}

/// Buffers that a thread keeps from one head to the next.
#[derive(Default)]
pub(super) struct Scratch {
    keys: AlignedFloats,
    values: AlignedFloats,
    scores: AlignedFloats,
}

struct OneHead<'a> {
    input: &'a Attention<'a>,
    sequence: usize,
    head: usize,
    scratch: &'a mut Scratch,
    out: &'a Disjoint<'a>,
}

impl Kernel for OneHead<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let &Attention {
            heads, head_dim, ..
        } = self.input;
        let first = self.input.starts[self.sequence];
        let len = self.input.starts[self.sequence + 1] - first;
        if len == 0 {
            return;
        }
        let head = |projection: Projection<'_>| {
            projection.offset + first * projection.stride + self.head * head_dim
        };

        // Keys become weights of (len, head_dim), values weights of (head_dim, len): both in panels, so that the two
        // products are those of the dense layers.
        let padded = len.next_multiple_of(PANEL);
        let keys = self.scratch.keys.at_least(padded * head_dim);
        let key = self.input.key;
        if padded > len {
            keys[(padded - PANEL) * head_dim..].fill(0.0);
        }
        gemm::pack(
            strided(key, head(key), len, head_dim),
            head_dim,
            key.stride,
            keys,
        );
        let value_panels = head_dim.div_ceil(PANEL);
        let values = self.scratch.values.at_least(value_panels * PANEL * len);
        let value = self.input.value;
        pack_columns(
            s,
            strided(value, head(value), len, head_dim),
            value.stride,
            head_dim,
            len,
            values,
        );

        let scale = 1.0 / (head_dim as f32).sqrt();
        let query = self.input.query;
        let queries = strided(query, head(query), len, head_dim);
        let tiles = (BYTES_OF_SCORES / (4 * padded * S::TILE_ROWS)).max(1);
        let blocks = len.div_ceil((tiles * S::TILE_ROWS).min(MAX_QUERIES));
        let per_block = len.div_ceil(blocks);
        for block in (0..len).step_by(per_block) {
            let count = per_block.min(len - block);
            let scores = self.scratch.scores.at_least(count * padded);
            let product = Product {
                operands: FloatOperands {
                    x: Rows {
                        data: &queries[block * query.stride..],
                        stride: query.stride,
                    },
                    k: head_dim,
                    panels: keys,
                    streamed: false,
                },
                epilogue: Epilogue::NONE,
                out: &Disjoint::new(scores),
                first: 0,
                stride: padded,
                width: padded,
            };
            #[allow(
                unsafe_code,
                reason = "the loops of a product write through a shared output"
            )]
            // SAFETY: the scores are this thread's own.
            unsafe {
                product.run(s, 0..count, 0..padded / PANEL);
            }

            let mut sums = [0.0; MAX_QUERIES];
            for (row, (scores, sum)) in scores.chunks_exact_mut(padded).zip(&mut sums).enumerate() {
                let scores = &mut scores[..len];
                *sum = match self.input.bias {
                    None => exponentials(s, scores, scale),
                    Some(bias) => {
                        add_bias(s, scores, scale, bias.of(self.head, block + row));
                        exponentials(s, scores, 1.0)
                    }
                };
            }

            let width = heads * head_dim;
            let product = Product {
                operands: FloatOperands {
                    x: Rows {
                        data: scores,
                        stride: padded,
                    },
                    k: len,
                    panels: values,
                    streamed: false,
                },
                epilogue: Epilogue::NONE,
                out: self.out,
                first: (first + block) * width + self.head * head_dim,
                stride: width,
                width: head_dim,
            };
            #[allow(unsafe_code, reason = "heads write columns of rows they share")]
            // SAFETY: the rows of this sequence in the columns of this head belong to this task alone.
            unsafe {
                product.run(s, 0..count, 0..value_panels);
            }
            // Scores become shares here, where there are fewer numbers to divide.
            for (row, sum) in sums[..count].iter().enumerate() {
                // SAFETY: as above, and the product is done with its pieces.
                #[allow(unsafe_code, reason = "heads write columns of rows they share")]
                let context = unsafe { self.out.piece(product.first + row * width, head_dim) };
                softmax::scale(s, context, 1.0 / sum);
            }
        }
    }
}

impl<'a> RelativeBias<'a> {
    /// What is added to the scores of one query, from the first key on.
    fn of(&self, head: usize, query: usize) -> &'a [f32] {
        &self.data[head * (2 * self.reach - 1)..][self.reach - 1 - query..]
    }
}

/// `scores * scale + bias`, in place.
#[inline(always)]
fn add_bias<S: Simd>(s: S, scores: &mut [f32], scale: f32, bias: &[f32]) {
    let (scale, bias) = (s.splat(scale), &bias[..scores.len()]);
    for (scores, bias) in scores.chunks_mut(LANES).zip(bias.chunks(LANES)) {
        let sum = s.mul_add(s.load_some(scores, 0.0), scale, s.load_some(bias, 0.0));
        s.store_some(sum, scores);
    }
}

/// The numbers of one head from its first row to the end of its last.
#[inline(always)]
fn strided(projection: Projection<'_>, start: usize, len: usize, head_dim: usize) -> &[f32] {
    &projection.data[start..start + (len - 1) * projection.stride + head_dim]
}

/// Packs `columns` columns of `len` rows, `stride` apart, as weights of (columns, len): `[columns / 16][len][16]`.
#[inline(always)]
fn pack_columns<S: Simd>(
    s: S,
    rows: &[f32],
    stride: usize,
    columns: usize,
    len: usize,
    panels: &mut [f32],
) {
    for (index, panel) in panels.chunks_exact_mut(PANEL * len).enumerate() {
        let column = index * PANEL;
        let width = PANEL.min(columns - column);
        for (row, lanes) in panel.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
            let from = &rows[row * stride + column..][..width];
            s.store(s.load_some(from, 0.0), lanes);
        }
    }
}

#[cfg(test)]
mod tests;
