//! Heads as tasks, and the blocks of queries that a task goes through.

use std::marker::PhantomData;

use super::f32::F32Head;
use super::i16::I16Head;
use super::input::{Attention, Projection};
use super::kernel::{HeadInput, HeadKernel, MAX_QUERIES, Workspace};
use crate::kernels::gemm::{Dot, Dtype, GemmTask, OutputColumns, PANEL, RowsView};
use crate::kernels::output::DisjointMut;
use crate::kernels::simd::{Kernel, LANES, Simd};
use crate::kernels::{Compute, Cpu};

/// Scores that are kept at once should stay in a core's first-level cache, if they are of a whole tile of queries.
const BYTES_OF_SCORES: usize = 28 * 1024;

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
    let out = DisjointMut::new(out);
    let (cpu, heads) = (compute.cpu, &compute.memory.heads);
    compute.team.run(
        sequences * input.heads,
        || heads.take(),
        |workspace, task| {
            let (sequence, head) = (task / input.heads, task % input.heads);
            #[allow(unsafe_code, reason = "heads write columns of rows they share")]
            // SAFETY: `Team::run` runs each task once, so each sequence and head is made once, and `out` is known to these
            // alone. Sequences have rows of their own, since `out_starts` ascend, and heads have columns of their own.
            let one = unsafe { HeadTask::new(input, sequence, head, workspace, &out) };
            one.run_on(cpu, input.dtype);
        },
    );
}

/// One head of one sequence, on one thread.
pub(super) struct HeadTask<'a> {
    input: &'a Attention<'a>,
    sequence: usize,
    head: usize,
    workspace: &'a mut Workspace,
    out: &'a DisjointMut<'a>,
}

impl<'a> HeadTask<'a> {
    /// A head that is still to be computed.
    ///
    /// # Safety
    /// As long as it lives, no other piece of `out` may exist or be made that has a float of this sequence's rows, from
    /// `out_starts[sequence]` to `out_starts[sequence + 1]`, in this head's columns, of which there are `head_dim`. All of
    /// them, with the columns of the other heads, are in `out`.
    #[allow(unsafe_code, reason = "heads write columns of rows they share")]
    pub(super) unsafe fn new(
        input: &'a Attention<'a>,
        sequence: usize,
        head: usize,
        workspace: &'a mut Workspace,
        out: &'a DisjointMut<'a>,
    ) -> Self {
        Self {
            input,
            sequence,
            head,
            workspace,
            out,
        }
    }

    /// Runs it in the form that `dtype` asks for.
    pub(super) fn run_on(self, cpu: Cpu, dtype: Dtype) {
        match dtype {
            Dtype::F32 => cpu.run(WithKernel::<F32Head<'a>>(self, PhantomData)),
            Dtype::Bf16 | Dtype::Int8 => cpu.run_int8(WithKernel::<I16Head<'a>>(self, PhantomData)),
        }
    }

    /// The numbers of the head in one projection.
    #[inline(always)]
    fn rows(&self, projection: Projection<'a>) -> RowsView<'a> {
        let first = self.input.starts[self.sequence];
        let start = projection.offset + first * projection.stride + self.head * self.input.head_dim;
        RowsView {
            data: &projection.data[start..],
            stride: projection.stride,
        }
    }
}

struct WithKernel<'a, F>(HeadTask<'a>, PhantomData<F>);

impl<'a, F: HeadKernel<'a>> Kernel for WithKernel<'a, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(one, _) = self;
        let &Attention {
            heads, head_dim, ..
        } = one.input;
        let of_sequence = |starts: &[usize]| starts[one.sequence + 1] - starts[one.sequence];
        let len = of_sequence(one.input.starts);
        let query_rows = of_sequence(one.input.out_starts);
        assert!(query_rows <= len, "{query_rows} rows come out of {len}");
        if query_rows == 0 {
            return;
        }
        let padded = len.next_multiple_of(PANEL);
        let tile = F::Scores::mr::<S>();
        let tiles = BYTES_OF_SCORES / (4 * padded * tile);
        let blocks = query_rows.div_ceil(tile * tiles.clamp(1, MAX_QUERIES / tile));
        let per_block = query_rows.div_ceil(blocks);
        let head = HeadInput {
            queries: one.rows(one.input.query),
            keys: one.rows(one.input.key),
            values: one.rows(one.input.value),
            len,
            query_rows,
            head_dim,
            block: per_block,
        };
        let Workspace { packed, scores } = one.workspace;
        let mut kernel = F::pack(s, head, packed);

        let width = heads * head_dim;
        for block in (0..query_rows).step_by(per_block) {
            let count = per_block.min(query_rows - block);
            let scores = scores.at_least(count * padded);
            let (operands, scale) = kernel.scores(block);
            let to = OutputColumns {
                out: &DisjointMut::new(scores),
                first: 0,
                stride: padded,
                width: padded,
            };
            #[allow(
                unsafe_code,
                reason = "the loops of a product write through a shared output"
            )]
            // SAFETY: the scores were borrowed for this product alone.
            unsafe {
                GemmTask::without_epilogue(operands, to).run(s, 0..count, 0..padded / PANEL);
            }

            let mut factor = scale / (head_dim as f32).sqrt();
            if let Some(bias) = one.input.bias {
                for (row, scores) in scores.chunks_exact_mut(padded).enumerate() {
                    let bias = bias.of(one.head, block + row);
                    add_bias(s, &mut scores[..len], factor, bias);
                }
                factor = 1.0;
            }
            let first = one.input.out_starts[one.sequence] + block;
            let context = OutputColumns {
                out: one.out,
                first: first * width + one.head * head_dim,
                stride: width,
                width: head_dim,
            };
            #[allow(unsafe_code, reason = "heads write columns of rows they share")]
            // SAFETY: `count` rows from `block` on are among those that come out of this sequence, in the columns of this
            // head: they are this head's by the promise to `HeadTask::new`.
            unsafe {
                kernel.weighted_sum(s, scores, padded, factor, context);
            }
        }
    }
}

/// `scores * scale + bias`, in place.
#[inline(always)]
fn add_bias<S: Simd>(s: S, scores: &mut [f32], scale: f32, bias: &[f32]) {
    let (scale, bias) = (s.splat(scale), &bias[..scores.len()]);
    for (scores, bias) in scores.chunks_mut(LANES).zip(bias.chunks(LANES)) {
        let sum = s.mul_add(
            s.load_partial(scores, 0.0),
            scale,
            s.load_partial(bias, 0.0),
        );
        s.store_partial(sum, scores);
    }
}
