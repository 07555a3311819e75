//! The innermost loop: a few rows by one panel, in registers.

use super::{Arithmetic, PANEL, ROWS_PER_TILE};

/// Up to [`ROWS_PER_TILE`] rows of activations against one panel of weights.
pub(super) struct Tile<'a> {
    /// From the first row on.
    pub(super) x: &'a [f32],
    /// From one row's start to the next.
    pub(super) stride: usize,
    /// 1 to [`ROWS_PER_TILE`].
    pub(super) rows: usize,
    /// (k, 16).
    pub(super) panel: &'a [[f32; PANEL]],
}

impl Tile<'_> {
    /// Each row's 16 sums; zeros for rows that the tile does not have.
    ///
    /// An array and no callback: a closure is compiled without the level's instructions wherever the compiler does not
    /// inline it, and then each fused product is a library call.
    #[inline(always)]
    pub(super) fn compute<A: Arithmetic>(&self) -> [[f32; PANEL]; ROWS_PER_TILE] {
        match self.rows {
            1 => self.of_height::<A, 1>(),
            2 => self.of_height::<A, 2>(),
            3 => self.of_height::<A, 3>(),
            4 => self.of_height::<A, 4>(),
            5 => self.of_height::<A, 5>(),
            _ => self.of_height::<A, ROWS_PER_TILE>(),
        }
    }

    #[inline(always)]
    fn of_height<A: Arithmetic, const MR: usize>(&self) -> [[f32; PANEL]; ROWS_PER_TILE] {
        let mut tile = [[0.0; PANEL]; ROWS_PER_TILE];
        tile[..MR].copy_from_slice(&sums::<A, MR>(self.x, self.stride, self.panel));
        tile
    }
}

#[inline(always)]
fn sums<A: Arithmetic, const MR: usize>(
    x: &[f32],
    stride: usize,
    panel: &[[f32; PANEL]],
) -> [[f32; PANEL]; MR] {
    let k = panel.len();
    let rows: [&[f32]; MR] = std::array::from_fn(|row| &x[row * stride..][..k]);
    let mut sums = [[0.0; PANEL]; MR];
    for (step, weights) in panel.iter().enumerate() {
        for (row, sums) in rows.iter().zip(&mut sums) {
            let activation = row[step];
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                *sum = A::mul_add(activation, weight, *sum);
            }
        }
    }
    sums
}

/// Cuts rows into tiles of even height: 8 rows are 4 + 4, not 6 + 2, since a low tile is paid like a high one.
#[inline(always)]
pub(super) fn tiles(rows: std::ops::Range<usize>) -> impl Iterator<Item = std::ops::Range<usize>> {
    let count = rows.len().div_ceil(ROWS_PER_TILE);
    let (height, higher) = match count {
        0 => (0, 0),
        _ => (rows.len() / count, rows.len() % count),
    };
    (0..count).map(move |tile| {
        let start = rows.start + tile * height + tile.min(higher);
        start..start + height + usize::from(tile < higher)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_the_rows_evenly() {
        for rows in 0..100 {
            let mut next = 7;
            let mut heights = Vec::new();
            for tile in tiles(7..7 + rows) {
                assert_eq!(tile.start, next);
                next = tile.end;
                heights.push(tile.len());
            }
            assert_eq!(next, 7 + rows);
            assert!(heights.iter().all(|&h| (1..=ROWS_PER_TILE).contains(&h)));
            let (least, most) = (heights.iter().min(), heights.iter().max());
            assert!(
                most.zip(least)
                    .is_none_or(|(most, least)| most - least <= 1)
            );
        }
    }
}
