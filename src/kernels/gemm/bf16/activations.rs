//! Activations rounded to bf16.

use crate::kernels::ExecContext;
use crate::kernels::memory::AlignedFloats;
use crate::kernels::simd::{Kernel, LANES, Simd};

/// Row strides are multiples of this many bf16 values, a cache line.
const ROW_GRAIN: usize = 32;
/// Number of values for which one more thread is worth its overhead.
const FLOATS_PER_TASK: usize = 32 * 1024;

/// Rows of activations rounded to bf16, in memory that is reused.
#[derive(Debug, Default)]
pub(crate) struct RoundedRows {
    /// Values of (rows, stride), two in the memory of one float.
    memory: AlignedFloats,
    /// Values from one row's start to the next.
    stride: usize,
}

impl RoundedRows {
    /// Rounds `x`, rows of `k` floats, on all threads.
    pub(in crate::kernels::gemm) fn fill(&mut self, exec: &ExecContext, x: &[f32], k: usize) {
        let rows = x.len() / k;
        let (stride, pairs) = self.resize(rows, k);
        let rounded: &mut [i16] = bytemuck::cast_slice_mut(pairs);
        let tasks = match exec.team.count() {
            1 => 1,
            threads => (x.len() / FLOATS_PER_TASK).clamp(1, threads),
        };
        let per_task = rows.div_ceil(tasks).max(1);
        let parts = x
            .chunks(per_task * k)
            .zip(rounded.chunks_mut(per_task * stride));
        let cpu = exec.cpu;
        exec.team.for_each_part(tasks, parts, |_, (x, out)| {
            cpu.run_bf16(Round { x, k, out, stride });
        });
    }

    /// Prepares memory for `rows` rows of `k` values. Returns the stride in values, and the memory: two values in the
    /// memory of one float.
    pub(in crate::kernels::gemm) fn resize(
        &mut self,
        rows: usize,
        k: usize,
    ) -> (usize, &mut [f32]) {
        self.stride = k.next_multiple_of(ROW_GRAIN);
        (self.stride, self.memory.at_least(rows * self.stride / 2))
    }

    /// Returns the memory of all rows, each float of which is a pair of bf16 values, and the number of pairs from one
    /// row to the next. After the pair of a row's last value it holds values of earlier use.
    pub(in crate::kernels::gemm) fn pairs(&self) -> (&[f32], usize) {
        (&self.memory, self.stride / 2)
    }
}

/// Rounds rows on one thread.
pub(in crate::kernels::gemm) struct Round<'a> {
    /// Rows of `k` floats.
    pub(in crate::kernels::gemm) x: &'a [f32],
    /// Floats of a row.
    pub(in crate::kernels::gemm) k: usize,
    /// Rounded rows, `stride` values apart.
    pub(in crate::kernels::gemm) out: &'a mut [i16],
    /// Values from one rounded row's start to the next.
    pub(in crate::kernels::gemm) stride: usize,
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.k.next_multiple_of(2);
        let out = self.out.chunks_exact_mut(self.stride);
        for (row, out) in self.x.chunks_exact(self.k).zip(out) {
            round(s, row, &mut out[..width]);
        }
    }
}

/// Rounds one row to the front of `out`. Fills the rest, of fewer than 16 values, with zeros.
#[inline(always)]
pub(super) fn round<S: Simd>(s: S, row: &[f32], out: &mut [i16]) {
    let (blocks, rest) = row.as_chunks();
    let (whole, last) = out.split_at_mut(blocks.len() * LANES);
    for (block, out) in blocks.iter().zip(whole.as_chunks_mut().0) {
        s.store_bf16(s.load(block), out);
    }
    let mut lanes = [0; LANES];
    s.store_bf16(s.load_partial(rest, 0.0), &mut lanes);
    last.copy_from_slice(&lanes[..last.len()]);
}
