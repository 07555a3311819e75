//! The loops around the micro-kernel: rows by panels, in tiles.

use std::ops::Range;

use super::operands::{Distance, Operands, Place};
use super::panels::PANEL;
use super::task::Product;
use super::tile::{Finish, Tile};
use crate::kernels::Activation;
use crate::kernels::simd::{Kernel, Simd};

impl<X: Operands> Product<'_, X> {
    /// Computes some rows by some panels.
    ///
    /// Panels are the outer loop, so that each weight is read once; few rows are bound by that reading, and so tiles
    /// ask for the next panel's weights ahead of time.
    ///
    /// # Safety
    /// While it runs, no other piece of `out` may exist or be made that has a float of these rows in the columns of these
    /// panels: float `first + row * stride + column` for a `row` of `rows` and a `column` from `16 * panels.start` to
    /// `16 * panels.end` that is below `width`.
    ///
    /// # Panics
    /// If the product has no such panels, or the output no such rows.
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
        // With this no index below overflows, and none is of a column that belongs to the next row.
        let end = (rows.end - 1)
            .checked_mul(self.stride)
            .and_then(|last| last.checked_add(self.first)?.checked_add(self.width));
        assert!(
            end.is_some_and(|end| end <= self.out.len())
                && panels.end <= self.width.div_ceil(PANEL),
            "rows {rows:?} and panels {panels:?} of an output of {}, {} columns wide",
            self.out.len(),
            self.width
        );
        let widest = match rows.len() <= X::FEW_ROWS {
            true => 1,
            false => S::TILE_PANELS,
        };
        let highest = X::tile_rows::<S>();
        let share = match self.operands.distance() {
            Distance::Far => size_of::<X::Weights>().div_ceil(rows.len().div_ceil(highest).max(1)),
            Distance::Near => 0,
        };
        let mut panel = panels.start;
        while panel < panels.end {
            let wide = widest.min(panels.end - panel);
            let width = (wide * PANEL).min(self.width - panel * PANEL);
            for (turn, rows) in tiles(rows.clone(), highest).enumerate() {
                let height = rows.len();
                let place = Place {
                    row: rows.start,
                    panel,
                    width,
                    turn,
                    share,
                };
                // SAFETY: a tile's rows and columns are among those that the caller promised, by the assertion it computes
                // no index that overflows, and it is finished before the next begins.
                unsafe { self.tile(s, height, wide, place) };
                if self.epilogue.activation != Activation::Identity {
                    // SAFETY: these are the rows and columns of the tile, which has been computed and is gone.
                    s.enter(unsafe { Finish::new(self, place, height) });
                }
            }
            panel += wide;
        }
    }

    /// Computes one tile, by the micro-kernel of its shape.
    ///
    /// # Safety
    /// The contract of [`Tile::new`], with `height` rows instead of `R`.
    #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
    #[inline(always)]
    unsafe fn tile<S: Simd>(&self, s: S, height: usize, wide: usize, place: Place) {
        /// The arms that a level can reach; the rest falls away when it is compiled.
        macro_rules! shapes {
            ($($rows:literal)*) => {
                match (height, wide) {
                    $(($rows, 1) if $rows <= X::tile_rows::<S>() => {
                        // SAFETY: the promise to this function is the one that a tile wants, and its height is `$rows`.
                        s.enter(unsafe { Tile::<X, $rows, 1>::new(self, place) });
                    })*
                    $(($rows, 2) if $rows <= X::tile_rows::<S>() && S::TILE_PANELS == 2 => {
                        // SAFETY: as for one panel.
                        s.enter(unsafe { Tile::<X, $rows, 2>::new(self, place) });
                    })*
                    _ => unreachable!("a tile of {height} rows by {wide} panels"),
                }
            };
        }
        shapes!(1 2 3 4 5 6 7 8 9 10 11 12 13);
    }
}

/// Some rows by some panels of a product: what one task computes.
pub(super) struct Block<'a, X> {
    product: &'a Product<'a, X>,
    rows: Range<usize>,
    panels: Range<usize>,
}

impl<'a, X> Block<'a, X> {
    /// A block that is still to be computed.
    ///
    /// # Safety
    /// As long as the block lives, no other piece of the product's output may exist or be made that has a float of these
    /// rows in the columns of these panels, as for [`Product::run`].
    #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
    pub(super) unsafe fn new(
        product: &'a Product<'a, X>,
        rows: Range<usize>,
        panels: Range<usize>,
    ) -> Self {
        Self {
            product,
            rows,
            panels,
        }
    }
}

impl<X: Operands> Kernel for Block<'_, X> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
        // SAFETY: the promise to `new` is the one that the product wants, and the block lives until it has run.
        unsafe {
            self.product.run(s, self.rows, self.panels);
        }
    }
}

/// Cuts rows into tiles of about the same height: 16 rows are 8 + 8, not 13 + 3, since a low tile is paid like a high one.
///
/// Where it can be, heights are even numbers: five rows of AVX2 are ten sums in flight, which its two multipliers keep
/// up with less well than with eight or twelve (32 rows: 92 % of the peak as 6 6 5 5 5 5, 94 % as 6 6 6 6 4 4; Zen 5).
#[inline(always)]
fn tiles(rows: Range<usize>, highest: usize) -> impl Iterator<Item = Range<usize>> {
    let grain = match (rows.len() | highest) % 2 {
        0 => 2,
        _ => 1,
    };
    let count = rows.len().div_ceil(highest);
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
    use crate::kernels::disjoint::Disjoint;
    use crate::kernels::gemm::f32::FloatOperands;
    use crate::kernels::gemm::operands::Rows;
    use crate::kernels::simd::portable::Portable;

    /// Multiplies rows of 3 by two panels, and writes to rows of 20 of an output that has room for two of them.
    fn multiply(rows: Range<usize>, panels: Range<usize>, first: usize) -> Vec<f32> {
        let (x, weights) = ([1.0; 12], [1.0; 2 * 3 * PANEL]);
        let mut out = vec![0.0; 41];
        let operands = FloatOperands {
            x: Rows {
                data: &x,
                stride: 3,
            },
            k: 3,
            panels: &weights,
            distance: Distance::Near,
        };
        let all = Disjoint::new(&mut out);
        let product = Product::bare(operands, &all, (first, 20), 20);
        #[allow(unsafe_code, reason = "the output is shared")]
        // SAFETY: the output is this call's own.
        unsafe {
            product.run(Portable, rows, panels);
        }
        out
    }

    #[test]
    fn rows_and_panels_that_are_there_are_written() {
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
        for highest in [1, 2, 6, 13] {
            for rows in 0..100 {
                let mut next = 7;
                let mut heights = Vec::new();
                for tile in tiles(7..7 + rows, highest) {
                    assert_eq!(tile.start, next);
                    next = tile.end;
                    heights.push(tile.len());
                }
                assert_eq!(next, 7 + rows);
                assert!(heights.iter().all(|&h| (1..=highest).contains(&h)));
                let (least, most) = (heights.iter().min(), heights.iter().max());
                let even = rows % 2 == 0 && highest % 2 == 0;
                let apart = most.zip(least).map_or(0, |(most, least)| most - least);
                assert!(apart <= if even { 2 } else { 1 });
                assert!(!even || heights.iter().all(|height| height % 2 == 0));
            }
        }
    }
}
