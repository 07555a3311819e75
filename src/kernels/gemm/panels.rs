//! Panels: the layout of a product's right side, `[n / 16][k][16]`.

use super::operands::RowsView;
use crate::kernels::simd::{LANES, Simd};

/// Number of output channels of a panel.
pub(crate) const PANEL: usize = LANES;

/// Number of values in one k-step of a panel of bf16 or i16: two for each channel.
pub(in crate::kernels) const PAIR_STEP: usize = 2 * PANEL;

/// Packs rows of `k` values, which start `stride` values apart, into panels of 16 rows. Leaves the missing rows of the
/// last panel as they are in `panels`.
pub(in crate::kernels) fn pack<T: Copy>(rows: &[T], k: usize, stride: usize, panels: &mut [T]) {
    if k == 0 {
        return;
    }
    let groups = rows.chunks(PANEL * stride);
    for (group, panel) in groups.zip(panels.chunks_exact_mut(PANEL * k)) {
        let panel = panel.as_chunks_mut().0;
        for (index, four) in group.chunks(4 * stride).enumerate() {
            let mut rows = four.chunks(stride).map(|row| &row[..k]);
            let lane = 4 * index;
            match std::array::from_fn(|_| rows.next()) {
                [Some(a), Some(b), Some(c), Some(d)] => pack_four([a, b, c, d], lane, panel),
                fewer => {
                    for (lane, row) in (lane..).zip(fewer.into_iter().flatten()) {
                        for (line, &weight) in panel.iter_mut().zip(row) {
                            line[lane] = weight;
                        }
                    }
                }
            }
        }
    }
}

/// Packs four rows as lanes `lane` to `lane + 3` of a panel.
///
/// Compilers turn blocks of 4 x 4 into shuffles on every processor, without its wider instructions too. That packs 23
/// GB/s in the first-level cache. One value at a time packs 14 GB/s, blocks of 8 pack 13 GB/s, and blocks of 16 pack 8
/// to 12 GB/s.
fn pack_four<T: Copy>(rows: [&[T]; 4], lane: usize, panel: &mut [[T; PANEL]]) {
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<4>().0);
    let (blocks, rest) = panel.as_chunks_mut::<4>();
    for ((((a, b), c), d), block) in a.iter().zip(b).zip(c).zip(d).zip(blocks) {
        for (step, line) in block.iter_mut().enumerate() {
            line[lane..lane + 4].copy_from_slice(&[a[step], b[step], c[step], d[step]]);
        }
    }
    let done = rows[0].len() - rest.len();
    for (step, line) in (done..).zip(rest) {
        line[lane..lane + 4].copy_from_slice(&rows.map(|row| row[step]));
    }
}

/// Packs `columns` columns of `len` rows as weights of (columns, len), in panels of `[columns / 16][len][16]`. Missing
/// channels of the last panel are zero.
#[inline(always)]
pub(in crate::kernels) fn pack_columns<S: Simd>(
    s: S,
    rows: RowsView<'_>,
    columns: usize,
    len: usize,
    panels: &mut [f32],
) {
    for (index, panel) in panels.chunks_exact_mut(PANEL * len).enumerate() {
        let column = index * PANEL;
        let width = PANEL.min(columns - column);
        for (row, lanes) in panel.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
            let from = &rows.data[row * rows.stride + column..][..width];
            s.store(s.load_partial(from, 0.0), lanes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the index in panels of the value at (row, column) of a matrix with rows of `k` values.
    fn position(row: usize, column: usize, k: usize) -> usize {
        (row / PANEL * k + column) * PANEL + row % PANEL
    }

    #[test]
    fn every_value_has_its_position_and_the_rest_stays() {
        for n in [1usize, 3, 4, 15, 16, 17, 35] {
            for (k, stride) in [(1, 1), (3, 3), (4, 6), (5, 5), (16, 20), (37, 37)] {
                // The last row ends with its last value, not after a whole stride, as in a matrix that is part of a
                // wider one.
                let rows: Vec<f32> = (0..(n - 1) * stride + k).map(|x| x as f32).collect();
                let mut panels = vec![-1.0; n.div_ceil(PANEL) * PANEL * k];
                pack(&rows, k, stride, &mut panels);
                for row in 0..n.next_multiple_of(PANEL) {
                    for column in 0..k {
                        let expected = if row < n {
                            rows[row * stride + column]
                        } else {
                            -1.0
                        };
                        assert_eq!(panels[position(row, column, k)], expected);
                    }
                }
            }
        }
    }
}
