//! Products of matrices that change with every training step, so that packing them ahead of time does not pay.
//!
//! Each task packs the panels that it needs and multiplies all rows with them while the panels are in its core's cache.

use super::bf16::{self, RoundedRows};
use super::grid::{MAX_BLOCK_BYTES, MIN_BLOCK_ROWS, TASKS_PER_THREAD};
use super::operands::{Dot, Operands, RhsIn, RowsView};
use super::panels::{self, PANEL};
use super::product::Block;
use super::task::{Epilogue, GemmTask, OutputColumns};
use super::transpose;
use crate::kernels::memory::AlignedFloats;
use crate::kernels::output::DisjointMut;
use crate::kernels::simd::{Cache, Kernel, LANES, Simd};
use crate::kernels::{Activation, Cpu, ExecContext};

/// Maximum number of packed floats per task: 256 KB, a quarter of a core's second-level cache. A task packs at least two
/// panels, even if they exceed it.
const MAX_PACKED_FLOATS: usize = 64 * 1024;

/// Rounding of both operands of a product. Sums are in single precision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// No rounding: operands are multiplied in single precision.
    #[default]
    None,
    /// Rounds to bf16: 8 bits of precision, with the range of single precision.
    Bf16,
}

/// Row-major matrix that rows are multiplied with: `n` output channels and `k` input channels.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unpacked<'a> {
    /// A matrix of (n, k). The product is `x W^T`.
    Rows { data: &'a [f32], k: usize },
    /// A matrix of (k, n). The product is `x W`.
    Columns { data: &'a [f32], n: usize },
}

/// How a product is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StoreMode<'a> {
    /// Overwrites the output.
    Overwrite,
    /// Adds the product to the output's contents.
    Accumulate,
    /// Overwrites the output with the product plus a bias, (n), for each row.
    WithBias(&'a [f32]),
}

/// Computes `x W^T` or `x W` for `x` of (rows, k) and stores it in `out`, (rows, n), as `store` says.
///
/// # Panics
/// If a length is not what the others say, or there are outputs but no input channels.
pub(crate) fn gemm_unpacked(
    exec: &ExecContext,
    rounding: Rounding,
    x: &[f32],
    weights: Unpacked<'_>,
    store: StoreMode<'_>,
    out: &mut [f32],
) {
    let (n, k) = weights.sizes();
    assert_eq!(
        x.len() * n,
        out.len() * k,
        "x has {} floats in rows of {k}, out has {} in rows of {n}",
        x.len(),
        out.len()
    );
    if out.is_empty() {
        return;
    }
    match rounding {
        Rounding::None => multiply(exec, Lhs::Floats(x), weights, store, out),
        Rounding::Bf16 => {
            let mut rounded = exec.memory.bf16_rows.take();
            rounded.fill(exec, x, k);
            multiply(exec, Lhs::Rounded(&rounded), weights, store, out);
        }
    }
}

/// A left operand that is transposed before it is multiplied.
pub(crate) struct Transposed<'a> {
    /// The matrix, (k, rows).
    pub(crate) x: &'a [f32],
    /// Column sums of the matrix, taken before it is rounded, are added here, (rows).
    pub(crate) sums: &'a mut [f32],
    /// Buffer for the transposed matrix. Not used if the matrix is rounded.
    pub(crate) scratch: &'a mut AlignedFloats,
}

/// Computes `x^T W^T` or `x^T W` for `x` of (k, rows) and stores it in `out`, (rows, n), as `store` says. Adds the
/// column sums of `x` to `sums`.
///
/// # Panics
/// If a length is not what the others say, or there are outputs but no input channels.
pub(crate) fn gemm_transposed(
    exec: &ExecContext,
    rounding: Rounding,
    Transposed { x, sums, scratch }: Transposed<'_>,
    weights: Unpacked<'_>,
    store: StoreMode<'_>,
    out: &mut [f32],
) {
    let (n, k) = weights.sizes();
    let rows = sums.len();
    assert_eq!(x.len(), k * rows, "x must be ({k}, {rows})");
    assert_eq!(out.len(), rows * n, "output rows of {n}");
    if out.is_empty() {
        return;
    }
    match rounding {
        Rounding::None => {
            let transposed = scratch.at_least(x.len());
            transpose::transpose(exec, x, sums, transposed);
            multiply(exec, Lhs::Floats(transposed), weights, store, out);
        }
        Rounding::Bf16 => {
            let mut rounded = exec.memory.bf16_rows.take();
            transpose::round_transposed(exec, x, sums, &mut rounded);
            multiply(exec, Lhs::Rounded(&rounded), weights, store, out);
        }
    }
}

