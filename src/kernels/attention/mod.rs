//! Scaled dot-product attention over ragged rows.

mod floats;
mod words;

use std::marker::PhantomData;

use super::aligned::AlignedFloats;
use super::disjoint::Disjoint;
use super::gemm::{Dtype, Operands, PANEL, Product, Rows};
use super::simd::{Kernel, LANES, Simd};
use super::{Compute, Cpu};
use floats::Floats;
use words::Words;

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
    /// The same of the rows that come out: as many of each sequence's first ones.
    pub(crate) out_starts: &'a [usize],
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) bias: Option<RelativeBias<'a>>,
    /// What the layers around it compute in.
    pub(crate) dtype: Dtype,
}

/// `softmax(Q K^T / sqrt(head_dim) + bias) V` for each sequence and head (Vaswani et al. 2017, section 3.2.1); `out` is
/// (rows that come out, heads * head_dim).
///
/// In floats exact to 4e-6 of the largest value, and to 1.5e-6 where scores stay below 13 (against f64; scores up to 50,
/// sequences up to 512 rows). Where layers multiply bytes or numbers in bf16, both products are of words of 16 bits, exact
/// to 1e-3: as fast as bf16, and nearer.
///
/// A task is one head of one sequence; keys are never divided, so the order of every sum is that of the sequence, and a row
/// has the same bits however many come out.
pub(crate) fn attention(compute: &Compute, input: &Attention<'_>, out: &mut [f32]) {
    let sequences = input.starts.len() - 1;
    assert_eq!(input.out_starts.len(), input.starts.len());
    let rows = input.out_starts[sequences];
    assert_eq!(out.len(), rows * input.heads * input.head_dim);
    if let Some(bias) = input.bias {
        assert_eq!(bias.data.len(), input.heads * (2 * bias.reach - 1));
        let longest = input.starts.windows(2).map(|w| w[1] - w[0]).max();
        assert!(longest.is_none_or(|longest| longest <= bias.reach));
    }
    let out = Disjoint::new(out);
    let (cpu, heads) = (compute.cpu, &compute.memory.heads);
    compute.team.run(
        sequences * input.heads,
        || heads.lend(),
        |scratch, task| {
            let one = OneHead {
                input,
                sequence: task / input.heads,
                head: task % input.heads,
                scratch,
                out: &out,
            };
            one.run_on(cpu, input.dtype);
        },
    );
}

/// Buffers that a thread keeps from one head to the next.
#[derive(Default)]
pub(super) struct Scratch {
    queries: AlignedFloats,
    keys: AlignedFloats,
    values: AlignedFloats,
    scores: AlignedFloats,
    shares: AlignedFloats,
}

/// One head of one sequence, on one thread.
struct OneHead<'a> {
    input: &'a Attention<'a>,
    sequence: usize,
    head: usize,
    scratch: &'a mut Scratch,
    out: &'a Disjoint<'a>,
}

/// What the two products of a head are computed in.
trait Form<'a>: Sized {
    /// What is multiplied by keys,
    type Queries<'b>: Operands
    where
        Self: 'b;
    /// and by values.
    type Shares<'b>: Operands
    where
        Self: 'b;

    /// Packs keys as weights of (len, head_dim) and values as weights of (head_dim, len), in panels, so that the two products
    /// are those of the dense layers.
    fn pack<S: Simd>(s: S, part: Part<'a>, buffers: Buffers<'a>) -> Self;

    /// What scores are multiplied by, beside 1 / sqrt(head_dim).
    fn scores_scale(&self) -> f32;

    /// The products of queries from `first` on with all keys.
    fn scores(&self, first: usize) -> Self::Queries<'_>;

    /// exp(factor (x - max)) of a block's scores, (factors.len(), stride) of which the first `len` count; gives what makes
    /// shares of each query's products with values.
    fn exponentials<S: Simd>(
        &mut self,
        s: S,
        scores: &mut [f32],
        stride: usize,
        factor: f32,
        factors: &mut [f32],
    );

    /// The products of the exponentials of a block with all values; `scores` is where [`Form::exponentials`] was given
    /// them, (queries, stride), and `factors` is what it gave.
    fn context<'b>(
        &'b self,
        scores: &'b [f32],
        stride: usize,
        factors: &'b [f32],
    ) -> Self::Shares<'b>;

    /// Makes shares of a row of the context, if the product has not done it.
    fn divide<S: Simd>(s: S, context: &mut [f32], factor: f32);
}

