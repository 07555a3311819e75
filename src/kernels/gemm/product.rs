//! The loops around the micro-kernel. They divide rows and panels into tiles.

use std::ops::Range;

use super::operands::{Dot, RhsIn, TileCoords};
use super::panels::PANEL;
use super::task::GemmTask;
use super::tile::{ActivationPass, Tile};
use crate::kernels::Activation;
use crate::kernels::simd::{Kernel, Simd};

impl<D: Dot> GemmTask<'_, D> {
    /// Computes the outputs of `rows` by `panels`, with the epilogue.
    ///
    /// Panels are the outer loop, so that each weight is read once. A product of few rows is limited by that reading,
    /// so tiles prefetch the weights of the next panels.
    ///
    /// # Safety
    /// While it runs, no other slice of `out` may exist or be made that contains a float of these rows in the columns
    /// of these panels: float `first + row * stride + column` for a `row` of `rows` and a `column` from
    /// `16 * panels.start` to `16 * panels.end` that is below `width`.
    ///
    /// # Panics
    /// If `panels` or `rows` are beyond the columns or the length of the output.
    #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
    #[inline(always)]
    pub(in crate::kernels) unsafe fn run<S: Simd>(
        &self,
        s: S,
        rows: Range<usize>,
        panels: Range<usize>,
    ) {
        if rows.is_empty() || panels.is_empty() {
            return;
        }
        // After this assertion no index below overflows, and none is in a column that belongs to the next row.
        let end = (rows.end - 1)
            .checked_mul(self.to.stride)
            .and_then(|last| last.checked_add(self.to.first)?.checked_add(self.to.width));
        assert!(
            end.is_some_and(|end| end <= self.to.out.len())
                && panels.end <= self.to.width.div_ceil(PANEL),
            "rows {rows:?} and panels {panels:?} of an output of {}, {} columns wide",
            self.to.out.len(),
            self.to.width
        );
        let max_panels = if rows.len() <= D::SINGLE_PANEL_ROWS {
            1
        } else {
            S::TILE_PANELS
        };
        let mr = D::mr::<S>();
        let prefetch_bytes = match self.operands.rhs_in {
            RhsIn::Memory => size_of::<D::Rhs>().div_ceil(rows.len().div_ceil(mr).max(1)),
            RhsIn::L1 => 0,
        };
        let mut panel = panels.start;
        while panel < panels.end {
            let n_panels = max_panels.min(panels.end - panel);
            let width = (n_panels * PANEL).min(self.to.width - panel * PANEL);
            for (row_tile, rows) in row_tiles(rows.clone(), mr).enumerate() {
                let tile = TileCoords {
                    row: rows.start,
                    panel,
                    width,
                    row_tile,
                    prefetch_bytes,
                };
                // SAFETY: the tile's rows and columns are among those that the caller promised. By the assertion, no
                // index that the tile computes overflows. It is finished before the next tile begins.
                unsafe { self.tile(s, rows.len(), n_panels, tile) };
                if self.epilogue.activation != Activation::Identity {
                    // SAFETY: these are the rows and columns of the tile above, which has been computed and dropped.
                    s.vectorize(unsafe { ActivationPass::new(self, tile, rows.len()) });
                }
            }
            panel += n_panels;
        }
    }

    /// Computes one tile of `rows` rows by `n_panels` panels with the micro-kernel of that shape.
    ///
    /// # Safety
    /// The contract of [`Tile::new`], with `rows` rows instead of `R`.
    #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
    #[inline(always)]
    unsafe fn tile<S: Simd>(&self, s: S, rows: usize, n_panels: usize, tile: TileCoords) {
        /// A match over all shapes. The compiler removes the arms that the level cannot reach.
        macro_rules! shapes {
            ($($rows:literal)*) => {
                match (rows, n_panels) {
                    $(($rows, 1) if $rows <= D::mr::<S>() => {
                        // SAFETY: the caller's promise is the contract of `Tile::new`, and the tile has `$rows` rows.
                        s.vectorize(unsafe { Tile::<D, $rows, 1>::new(self, tile) });
                    })*
                    $(($rows, 2) if $rows <= D::mr::<S>() && S::TILE_PANELS == 2 => {
                        // SAFETY: as in the arm for one panel.
                        s.vectorize(unsafe { Tile::<D, $rows, 2>::new(self, tile) });
                    })*
                    _ => unreachable!("a tile of {rows} rows by {n_panels} panels"),
                }
            };
        }
        shapes!(1 2 3 4 5 6 7 8 9 10 11 12 13);
    }
}

/// Block of a product that one task computes: a range of rows by a range of panels.
pub(super) struct Block<'a, D: Dot> {
    task: &'a GemmTask<'a, D>,
    rows: Range<usize>,
    panels: Range<usize>,
}

