//! Products inside larger kernels, which pack their own operands.

use super::operands::{Operands, RhsIn, RowsView};
use super::panels::{self, PANEL};
use super::task::{GemmTask, OutputColumns};
use crate::kernels::output::DisjointMut;
use crate::kernels::simd::Simd;

/// A small product inside a kernel, on one thread: `x W^T`.
pub(crate) struct Small<'a> {
    /// Rows of `k` floats, `stride` floats apart.
    pub(crate) x: &'a [f32],
    /// Floats from one row's start to the next.
    pub(crate) stride: usize,
    /// Floats of a row: input channels.
    pub(crate) k: usize,
    /// The right side, `[n / 16][k][16]`, as [`Small::pack_rows`] and [`Small::pack_columns`] write it.
    pub(crate) panels: &'a [f32],
}

impl Small<'_> {
    /// Writes `rows` rows of `width` floats to `out`, `stride` floats apart.
    #[inline(always)]
    pub(crate) fn multiply<S: Simd>(
        self,
        s: S,
        rows: usize,
        width: usize,
        out: &mut [f32],
        stride: usize,
    ) {
        let x = RowsView {
            data: self.x,
            stride: self.stride,
        };
        let operands = Operands::f32(x, self.k, self.panels, RhsIn::L1);
        let to = OutputColumns {
            out: &DisjointMut::new(out),
            first: 0,
            stride,
            width,
        };
        let task = GemmTask::without_epilogue(operands, to);
        #[allow(
            unsafe_code,
            reason = "the loops of a product write through a shared output"
        )]
        // SAFETY: `out` was borrowed for this call alone.
        unsafe {
            task.run(s, 0..rows, 0..width.div_ceil(PANEL));
        }
    }

    /// Returns the number of floats of `n` rows of `k` floats that are packed in panels.
    pub(crate) fn panels(n: usize, k: usize) -> usize {
        n.next_multiple_of(PANEL) * k
    }

    /// Packs `n` rows of `k` floats, `stride` floats apart, as output channels.
    #[inline(always)]
    pub(crate) fn pack_rows(rows: &[f32], n: usize, k: usize, stride: usize, panels: &mut [f32]) {
        panels[n / PANEL * PANEL * k..].fill(0.0);
        let len = (n * stride).min(rows.len());
        panels::pack(&rows[..len], k, stride, panels);
    }

    /// Packs `n` columns of `k` rows, which are `stride` floats apart, as output channels.
    #[inline(always)]
    pub(crate) fn pack_columns<S: Simd>(
        s: S,
        rows: &[f32],
        n: usize,
        k: usize,
        stride: usize,
        panels: &mut [f32],
    ) {
        panels::pack_columns(s, RowsView { data: rows, stride }, n, k, panels);
    }
}
