//! Attention as tasks: one head of one sequence each, in blocks of queries.

use std::marker::PhantomData;

use super::f32::F32Head;
use super::i16::I16Head;
use super::input::{Attention, Projection};
use super::kernel::{HeadInput, HeadKernel, MAX_QUERIES, Workspace};
use crate::kernels::gemm::{Dot, Dtype, GemmTask, OutputColumns, PANEL, RowsView};
use crate::kernels::output::DisjointMut;
use crate::kernels::simd::{Kernel, LANES, Simd};
use crate::kernels::{Cpu, ExecContext};

/// Bytes of scores of a block of queries, but at least one tile of queries: they should stay in a core's first-level
/// cache.
const MAX_SCORE_BYTES: usize = 28 * 1024;

/// Computes `softmax(Q K^T / sqrt(head_dim) + bias) V` for each sequence and head (Vaswani et al. 2017, section 3.2.1).
/// `out` is (output rows, heads * head_dim).
///
/// In f32, errors stay below 4e-6 of the largest value, and below 1.5e-6 where scores are below 13 (against f64; scores
/// up to 50, sequences up to 512 rows). Where the dense layers are int8 or bf16, both products are computed in i16,
/// with errors below 1e-3: as fast as bf16, and more exact.
///
/// A task is one head of one sequence. Keys are never divided among tasks, so the order of every sum depends on the
/// sequence alone, and a row has the same bits whatever the number of output rows.
///
/// # Panics
/// If sequences overlap, more rows come out of a sequence than it has, or a length is not what the others say.
pub(crate) fn attention(exec: &ExecContext, input: &Attention<'_>, out: &mut [f32]) {
    let sequences = input.starts.len() - 1;
    assert_eq!(input.out_starts.len(), input.starts.len());
    let rows = input.out_starts[sequences];
    // That no two tasks write to the same floats depends on the assertions about `starts`, `out_starts` and the length
    // of `out`.
    assert!(input.starts.is_sorted(), "sequences overlap");
    assert!(input.out_starts.is_sorted(), "outputs of sequences overlap");
    let width = input.heads.checked_mul(input.head_dim);
    let floats = width.and_then(|width| width.checked_mul(rows));
    assert_eq!(Some(out.len()), floats, "output rows");
    if let Some(bias) = input.bias {
        assert_eq!(bias.data.len(), input.heads * (2 * bias.max_len - 1));
        let longest = input.starts.windows(2).map(|w| w[1] - w[0]).max();
        assert!(longest.is_none_or(|longest| longest <= bias.max_len));
    }
    let out = DisjointMut::new(out);
    let (cpu, workspaces) = (exec.cpu, &exec.memory.attention);
    exec.team.parallel_for(
        sequences * input.heads,
        || workspaces.take(),
        |workspace, task| {
            let (sequence, head) = (task / input.heads, task % input.heads);
            #[allow(unsafe_code, reason = "heads write columns of rows they share")]
            // SAFETY: `Team::parallel_for` runs each task once, so each head of a sequence is made once, and nothing
            // else has access to `out`. Sequences have rows of their own, since `out_starts` ascend, and heads have
            // columns of their own.
            let task = unsafe { HeadTask::new(input, sequence, head, workspace, &out) };
            task.run_on(cpu, input.dtype);
        },
    );
}

/// Head of one sequence, computed on one thread.
pub(super) struct HeadTask<'a> {
    input: &'a Attention<'a>,
    sequence: usize,
    head: usize,
    workspace: &'a mut Workspace,
    out: &'a DisjointMut<'a>,
}

impl<'a> HeadTask<'a> {
    /// Creates the task of a head, to be run by [`run_on`](Self::run_on).
    ///
    /// # Safety
    /// As long as the task lives, no other slice of `out` may exist or be made that contains a float of this sequence's
    /// rows, from `out_starts[sequence]` to `out_starts[sequence + 1]`, in this head's `head_dim` columns. All rows of
    /// the sequence, with the columns of all heads, must be within `out`.
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

    /// Computes the head, in f32 or i16 according to `dtype`.
    pub(super) fn run_on(self, cpu: Cpu, dtype: Dtype) {
        match dtype {
            Dtype::F32 => cpu.run(WithKernel::<F32Head<'a>>(self, PhantomData)),
            Dtype::Bf16 | Dtype::Int8 => cpu.run_int8(WithKernel::<I16Head<'a>>(self, PhantomData)),
        }
    }

    /// Returns the rows of this sequence in this head's columns of a projection.
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

/// Computes a head with the kernel `F`.
struct WithKernel<'a, F>(HeadTask<'a>, PhantomData<F>);

impl<'a, F: HeadKernel<'a>> Kernel for WithKernel<'a, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(task, _) = self;
        let &Attention {
            heads, head_dim, ..
        } = task.input;
        let of_sequence = |starts: &[usize]| starts[task.sequence + 1] - starts[task.sequence];
        let len = of_sequence(task.input.starts);
        let query_rows = of_sequence(task.input.out_starts);
        assert!(query_rows <= len, "{query_rows} rows come out of {len}");
        if query_rows == 0 {
            return;
        }
        let padded = len.next_multiple_of(PANEL);
        let tile = F::Scores::mr::<S>();
        let tiles = MAX_SCORE_BYTES / (4 * padded * tile);
        let blocks = query_rows.div_ceil(tile * tiles.clamp(1, MAX_QUERIES / tile));
        let per_block = query_rows.div_ceil(blocks);
        let head = HeadInput {
            queries: task.rows(task.input.query),
            keys: task.rows(task.input.key),
            values: task.rows(task.input.value),
            len,
            query_rows,
            head_dim,
            block: per_block,
        };
        let Workspace { packed, scores } = task.workspace;
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
            // SAFETY: `scores` is borrowed by this product alone.
            unsafe {
                GemmTask::without_epilogue(operands, to).run(s, 0..count, 0..padded / PANEL);
            }

            let mut factor = scale / (head_dim as f32).sqrt();
            if let Some(bias) = task.input.bias {
                for (row, scores) in scores.chunks_exact_mut(padded).enumerate() {
                    let bias = bias.row(task.head, block + row);
                    add_bias(s, &mut scores[..len], factor, bias);
                }
                factor = 1.0;
            }
            let first = task.input.out_starts[task.sequence] + block;
            let context = OutputColumns {
                out: task.out,
                first: first * width + task.head * head_dim,
                stride: width,
                width: head_dim,
            };
            #[allow(unsafe_code, reason = "heads write columns of rows they share")]
            // SAFETY: `count` rows from `block` on are among the output rows of this sequence, in the columns of this
            // head. By the promise to `HeadTask::new` they belong to this head.
            unsafe {
                kernel.weighted_sum(s, scores, padded, factor, context);
            }
        }
    }
}

/// Replaces `scores` by `scores * scale + bias`.
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
