//! Products that are a part of a larger kernel, which packs for itself.

use super::f32::FloatOperands;
use super::operands::{Distance, Rows};
use super::panels::{self, PANEL};
use super::task::Product;
use crate::kernels::disjoint::Disjoint;
use crate::kernels::simd::Simd;

/// A product inside a kernel, on one thread.
pub(crate) struct Small<'a> {
    /// Rows of k numbers, `stride` apart.
    pub(crate) x: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) k: usize,
    /// `[panels][k][16]`, as [`Small::pack_rows`] and [`Small::pack_columns`] make them.
    pub(crate) panels: &'a [f32],
}

impl Small<'_> {
    /// `rows` rows of `width` numbers, `stride` apart, in `out`.
    #[inline(always)]
    pub(crate) fn multiply<S: Simd>(
        self,
        s: S,
        (rows, width): (usize, usize),
        out: &mut [f32],
        stride: usize,
    ) {
        let operands = FloatOperands {
            x: Rows {
                data: self.x,
                stride: self.stride,
            },
            k: self.k,
            panels: self.panels,
            distance: Distance::Near,
        };
        let out = Disjoint::new(out);
        let product = Product::bare(operands, &out, (0, stride), width);
        #[allow(
            unsafe_code,
            reason = "the loops of a product write through a shared output"
        )]
        // SAFETY: `out` was borrowed for this call alone.
        unsafe {
            product.run(s, 0..rows, 0..width.div_ceil(PANEL));
        }
    }

    /// How many floats `n` rows of `k` numbers take in panels.
    pub(crate) fn panels(n: usize, k: usize) -> usize {
        n.next_multiple_of(PANEL) * k
    }

    /// Packs `n` rows of `k` numbers, `stride` apart, as output channels.
    #[inline(always)]
    pub(crate) fn pack_rows(
        rows: &[f32],
        (n, k): (usize, usize),
        stride: usize,
        panels: &mut [f32],
    ) {
        panels[n / PANEL * PANEL * k..].fill(0.0);
        let numbers = (n * stride).min(rows.len());
        panels::pack(&rows[..numbers], k, stride, panels);
    }

    /// Packs `n` columns of `k` rows, `stride` apart, as output channels.
    #[inline(always)]
    pub(crate) fn pack_columns<S: Simd>(
        s: S,
        rows: &[f32],
        (n, k): (usize, usize),
        stride: usize,
        panels: &mut [f32],
    ) {
        panels::pack_columns(s, Rows { data: rows, stride }, n, k, panels);
    }
}
