//! One head of one sequence.

use std::marker::PhantomData;

use super::floats::Floats;
use super::words::Words;
use super::{
    Attention, BYTES_OF_SCORES, Buffers, Form, MAX_QUERIES, Part, Projection, Scratch, add_bias,
};
use crate::kernels::Cpu;
use crate::kernels::disjoint::Disjoint;
use crate::kernels::gemm::{Dtype, Operands, PANEL, Product, Rows};
use crate::kernels::simd::{Kernel, Simd};

/// One head of one sequence, on one thread.
pub(super) struct OneHead<'a> {
    input: &'a Attention<'a>,
    sequence: usize,
    head: usize,
    scratch: &'a mut Scratch,
    out: &'a Disjoint<'a>,
}

impl<'a> OneHead<'a> {
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
        scratch: &'a mut Scratch,
        out: &'a Disjoint<'a>,
    ) -> Self {
        Self {
            input,
            sequence,
            head,
            scratch,
            out,
        }
    }

    /// Runs it in the form that `dtype` asks for.
    pub(super) fn run_on(self, cpu: Cpu, dtype: Dtype) {
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
            // SAFETY: the scores were borrowed for this product alone.
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
            // SAFETY: `count` rows from `block` on are among those that come out of this sequence, in the columns of this
            // head: they are this head's by the promise to `OneHead::new`.
            unsafe {
                product.run(s, 0..count, 0..head_dim.div_ceil(PANEL));
            }
            for (row, &factor) in factors.iter().enumerate() {
                // SAFETY: the piece is a row of those above, the product is done with its own, and the piece is dropped
                // before the next is made.
                #[allow(unsafe_code, reason = "heads write columns of rows they share")]
                let context = unsafe { one.out.piece(start + row * width, head_dim) };
                F::divide(s, context, factor);
            }
        }
    }
}