impl<'a, D: Dot> Block<'a, D> {
    /// Creates a block. [`Kernel::run`] computes it.
    ///
    /// # Safety
    /// As long as the block lives, no other slice of the product's output may exist or be made that contains a float of
    /// these rows in the columns of these panels, as for [`GemmTask::run`].
    #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
    pub(super) unsafe fn new(
        task: &'a GemmTask<'a, D>,
        rows: Range<usize>,
        panels: Range<usize>,
    ) -> Self {
        Self { task, rows, panels }
    }
}

impl<D: Dot> Kernel for Block<'_, D> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
        // SAFETY: the promise to `new` is the contract of `GemmTask::run`, and the block lives until it has run.
        unsafe {
            self.task.run(s, self.rows, self.panels);
        }
    }
}

/// Divides `rows` into tiles of at most `mr` rows and of about the same height: 16 rows are 8 + 8, not 13 + 3, since a
/// tile of 3 rows takes nearly as long as one of 13.
///
/// Where both the number of rows and `mr` are even, so are the heights. Five rows of AVX2 are ten accumulators in
/// flight, which keep its two multipliers less busy than eight or twelve do (32 rows: 92 % of the peak as 6 6 5 5 5 5,
/// 94 % as 6 6 6 6 4 4; Zen 5).
#[inline(always)]
fn row_tiles(rows: Range<usize>, mr: usize) -> impl Iterator<Item = Range<usize>> {
    let grain = match (rows.len() | mr) % 2 {
        0 => 2,
        _ => 1,
    };
    let count = rows.len().div_ceil(mr);
    let (height, higher) = match count {
        0 => (0, 0),
        _ => (rows.len() / grain / count, rows.len() / grain % count),
    };
    (0..count).map(move |tile| {
        let start = rows.start + grain * (tile * height + tile.min(higher));
        start..start + grain * (height + usize::from(tile < higher))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::gemm::operands::{Operands, RowsView};
    use crate::kernels::gemm::task::OutputColumns;
    use crate::kernels::output::DisjointMut;
    use crate::kernels::simd::portable::Portable;

    /// Multiplies rows of 3 floats by two panels. Writes to rows of 20 columns in an output of 41 floats, which has
    /// room for two of them.
    fn multiply(rows: Range<usize>, panels: Range<usize>, first: usize) -> Vec<f32> {
        let (x, weights) = ([1.0; 12], [1.0; 2 * 3 * PANEL]);
        let mut out = vec![0.0; 41];
        let x = RowsView {
            data: &x,
            stride: 3,
        };
        let operands = Operands::f32(x, 3, &weights, RhsIn::L1);
        let to = OutputColumns {
            out: &DisjointMut::new(&mut out),
            first,
            stride: 20,
            width: 20,
        };
        let task = GemmTask::without_epilogue(operands, to);
        #[allow(unsafe_code, reason = "the output is shared")]
        // SAFETY: the output belongs to this call.
        unsafe {
            task.run(Portable, rows, panels);
        }
        out
    }

    #[test]
    fn rows_and_panels_within_the_output_are_written() {
        let expected = |from: usize, to: usize| -> Vec<f32> {
            (0..41)
                .map(|at| if (from..to).contains(&at) { 3.0 } else { 0.0 })
                .collect()
        };
        assert_eq!(multiply(0..2, 0..2, 1), expected(1, 41));
        assert_eq!(multiply(1..2, 0..1, 0), expected(20, 36));
        assert_eq!(multiply(1..2, 1..2, 0), expected(36, 40));
        assert_eq!(multiply(7..7, 0..1, 0), expected(0, 0));
    }

    #[test]
    #[should_panic(expected = "rows 0..3 and panels 0..2")]
    fn rows_past_the_output_are_refused() {
        multiply(0..3, 0..2, 0);
    }

    #[test]
    #[should_panic(expected = "rows 0..1 and panels 2..3")]
    fn panels_past_the_width_are_refused() {
        multiply(0..1, 2..3, 0);
    }

    #[test]
    #[should_panic(expected = "of an output of 41")]
    fn rows_whose_index_overflows_are_refused() {
        // 20 * 2^62 is 0 modulo 2^64.
        let row = 1 << (usize::BITS - 2);
        multiply(row..row + 1, 0..1, 0);
    }

    #[test]
    fn tiles_cover_the_rows_evenly() {
        for mr in [1, 2, 6, 13] {
            for rows in 0..100 {
                let mut next = 7;
                let mut heights = Vec::new();
                for tile in row_tiles(7..7 + rows, mr) {
                    assert_eq!(tile.start, next);
                    next = tile.end;
                    heights.push(tile.len());
                }
                assert_eq!(next, 7 + rows);
                assert!(heights.iter().all(|&h| (1..=mr).contains(&h)));
                let (min, max) = (heights.iter().min(), heights.iter().max());
                let even = rows % 2 == 0 && mr % 2 == 0;
                let apart = max.zip(min).map_or(0, |(max, min)| max - min);
                assert!(apart <= if even { 2 } else { 1 });
                assert!(!even || heights.iter().all(|height| height % 2 == 0));
            }
        }
    }
}