/// What a head reads: rows of `head_dim` numbers, `len` of each.
#[derive(Clone, Copy)]
struct Part<'a> {
    queries: Rows<'a>,
    keys: Rows<'a>,
    values: Rows<'a>,
    len: usize,
    /// How many of the queries ask.
    asking: usize,
    head_dim: usize,
    /// Queries whose scores are kept at once.
    block: usize,
}

/// Where a form keeps what it makes.
struct Buffers<'a> {
    queries: &'a mut AlignedFloats,
    keys: &'a mut AlignedFloats,
    values: &'a mut AlignedFloats,
    shares: &'a mut AlignedFloats,
}

impl<'a> OneHead<'a> {
    /// Runs it in the form that `dtype` asks for.
    fn run_on(self, cpu: Cpu, dtype: Dtype) {
        match dtype {
            Dtype::F32 => cpu.run(InForm::<Floats<'a>>(self, PhantomData)),
            Dtype::Bf16 | Dtype::Int8 => cpu.run_int8(InForm::<Words<'a>>(self, PhantomData)),
        }
    }

    /// The numbers of the head in one projection.
    #[inline(always)]
    fn rows(&self, projection: Projection<'a>) -> Rows<'a> {
        let first = self.input.starts[self.sequence];
        let start = projection.offset + first * projection.stride + self.head * self.input.head_dim;
        Rows {
            data: &projection.data[start..],
            stride: projection.stride,
        }
    }
}

struct InForm<'a, F>(OneHead<'a>, PhantomData<F>);

impl<'a, F: Form<'a>> Kernel for InForm<'a, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(one, _) = self;
        let &Attention {
            heads, head_dim, ..
        } = one.input;
        let of_sequence = |starts: &[usize]| starts[one.sequence + 1] - starts[one.sequence];
        let len = of_sequence(one.input.starts);
        let asking = of_sequence(one.input.out_starts);
        assert!(asking <= len, "{asking} rows come out of {len}");
        if asking == 0 {
            return;
        }
        let padded = len.next_multiple_of(PANEL);
        let tile = F::Queries::tile_rows::<S>();
        let tiles = BYTES_OF_SCORES / (4 * padded * tile);
        let blocks = asking.div_ceil(tile * tiles.clamp(1, MAX_QUERIES / tile));
        let per_block = asking.div_ceil(blocks);
        let part = Part {
            queries: one.rows(one.input.query),
            keys: one.rows(one.input.key),
            values: one.rows(one.input.value),
            len,
            asking,
            head_dim,
            block: per_block,
        };
        let Scratch {
            queries,
            keys,
            values,
            scores: memory,
            shares,
        } = one.scratch;
        let buffers = Buffers {
            queries,
            keys,
            values,
            shares,
        };
        let mut form = F::pack(s, part, buffers);

        let scale = form.scores_scale() / (head_dim as f32).sqrt();
        let width = heads * head_dim;
        for block in (0..asking).step_by(per_block) {
            let count = per_block.min(asking - block);
            let scores = memory.at_least(count * padded);
            let operands = form.scores(block);
            let all_scores = Disjoint::new(scores);
            let product = Product::bare(operands, &all_scores, (0, padded), padded);
            #[allow(
                unsafe_code,
                reason = "the loops of a product write through a shared output"
            )]
            // SAFETY: the scores are this thread's own.
            unsafe {
                product.run(s, 0..count, 0..padded / PANEL);
            }
            drop(product);

            let mut factor = scale;
            if let Some(bias) = one.input.bias {
                for (row, scores) in scores.chunks_exact_mut(padded).enumerate() {
                    let bias = bias.of(one.head, block + row);
                    add_bias(s, &mut scores[..len], scale, bias);
                }
                factor = 1.0;
            }
            let mut factors = [0.0; MAX_QUERIES];
            let factors = &mut factors[..count];
            form.exponentials(s, scores, padded, factor, factors);

            let first = one.input.out_starts[one.sequence] + block;
            let start = first * width + one.head * head_dim;
            let operands = form.context(scores, padded, factors);
            let product = Product::bare(operands, one.out, (start, width), head_dim);
            #[allow(unsafe_code, reason = "heads write columns of rows they share")]
            // SAFETY: the rows that come out of this sequence, in the columns of this head, belong to this task alone.
            unsafe {
                product.run(s, 0..count, 0..head_dim.div_ceil(PANEL));
            }
            for (row, &factor) in factors.iter().enumerate() {
                // SAFETY: as above, and the product is done with its pieces.
                #[allow(unsafe_code, reason = "heads write columns of rows they share")]
                let context = unsafe { one.out.piece(start + row * width, head_dim) };
                F::divide(s, context, factor);
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

#[cfg(test)]
mod tests;