/// Left operand of a product: rows of `k` floats or bf16.
#[derive(Clone, Copy)]
enum Lhs<'a> {
    Floats(&'a [f32]),
    Rounded(&'a RoundedRows),
}

/// Computes a product of at least one output in the number type of the left operand. The number of rows follows from
/// `out`.
fn multiply(
    exec: &ExecContext,
    x: Lhs<'_>,
    weights: Unpacked<'_>,
    store: StoreMode<'_>,
    out: &mut [f32],
) {
    let (n, k) = weights.sizes();
    assert!(k > 0, "k is 0");
    let rows = out.len() / n;
    assert_eq!(out.len(), rows * n, "output rows of {n}");
    if let StoreMode::WithBias(bias) = store {
        assert_eq!(bias.len(), n, "the bias must have {n} values");
    }
    let (floats_per_panel, bytes_per_row) = match x {
        Lhs::Floats(_) => (PANEL * k, 4 * k),
        Lhs::Rounded(_) => (PANEL * bf16::steps(k), 2 * k),
    };
    let panels = n.div_ceil(PANEL);
    // Whole pairs of panels, since tiles are up to two panels wide.
    let max = (MAX_PACKED_FLOATS / floats_per_panel.max(1)).max(2);
    let share = panels / (TASKS_PER_THREAD * exec.team.count());
    let per_task = share.clamp(2, max).next_multiple_of(2);
    let block = (MAX_BLOCK_BYTES / bytes_per_row.max(1)).max(MIN_BLOCK_ROWS);
    let cpu = exec.cpu;
    let all = DisjointMut::new(out);
    let buffers = &exec.memory.scratch;
    exec.team.parallel_for(
        panels.div_ceil(per_task),
        || buffers.take(),
        |buffer, task| {
            let first = task * per_task * PANEL;
            let columns = Columns {
                first,
                width: (per_task * PANEL).min(n - first),
            };
            let to = OutputColumns {
                out: &all,
                first: columns.first,
                stride: n,
                width: columns.width,
            };
            #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
            // SAFETY: `Team::parallel_for` runs each task once. Each task's columns start where those of the task
            // before end, and the last ones end with the row. Nothing but these blocks has access to `all`.
            let part = unsafe { ColumnBlock::new(to, store) };
            let packed = buffer.at_least(part.panels() * floats_per_panel);
            match x {
                Lhs::Floats(x) => {
                    weights.pack(cpu, columns, packed);
                    let x = RowsView { data: x, stride: k };
                    let operands = Operands::f32(x, k, packed, RhsIn::L1);
                    part.multiply(cpu, operands, rows, block);
                }
                Lhs::Rounded(x) => {
                    weights.pack_rounded(cpu, columns, packed);
                    let operands = Operands::bf16(x, k, packed, RhsIn::L1);
                    part.multiply(cpu, operands, rows, block);
                }
            }
        },
    );
}

/// Consecutive columns of an output, from the start of a panel on.
#[derive(Clone, Copy)]
struct Columns {
    first: usize,
    width: usize,
}

/// Columns of a product that one task computes.
struct ColumnBlock<'a> {
    to: OutputColumns<'a>,
    store: StoreMode<'a>,
}

impl<'a> ColumnBlock<'a> {
    /// Creates a block of columns, to be computed by [`multiply`](Self::multiply).
    ///
    /// # Safety
    /// As long as the block lives, no other slice of the output may exist or be made that contains a float of these
    /// columns. The columns must be among the first `to.stride` of each row.
    #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
    unsafe fn new(to: OutputColumns<'a>, store: StoreMode<'a>) -> Self {
        Self { to, store }
    }

    /// Returns the number of panels of these columns.
    fn panels(&self) -> usize {
        self.to.width.div_ceil(PANEL)
    }

    /// Computes these columns of all `rows`, `block` rows at a time.
    fn multiply<D: Dot>(&self, cpu: Cpu, operands: Operands<'_, D>, rows: usize, block: usize) {
        let epilogue = Epilogue {
            bias: match self.store {
                StoreMode::WithBias(bias) => Some(&bias[self.to.first..]),
                _ => None,
            },
            activation: Activation::Identity,
            residual: None,
        };
        let task = GemmTask {
            operands,
            epilogue,
            to: self.to,
            accumulate: matches!(self.store, StoreMode::Accumulate),
        };
        for row in (0..rows).step_by(block) {
            let rows = row..rows.min(row + block);
            #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
            // SAFETY: by the promise to `new`, the columns belong to this block and each is within one row. One block
            // of rows has run before the next is made.
            let block = unsafe { Block::new(&task, rows, 0..self.panels()) };
            D::run(cpu, block);
        }
    }
}

