//! Scaled dot-product attention over ragged rows.

mod floats;
mod head;
mod words;

use super::Compute;
use super::aligned::AlignedFloats;
use super::disjoint::Disjoint;
use super::gemm::{Dtype, Operands, Rows};
use super::simd::{LANES, Simd};
use head::OneHead;

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
///
/// # Panics
/// If sequences overlap, more rows come out of one than it has, or a length is not what the others say.
pub(crate) fn attention(compute: &Compute, input: &Attention<'_>, out: &mut [f32]) {
    let sequences = input.starts.len() - 1;
    assert_eq!(input.out_starts.len(), input.starts.len());
    let rows = input.out_starts[sequences];
    // What no two tasks may write to depends on these three.
    assert!(input.starts.is_sorted(), "sequences overlap");
    assert!(input.out_starts.is_sorted(), "outputs of sequences overlap");
    let width = input.heads.checked_mul(input.head_dim);
    let floats = width.and_then(|width| width.checked_mul(rows));
    assert_eq!(Some(out.len()), floats, "output rows");
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
            let (sequence, head) = (task / input.heads, task % input.heads);
            #[allow(unsafe_code, reason = "heads write columns of rows they share")]
            // SAFETY: `Team::run` runs each task once, so each sequence and head is made once, and `out` is known to these
            // alone. Sequences have rows of their own, since `out_starts` ascend, and heads have columns of their own.
            let one = unsafe { OneHead::new(input, sequence, head, scratch, &out) };
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
