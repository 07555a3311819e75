//! Matrix products with constant weights: `out = activation(x W^T + bias) + residual`.
//!
//! Weights are packed once ([`PackedWeights`]) into panels of 16 output channels, `[n / 16][k][16]`: sixteen floats are
//! one AVX-512 register, two of AVX2, four of NEON, so one layout serves every processor. Activations are read where
//! they lie. A tile of [`ROWS_PER_TILE`] rows by one panel stays in registers while k runs (Goto and van de Geijn 2008,
//! with the packing of the constant side done ahead).
//!
//! Each output has one accumulator, and k runs upwards from 0 to the end whatever the tile's height: so a row's result
//! is the same bits in any company.

mod pack;
mod tile;

use super::disjoint::Disjoint;
use super::{Activation, Arithmetic, Compute, Kernel};
pub(crate) use pack::PackedWeights;
pub(super) use pack::pack;
use tile::{Tile, tiles};

/// Output channels of a panel.
pub(crate) const PANEL: usize = 16;

/// Rows of the highest tile: 6 x 16 accumulators are 12 of AVX2's 16 registers; the weights take two more and the
/// activation one.
pub(crate) const ROWS_PER_TILE: usize = 6;

/// Activations that one task reads again for every panel should stay in a core's second-level cache.
const BYTES_PER_ROW_BLOCK: usize = 192 * 1024;

/// What happens to a product before it is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// Added to each row, (n).
    pub(crate) bias: Option<&'a [f32]>,
    /// Applied to the sum.
    pub(crate) activation: Activation,
    /// Added at the end, (rows, n).
    pub(crate) residual: Option<&'a [f32]>,
}

impl Epilogue<'_> {
    /// The bare product.
    pub(crate) const NONE: Self = Self {
        bias: None,
        activation: Activation::Identity,
        residual: None,
    };
}

/// `out = activation(x W^T + bias) + residual` for `x` of (rows, k) and `out` of (rows, n).
pub(crate) fn gemm(
    compute: &Compute,
    x: &[f32],
    weights: &PackedWeights,
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) {
    let (n, k) = (weights.n, weights.k);
    let rows = out.len() / n;
    assert_eq!(out.len(), rows * n, "output rows of {n}");
    assert_eq!(x.len(), rows * k, "{rows} rows of {k}");
    assert!(epilogue.bias.is_none_or(|bias| bias.len() == n));
    assert!(
        epilogue
            .residual
            .is_none_or(|residual| residual.len() == out.len())
    );

    let grid = Grid::new(rows, n.div_ceil(PANEL), k, compute.threads.count());
    let out = Disjoint::new(out);
    compute.threads.run(
        grid.tasks(),
        || (),
        |(), task| {
            let (rows, panels) = grid.task(task);
            compute.cpu.run(Block {
                x,
                weights,
                epilogue,
                rows,
                panels,
                out: &out,
            });
        },
    );
}

/// How a product is cut into tasks: blocks of rows by groups of panels.
struct Grid {
    rows: usize,
    rows_per_block: usize,
    panels: usize,
    panels_per_group: usize,
}

impl Grid {
    fn new(rows: usize, panels: usize, k: usize, threads: usize) -> Self {
        // As many rows as the cache holds, in blocks of even size and whole tiles.
        let most = (BYTES_PER_ROW_BLOCK / (4 * k.max(1))).max(4 * ROWS_PER_TILE);
        let blocks = rows.div_ceil(most).max(1);
        let rows_per_block = rows
            .div_ceil(blocks)
            .next_multiple_of(ROWS_PER_TILE)
            .max(ROWS_PER_TILE);
        let blocks = rows.div_ceil(rows_per_block).max(1);
        // With one thread a block runs over all panels; with more, panels are shared out, so that each weight is
        // still read once. Four groups a thread keep the threads level when one of them is late.
        let groups = if threads == 1 {
            1
        } else {
            (4 * threads).div_ceil(blocks).clamp(1, panels.max(1))
        };
        Self {
            rows,
            rows_per_block,
            panels,
            panels_per_group: panels.div_ceil(groups).max(1),
        }
    }

    fn groups(&self) -> usize {
        self.panels.div_ceil(self.panels_per_group)
    }

    fn tasks(&self) -> usize {
        self.rows.div_ceil(self.rows_per_block) * self.groups()
    }

    fn task(&self, index: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let (block, group) = (index / self.groups(), index % self.groups());
        let row = block * self.rows_per_block;
        let panel = group * self.panels_per_group;
        (
            row..(row + self.rows_per_block).min(self.rows),
            panel..(panel + self.panels_per_group).min(self.panels),
        )
    }
}

/// Some rows by some panels of a product.
struct Block<'a> {
    x: &'a [f32],
    weights: &'a PackedWeights,
    epilogue: Epilogue<'a>,
    rows: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
    out: &'a Disjoint<'a>,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let (n, k) = (self.weights.n, self.weights.k);
        for index in self.panels {
            let panel = &self.weights.panels[index * PANEL * k..][..PANEL * k];
            let columns = index * PANEL..n.min((index + 1) * PANEL);
            let width = columns.len();
            for rows in tiles(self.rows.clone()) {
                let tile = Tile {
                    x: &self.x[rows.start * k..],
                    stride: k,
                    rows: rows.len(),
                    panel: panel.as_chunks().0,
                };
                let mut sums = tile.compute::<A>();
                for (row, sums) in sums[..rows.len()].iter_mut().enumerate() {
                    if let Some(bias) = self.epilogue.bias {
                        for (sum, &b) in sums.iter_mut().zip(&bias[columns.clone()]) {
                            *sum += b;
                        }
                    }
                    self.epilogue.activation.apply::<A>(sums);
                    let start = (rows.start + row) * n + columns.start;
                    if let Some(residual) = self.epilogue.residual {
                        for (sum, &r) in sums.iter_mut().zip(&residual[start..start + width]) {
                            *sum += r;
                        }
                    }
                    // SAFETY: the grid gives each task rows and columns of its own, and a task visits each of its
                    // (row, panel) pairs once and drops the piece at once.
                    #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
                    let slot = unsafe { self.out.piece(start, width) };
                    slot.copy_from_slice(&sums[..width]);
                }
            }
        }
    }
}

/// Rows that lie `stride` apart, by panels: the bare product inside another kernel, one task, one thread.
///
/// `out` is (rows, out_stride) and receives `16 * panels` columns, or its stride if that is less.
#[inline(always)]
pub(super) fn multiply<A: Arithmetic>(
    x: Rows<'_>,
    k: usize,
    panels: &[f32],
    out: &mut [f32],
    out_stride: usize,
) {
    for (index, panel) in panels.chunks_exact(PANEL * k).enumerate() {
        let column = index * PANEL;
        let width = PANEL.min(out_stride - column);
        for rows in tiles(0..x.count) {
            let tile = Tile {
                x: &x.data[rows.start * x.stride..],
                stride: x.stride,
                rows: rows.len(),
                panel: panel.as_chunks().0,
            };
            let sums = tile.compute::<A>();
            for (row, sums) in sums[..rows.len()].iter().enumerate() {
                let start = (rows.start + row) * out_stride + column;
                out[start..start + width].copy_from_slice(&sums[..width]);
            }
        }
    }
}

/// Rows at a fixed distance in a larger matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    /// From the first row's first number on.
    pub(super) data: &'a [f32],
    /// From one row's start to the next.
    pub(super) stride: usize,
    /// How many rows.
    pub(super) count: usize,
}

#[cfg(test)]
mod tests;