impl Unpacked<'_> {
    /// Returns the numbers of output and input channels, `(n, k)`.
    fn sizes(&self) -> (usize, usize) {
        match *self {
            Self::Rows { data, k } => (data.len() / k.max(1), k),
            Self::Columns { data, n } => (n, data.len() / n.max(1)),
        }
    }

    /// Packs the weights of the output channels `first..first + width`.
    fn pack(self, cpu: Cpu, Columns { first, width }: Columns, packed: &mut [f32]) {
        match self {
            Self::Rows { data, k } => {
                packed[width / PANEL * PANEL * k..].fill(0.0); // channels past n
                let rows = &data[first * k..][..width * k];
                let panels = packed.chunks_mut((PANEL * k).max(1));
                cpu.run(PrefetchRows(&rows[..rows.len().min(PANEL * k)]));
                for (index, panel) in panels.enumerate() {
                    let (_, rows) = rows.split_at(index * PANEL * k);
                    let (current, next) = rows.split_at(rows.len().min(PANEL * k));
                    cpu.run(PrefetchRows(&next[..next.len().min(PANEL * k)]));
                    panels::pack(current, k, k, panel);
                }
            }
            Self::Columns { data, n } => cpu.run(PackColumns::<false> {
                columns: columns(data, first, n),
                width,
                k: data.len() / n,
                packed,
            }),
        }
    }

    /// Rounds the weights of the output channels `first..first + width` to bf16 and packs them.
    fn pack_rounded(self, cpu: Cpu, Columns { first, width }: Columns, packed: &mut [f32]) {
        match self {
            Self::Rows { data, k } => {
                packed[width / PANEL * PANEL * bf16::steps(k)..].fill(0.0);
                bf16::pack_rounded(cpu, &data[first * k..][..width * k], k, packed);
            }
            Self::Columns { data, n } => cpu.run_bf16(PackColumns::<true> {
                columns: columns(data, first, n),
                width,
                k: data.len() / n,
                packed,
            }),
        }
    }
}

/// Returns a view of rows of `n` floats from column `first` on.
fn columns(data: &[f32], first: usize, n: usize) -> RowsView<'_> {
    RowsView {
        data: &data[first.min(data.len())..],
        stride: n,
    }
}

/// Prefetches all lines of the rows that are packed next. The rows of a panel are too short for the processor's own
/// prefetcher to see that one follows the other.
struct PrefetchRows<'a>(&'a [f32]);

impl Kernel for PrefetchRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for line in self.0.chunks(LANES) {
            s.prefetch(line.as_ptr(), Cache::L1);
        }
    }
}

/// Packs `width` columns of `k` rows as output channels, as bf16 if `ROUNDED`.
struct PackColumns<'a, const ROUNDED: bool> {
    columns: RowsView<'a>,
    width: usize,
    k: usize,
    packed: &'a mut [f32],
}

impl<const ROUNDED: bool> Kernel for PackColumns<'_, ROUNDED> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            columns,
            width,
            k,
            packed,
        } = self;
        if ROUNDED {
            bf16::pack_rounded_columns(s, columns, width, k, packed)
        } else {
            panels::pack_columns(s, columns, width, k, packed)
        }
    }
}

const _: () = assert!(PANEL == LANES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::gemm::tests::numbers;
    use crate::kernels::{Cpu, Threads};

    fn oracle(x: &[f32], weight: impl Fn(usize, usize) -> f32, n: usize, k: usize) -> Vec<f64> {
        x.chunks_exact(k)
            .flat_map(|row| {
                let weight = &weight;
                (0..n).map(move |channel| {
                    let terms = row.iter().enumerate();
                    terms
                        .map(|(at, &x)| f64::from(x) * f64::from(weight(channel, at)))
                        .sum()
                })
            })
            .collect()
    }

    #[test]
    fn both_ways_and_all_sums_agree_with_the_oracle_on_every_level() {
        let threads = Threads::new(2).unwrap();
        for cpu in Cpu::supported() {
            let exec = ExecContext::new(cpu, &threads);
            for (rows, n, k) in [
                (1, 1, 1),
                (5, 16, 3),
                (14, 33, 20),
                (60, 130, 40),
                (14, 33, 21),
                (131, 47, 1030),
            ] {
                // The oracle multiplies the rounded operands.
                for rounding in [Rounding::None, Rounding::Bf16] {
                    let (x, weights) = (numbers(rows * k, 1), numbers(n * k, 2));
                    let seen = |floats: &[f32]| -> Vec<f32> {
                        let seen = floats.iter().map(|&x| match rounding {
                            Rounding::None => x,
                            Rounding::Bf16 => half::bf16::from_f32(x).to_f32(),
                        });
                        seen.collect()
                    };
                    let (seen_x, seen_weights) = (seen(&x), seen(&weights));
                    let (bias, other) = (numbers(n, 3), numbers(rows * n, 4));
                    let by_rows =
                        oracle(&seen_x, |channel, at| seen_weights[channel * k + at], n, k);
                    let by_columns =
                        oracle(&seen_x, |channel, at| seen_weights[at * n + channel], n, k);
                    for (expected, weights) in [
                        (by_rows, Unpacked::Rows { data: &weights, k }),
                        (by_columns, Unpacked::Columns { data: &weights, n }),
                    ] {
                        for (store, added) in [
                            (StoreMode::Overwrite, vec![0.0; rows * n]),
                            (StoreMode::Accumulate, other.clone()),
                            (StoreMode::WithBias(&bias), bias.repeat(rows)),
                        ] {
                            let mut out = other.clone();
                            gemm_unpacked(&exec, rounding, &x, weights, store, &mut out);
                            for ((found, expected), added) in out.iter().zip(&expected).zip(added) {
                                let error = f64::from(*found) - (expected + f64::from(added));
                                let bound = 1e-6 * (k as f64 + 1.0);
                                assert!(
                                    error.abs() < bound,
                                    "{cpu:?} {rounding:?} {rows} {n} {k} {store:?} {error}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}
