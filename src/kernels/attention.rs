//! Scaled dot-product attention over ragged rows.

use super::aligned::AlignedFloats;
use super::disjoint::Disjoint;
use super::gemm::{self, PANEL, Rows};
use super::softmax::softmax_in;
use super::{Arithmetic, Compute, Kernel};

/// Query rows whose scores are kept at once: 48 rows of 512 keys are 96 KB, which stays in a second-level cache.
const QUERIES_PER_BLOCK: usize = 48;

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
    compute.threads.run(
        sequences * input.heads,
        Scratch::default,
        |scratch, task| {
            compute.cpu.run(OneHead {
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
struct Scratch {
    keys: AlignedFloats,
    values: AlignedFloats,
    scores: AlignedFloats,
    context: AlignedFloats,
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
    fn run<A: Arithmetic>(self) {
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
        keys[(padded - PANEL) * head_dim..].fill(0.0);
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
            strided(value, head(value), len, head_dim),
            value.stride,
            head_dim,
            len,
            values,
        );

        let scale = 1.0 / (head_dim as f32).sqrt();
        let query = self.input.query;
        let queries = strided(query, head(query), len, head_dim);
        for block in (0..len).step_by(QUERIES_PER_BLOCK) {
            let count = QUERIES_PER_BLOCK.min(len - block);
            let scores = self.scratch.scores.at_least(count * padded);
            let rows = Rows {
                data: &queries[block * query.stride..],
                stride: query.stride,
                count,
            };
            gemm::multiply::<A>(rows, head_dim, keys, scores, padded);
            for (row, scores) in scores.chunks_exact_mut(padded).enumerate() {
                let scores = &mut scores[..len];
                match self.input.bias {
                    None => scores.iter_mut().for_each(|score| *score *= scale),
                    Some(bias) => {
                        let of_head = &bias.data[self.head * (2 * bias.reach - 1)..];
                        let of_query = &of_head[bias.reach - 1 - (block + row)..];
                        for (score, &b) in scores.iter_mut().zip(of_query) {
                            *score = A::mul_add(*score, scale, b);
                        }
                    }
                }
                softmax_in::<A>(scores);
            }
            let context = self.scratch.context.at_least(count * head_dim);
            let rows = Rows {
                data: scores,
                stride: padded,
                count,
            };
            gemm::multiply::<A>(rows, len, values, context, head_dim);
            for (row, context) in context.chunks_exact(head_dim).enumerate() {
                let start = (first + block + row) * heads * head_dim + self.head * head_dim;
                // SAFETY: (row, head) belongs to the task of this sequence and head alone, which visits it once.
                #[allow(unsafe_code, reason = "heads write columns of rows they share")]
                let slot = unsafe { self.out.piece(start, head_dim) };
                slot.copy_from_slice(context);
            }
        }
    }
}

/// The numbers of one head from its first row to the end of its last.
#[inline(always)]
fn strided(projection: Projection<'_>, start: usize, len: usize, head_dim: usize) -> &[f32] {
    &projection.data[start..start + (len - 1) * projection.stride + head_dim]
}

/// Packs `columns` columns of `len` rows, `stride` apart, as weights of (columns, len): `[columns / 16][len][16]`.
#[inline(always)]
fn pack_columns(rows: &[f32], stride: usize, columns: usize, len: usize, panels: &mut [f32]) {
    for (index, panel) in panels.chunks_exact_mut(PANEL * len).enumerate() {
        let column = index * PANEL;
        let width = PANEL.min(columns - column);
        for (row, lanes) in panel.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
            let start = row * stride + column;
            lanes[..width].copy_from_slice(&rows[start..start + width]);
            lanes[width..].fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Cpu, Threads};

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len)
            .map(|i| ((i * 7919 + seed * 104_729) % 1999) as f32 / 500.0 - 2.0)
            .collect()
    }

    /// Attention of one query in f64, straight from the formula.
    fn oracle(input: &Attention<'_>, sequence: usize, head: usize, query: usize) -> Vec<f64> {
        let (first, end) = (input.starts[sequence], input.starts[sequence + 1]);
        let at = |p: Projection<'_>, row: usize, d: usize| {
            f64::from(p.data[p.offset + row * p.stride + head * input.head_dim + d])
        };
        let scores: Vec<f64> = (first..end)
            .map(|key| {
                let dot: f64 = (0..input.head_dim)
                    .map(|d| at(input.query, first + query, d) * at(input.key, key, d))
                    .sum();
                let bias = input.bias.map_or(0.0, |bias| {
                    let distance = bias.reach - 1 + (key - first) - query;
                    f64::from(bias.data[head * (2 * bias.reach - 1) + distance])
                });
                dot / (input.head_dim as f64).sqrt() + bias
            })
            .collect();
        let max = scores.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
        (0..input.head_dim)
            .map(|d| {
                (first..end)
                    .zip(&scores)
                    .map(|(key, s)| (s - max).exp() / sum * at(input.value, key, d))
                    .sum()
            })
            .collect()
    }

    #[test]
    fn agrees_with_the_formula_on_ragged_rows() {
        for (heads, head_dim) in [(3, 6), (2, 16), (2, 26), (1, 33)] {
            let starts = [0, 1, 1, 18, 34, 84];
            let (rows, width) = (84, heads * head_dim);
            let qkv = numbers(rows * 3 * width, 1);
            let reach = 60;
            let bias = numbers(heads * (2 * reach - 1), 2);
            for with_bias in [false, true] {
                let part = |index| Projection {
                    data: &qkv,
                    stride: 3 * width,
                    offset: index * width,
                };
                let input = Attention {
                    query: part(0),
                    key: part(1),
                    value: part(2),
                    starts: &starts,
                    heads,
                    head_dim,
                    bias: with_bias.then_some(RelativeBias { data: &bias, reach }),
                };
                for cpu in Cpu::supported() {
                    let mut first_out: Option<Vec<f32>> = None;
                    for threads in [1, 4] {
                        let compute = Compute {
                            cpu,
                            threads: Threads::new(threads).unwrap(),
                        };
                        let mut out = vec![f32::NAN; rows * width];
                        attention(&compute, &input, &mut out);
                        for sequence in 0..starts.len() - 1 {
                            for query in 0..starts[sequence + 1] - starts[sequence] {
                                for head in 0..heads {
                                    let row = starts[sequence] + query;
                                    let got = &out[row * width + head * head_dim..][..head_dim];
                                    let expected = oracle(&input, sequence, head, query);
                                    for (a, b) in got.iter().zip(expected) {
                                        // Values reach 2; scores reach 24 and are exact to 2e-6 of that.
                                        assert!(
                                            (f64::from(*a) - b).abs() < 2e-5,
                                            "{cpu:?}: {a} {b}"
                                        );
                                    }
                                }
                            }
                        }
                        // The law: the same bits on any number of threads.
                        match &first_out {
                            None => first_out = Some(out),
                            Some(first) => assert_eq!(first, &out),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_sequence_does_not_see_its_neighbours() {
        let (heads, head_dim) = (2, 16);
        let width = heads * head_dim;
        let qkv = numbers(40 * 3 * width, 3);
        let run = |data: &[f32], starts: &[usize]| {
            let part = |index| Projection {
                data,
                stride: 3 * width,
                offset: index * width,
            };
            let mut out = vec![0.0; starts[starts.len() - 1] * width];
            let input = Attention {
                query: part(0),
                key: part(1),
                value: part(2),
                starts,
                heads,
                head_dim,
                bias: None,
            };
            attention(&Compute::serial(), &input, &mut out);
            out
        };
        let together = run(&qkv, &[0, 11, 40]);
        let alone = run(&qkv[11 * 3 * width..], &[0, 29]);
        assert_eq!(together[11 * width..], alone);
    }
}
