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
mod grid;
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

use super::disjoint::Disjoint;
use super::simd::LANES;
use super::{Activation, Compute};
use bf16::Bf16Operands;
pub use dtype::Dtype;
pub(super) use floats::FloatOperands;
use grid::Grid;
use int8::Int8Operands;
pub(crate) use int8::Int8Panels;
pub(crate) use pack::{PackedWeights, Panels};
pub(super) use pack::{pack, pack_columns};
pub(crate) use packer::Packer;
use product::Block;
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

    match weights.panels() {
        Panels::F32(panels) => {
            let operands = FloatOperands {
                x: Rows { data: x, stride: k },
                k,
                panels,
                distance: Distance::Far,
            };
            multiply(compute, operands, epilogue, n, 4 * k, out);
        }
        Panels::Bf16(panels) => {
            let mut rounded = compute.memory.rounded.lend();
            rounded.fill(compute, x, k);
            let operands = Bf16Operands::new(&rounded, k, panels, Distance::Far);
            multiply(compute, operands, epilogue, n, 2 * k, out);
        }
        Panels::Int8(panels) => {
            let mut quantized = compute.memory.quantized.lend();
            quantized.fill(compute, x, k);
            let operands = Int8Operands::new(&quantized, k, panels);
            multiply(compute, operands, epilogue, n, k, out);
        }
    }
}

/// Computes a product whose output has `n` columns, on all threads. A row of activations takes `bytes_per_row` bytes.
fn multiply<X: Operands + Sync>(
    compute: &Compute,
    operands: X,
    epilogue: Epilogue<'_>,
    n: usize,
    bytes_per_row: usize,
    out: &mut [f32],
) {
    let grid = Grid::new(
        out.len() / n,
        n.div_ceil(PANEL),
        bytes_per_row,
        compute.team.count(),
    );
    let product = Product {
        operands,
        epilogue,
        out: &Disjoint::new(out),
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
            #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
            // SAFETY: `Team::run` runs each task once, and the grid gives no two tasks the same panel of the same row. Rows
            // are as far apart as they are wide, so no float is in two of them. Only these blocks know of the output.
            let block = unsafe { Block::new(&product, rows, panels) };
            X::run(cpu, block);
        },
    );
}

#[cfg(test)]
mod tests;
