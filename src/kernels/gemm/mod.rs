//! Matrix products with constant weights: `out = activation(x W^T + bias) + residual`.
//!
//! Weights are packed once ([`PackedWeights`]) into panels of 16 output channels, `[n / 16][k][16]`: sixteen floats are
//! one AVX-512 register, two of AVX2, four of NEON, so one layout serves every processor. Activations are read where
//! they lie. A tile of some rows by one or two panels stays in registers while k runs (Goto and van de Geijn 2008, with
//! the packing of the constant side done ahead).
//!
//! The same loops multiply numbers in bf16, in panels of `[n / 16][k / 2][16][2]`, and bytes, in panels of
//! `[n / 16][k / 4][16][4]`: the modules `bf16` and `int8` say how.
//!
//! Each output has one accumulator, and k runs upwards from 0 to the end whatever the tile's height: so a row's result
//! is the same bits in any company.

mod bf16;
mod dtype;
mod floats;
mod int8;
mod pack;
mod packer;
mod product;
mod quantize;
mod rounded;
#[cfg(feature = "train")]
mod small;
mod tile;
#[cfg(feature = "train")]
mod transpose;
#[cfg(feature = "train")]
mod unpacked;
mod words;

use std::ops::Range;

use super::disjoint::Disjoint;
use super::simd::{Kernel, LANES, Simd};
use super::{Activation, Compute};
use bf16::Bf16Operands;
pub use dtype::Dtype;
pub(super) use floats::FloatOperands;
use int8::Int8Operands;
pub(crate) use int8::Int8Panels;
pub(crate) use pack::{PackedWeights, Panels};
pub(super) use pack::{pack, pack_columns};
pub(crate) use packer::Packer;
pub(super) use product::{Distance, Operands, Product, Rows};
pub(crate) use quantize::QuantizedRows;
pub(super) use quantize::{LEAST_SPAN, ROUND};
pub(crate) use rounded::RoundedRows;
#[cfg(feature = "train")]
pub(crate) use small::Small;
#[cfg(feature = "train")]
pub(crate) use unpacked::{Rounding, Sum, Transposed, Unpacked, gemm_transposed, gemm_unpacked};
pub(super) use words::{STEP_OF_WORDS, WordOperands};

/// Output channels of a panel.
pub(crate) const PANEL: usize = LANES;

/// Activations that one task reads again for every panel should stay in a core's second-level cache.
const BYTES_PER_ROW_BLOCK: usize = 256 * 1024;

/// Rows that are worth a pass over the weights, however long they are.
const ROWS_PER_BLOCK: usize = 48;

/// Pieces that each of several threads' work is cut into, so that one that is late can leave some to the others.
const TASKS_PER_THREAD: usize = 8;

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
    let (n, k) = (weights.n(), weights.k());
    if out.is_empty() {
        return;
    }
    let rows = out.len() / n;
    assert_eq!(out.len(), rows * n, "output rows of {n}");
    assert_eq!(x.len(), rows * k, "{rows} rows of {k}");
    assert!(epilogue.bias.is_none_or(|bias| bias.len() == n));
    assert!(
        epilogue
            .residual
            .is_none_or(|residual| residual.len() == out.len())
    );

    let threads = compute.team.count();
    let grid = |bytes_per_row| Grid::new(rows, n.div_ceil(PANEL), bytes_per_row, threads);
    let out = Disjoint::new(out);
    match weights.panels() {
        Panels::F32(panels) => {
            let operands = FloatOperands {
                x: Rows { data: x, stride: k },
                k,
                panels,
                distance: Distance::Far,
            };
            multiply(compute, operands, epilogue, (&out, n), &grid(4 * k));
        }
        Panels::Bf16(panels) => {
            let mut rounded = compute.memory.rounded.lend();
            rounded.fill(compute, x, k);
            let operands = Bf16Operands::new(&rounded, k, panels, Distance::Far);
            multiply(compute, operands, epilogue, (&out, n), &grid(2 * k));
        }
        Panels::Int8(panels) => {
            let mut quantized = compute.memory.quantized.lend();
            quantized.fill(compute, x, k);
            let operands = Int8Operands::new(&quantized, k, panels);
            multiply(compute, operands, epilogue, (&out, n), &grid(k));
        }
    }
}

/// All tiles of a product whose output has `n` columns, by all threads.
fn multiply<X: Operands + Sync>(
    compute: &Compute,
    operands: X,
    epilogue: Epilogue<'_>,
    (out, n): (&Disjoint<'_>, usize),
    grid: &Grid,
) {
    let product = Product {
        operands,
        epilogue,
        out,
        first: 0,
        stride: n,
        width: n,
        accumulate: false,
    };
    let cpu = compute.cpu;
    compute.team.run(
        grid.tasks(),
        || (),
        |(), task| {
            let (rows, panels) = grid.task(task);
            let product = &product;
            let block = Block {
                product,
                rows,
                panels,
            };
            X::run(cpu, block);
        },
    );
}

/// What one task computes: some rows by some panels.
struct Block<'a, X> {
    product: &'a Product<'a, X>,
    rows: Range<usize>,
    panels: Range<usize>,
}

impl<X: Operands> Kernel for Block<'_, X> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
        // SAFETY: the grid gives each task rows and panels of its own.
        unsafe {
            self.product.run(s, self.rows, self.panels);
        }
    }
}

/// How a product is cut into tasks: blocks of rows by groups of panels.
struct Grid {
    rows: usize,
    rows_per_block: usize,
    panels: usize,
    panels_per_group: usize,
}

impl Grid {
    fn new(rows: usize, panels: usize, bytes_per_row: usize, threads: usize) -> Self {
        // As many rows as the cache holds, in blocks of even size.
        let most = (BYTES_PER_ROW_BLOCK / bytes_per_row.max(1)).max(ROWS_PER_BLOCK);
        let blocks = rows.div_ceil(most).max(1);
        let rows_per_block = rows.div_ceil(blocks).max(1);
        // With one thread a block runs over all panels. With more, panels are shared out, so that each weight is still
        // read once: in whole pairs, since tiles are up to two panels wide, and in so many that the threads end level.
        let panels_per_group = match threads {
            1 => panels.max(1),
            _ => (panels / (TASKS_PER_THREAD * threads).div_ceil(blocks))
                .next_multiple_of(2)
                .max(2),
        };
        Self {
            rows,
            rows_per_block,
            panels,
            panels_per_group,
        }
    }

    fn groups(&self) -> usize {
        self.panels.div_ceil(self.panels_per_group)
    }

    fn tasks(&self) -> usize {
        self.rows.div_ceil(self.rows_per_block) * self.groups()
    }

    fn task(&self, index: usize) -> (Range<usize>, Range<usize>) {
        let (block, group) = (index / self.groups(), index % self.groups());
        let row = block * self.rows_per_block;
        let panel = group * self.panels_per_group;
        (
            row..(row + self.rows_per_block).min(self.rows),
            panel..(panel + self.panels_per_group).min(self.panels),
        )
    }
}

#[cfg(test)]
mod tests;
