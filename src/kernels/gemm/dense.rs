//! Product of a dense layer, on all threads.

use super::grid::Grid;
use super::operands::{Dot, Operands, RhsIn, RowsView};
use super::panels::PANEL;
use super::product::Block;
use super::task::{Epilogue, GemmTask, OutputColumns};
use super::weights::{PackedWeights, Panels};
use crate::kernels::ExecContext;
use crate::kernels::output::DisjointMut;

/// Computes `out = activation(x W^T + bias) + residual` for `x` of (rows, k) and `out` of (rows, n), in the number type
/// of the weights.
///
/// # Panics
/// If a length is not what the others say.
pub(crate) fn gemm(
    exec: &ExecContext,
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
            let x = RowsView { data: x, stride: k };
            let operands = Operands::f32(x, k, panels, RhsIn::Memory);
            multiply(exec, operands, epilogue, n, 4 * k, out);
        }
        Panels::Bf16(panels) => {
            let mut rounded = exec.memory.bf16_rows.take();
            rounded.fill(exec, x, k);
            let operands = Operands::bf16(&rounded, k, panels, RhsIn::Memory);
            multiply(exec, operands, epilogue, n, 2 * k, out);
        }
        Panels::Int8(panels) => {
            let mut quantized = exec.memory.int8_rows.take();
            quantized.fill(exec, x, k, panels.input_factors());
            let operands = Operands::int8(&quantized, k, panels);
            multiply(exec, operands, epilogue, n, k, out);
        }
    }
}

/// Computes a product whose output has `n` columns, on all threads. A row of activations takes `bytes_per_row` bytes.
fn multiply<D: Dot + Sync>(
    exec: &ExecContext,
    operands: Operands<'_, D>,
    epilogue: Epilogue<'_>,
    n: usize,
    bytes_per_row: usize,
    out: &mut [f32],
) {
    let grid = Grid::new(
        out.len() / n,
        n.div_ceil(PANEL),
        bytes_per_row,
        exec.team.count(),
    );
    let task = GemmTask {
        operands,
        epilogue,
        to: OutputColumns {
            out: &DisjointMut::new(out),
            first: 0,
            stride: n,
            width: n,
        },
        accumulate: false,
    };
    let cpu = exec.cpu;
    exec.team.parallel_for(
        grid.tasks(),
        || (),
        |(), index| {
            let (rows, panels) = grid.task(index);
            #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
            // SAFETY: `Team::parallel_for` runs each task once, and the grid gives no two tasks the same panel of the
            // same row. Consecutive rows start `n` floats apart and are `n` wide, so no float is in two of them.
            // Nothing but these blocks has access to the output.
            let block = unsafe { Block::new(&task, rows, panels) };
            D::run(cpu, block);
        },
    );
}
