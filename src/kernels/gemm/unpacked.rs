//! Products of matrices that change with every step, so that packing them ahead is not worth it: each task packs the
//! panels that it needs and multiplies all rows with them while they are near.

use super::floats::FloatOperands;
use super::product::{Distance, Operands, Product, Rows};
use super::{BYTES_PER_ROW_BLOCK, Block, Epilogue, PANEL, ROWS_PER_BLOCK, TASKS_PER_THREAD, pack};
use crate::kernels::disjoint::Disjoint;
use crate::kernels::pieces::{Pieces, each};
use crate::kernels::simd::{Kernel, LANES, Simd};
use crate::kernels::{Activation, Compute};

/// Floats of panels that one task packs: 256 KB, a quarter of a core's second-level cache.
const PACKED: usize = 64 * 1024;

/// A row-major matrix that rows are multiplied with, of `n` output channels and `k` input channels.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unpacked<'a> {
    /// (n, k): the product is `x W^T`.
    Rows { data: &'a [f32], k: usize },
    /// (k, n): the product is `x W`.
    Columns { data: &'a [f32], n: usize },
}

/// What becomes of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sum<'a> {
    /// It is stored.
    Alone,
    /// It is added to what is there.
    Accumulated,
    /// It is stored after this, (n), was added to each row.
    Biased(&'a [f32]),
}

impl Unpacked<'_> {
    /// Input channels, for so many output channels.
    fn sizes(&self) -> (usize, usize) {
        match *self {
            Self::Rows { data, k } => (data.len() / k.max(1), k),
            Self::Columns { data, n } => (n, data.len() / n.max(1)),
        }
    }
}

/// `out = x W^T` or `x W` and what `sum` says, for `x` of (rows, k) and `out` of (rows, n).
pub(crate) fn gemm_unpacked(
    compute: &Compute,
    x: &[f32],
    weights: Unpacked<'_>,
    sum: Sum<'_>,
    out: &mut [f32],
) {
    let (n, k) = weights.sizes();
    if out.is_empty() {
        return;
    }
    let rows = out.len() / n;
    assert_eq!(out.len(), rows * n, "output rows of {n}");
    assert_eq!(x.len(), rows * k, "{rows} rows of {k}");
    if let Sum::Biased(bias) = sum {
        assert_eq!(bias.len(), n, "a bias");
    }
    let panels = n.div_ceil(PANEL);
    // In whole pairs, since tiles are up to two panels wide.
    let most = (PACKED / (PANEL * k.max(1))).max(2);
    let share = panels / (TASKS_PER_THREAD * compute.team.count());
    let per_task = share.clamp(2, most).next_multiple_of(2);
    let rows_per_block = (BYTES_PER_ROW_BLOCK / (4 * k.max(1))).max(ROWS_PER_BLOCK);
    let cpu = compute.cpu;
    let all = Disjoint::new(out);
    let buffers = &*compute.buffers;
    compute.team.run(
        panels.div_ceil(per_task),
        || buffers.lend(),
        |buffer, task| {
            let first = task * per_task * PANEL;
            let width = (per_task * PANEL).min(n - first);
            let count = width.div_ceil(PANEL);
            let packed = buffer.at_least(count * PANEL * k);
            match weights {
                Unpacked::Rows { data, k } => {
                    packed[width / PANEL * PANEL * k..].fill(0.0); // channels past n
                    let rows = &data[first * k..][..width * k];
                    let panels = packed.chunks_mut((PANEL * k).max(1));
                    cpu.run(Near(&rows[..rows.len().min(PANEL * k)]));
                    for (index, panel) in panels.enumerate() {
                        let (_, rows) = rows.split_at(index * PANEL * k);
                        let (own, next) = rows.split_at(rows.len().min(PANEL * k));
                        cpu.run(Near(&next[..next.len().min(PANEL * k)]));
                        pack(own, k, k, panel);
                    }
                }
                Unpacked::Columns { data, n } => cpu.run(PackColumns {
                    columns: Rows {
                        data: &data[first.min(data.len())..],
                        stride: n,
                    },
                    width,
                    k,
                    packed,
                }),
            }
            let epilogue = Epilogue {
                bias: match sum {
                    Sum::Biased(bias) => Some(&bias[first..]),
                    _ => None,
                },
                activation: Activation::Identity,
                residual: None,
            };
            let product = Product {
                operands: FloatOperands {
                    x: Rows { data: x, stride: k },
                    k,
                    panels: packed,
                    distance: Distance::Near,
                },
                epilogue,
                out: &all,
                first,
                stride: n,
                width,
                accumulate: matches!(sum, Sum::Accumulated),
            };
            for row in (0..rows).step_by(rows_per_block) {
                // The columns of a task's panels are its own, as a block demands.
                FloatOperands::run(
                    cpu,
                    Block {
                        product: &product,
                        rows: row..rows.min(row + rows_per_block),
                        panels: 0..count,
                    },
                );
            }
        },
    );
}

/// Asks for all lines of what is read next: rows of a panel are too short for the processor to see that one follows the
/// other.
struct Near<'a>(&'a [f32]);

impl Kernel for Near<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for line in self.0.chunks(LANES) {
            s.prefetch(line.as_ptr());
        }
    }
}

struct PackColumns<'a> {
    columns: Rows<'a>,
    width: usize,
    k: usize,
    packed: &'a mut [f32],
}

impl Kernel for PackColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        pack::pack_columns(s, self.columns, self.width, self.k, self.packed);
    }
}

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
        pack(&rows[..numbers], k, stride, panels);
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
        pack::pack_columns(s, Rows { data: rows, stride }, n, k, panels);
    }
}

/// `out`, (width, rows), is `x`, (rows, width), the other way round; `sums`, (width), gets each column's sum added.
pub(crate) fn transpose(compute: &Compute, x: &[f32], sums: &mut [f32], out: &mut [f32]) {
    let width = sums.len();
    let rows = x.len() / width.max(1);
    assert_eq!(x.len(), rows * width, "{rows} rows of {width}");
    assert_eq!(out.len(), x.len());
    if rows == 0 {
        return;
    }
    let cpu = compute.cpu;
    let tasks = width.div_ceil(PANEL);
    let outs = [
        Pieces::every(PANEL * rows, out),
        Pieces::every(PANEL, &mut *sums),
    ];
    each(compute, tasks, outs, |_, task, [out, sums]| {
        transpose_columns(&x[task * PANEL..], width, rows, out);
        cpu.run(AddRows { rows: out, sums });
    });
}

/// Some columns of `rows` rows, which are `stride` apart, as rows: at most a panel.
///
/// In blocks of 4 x 4, as rows are packed. Rows are the outer loop: a panel's columns of one row are one line, and lines
/// at such distances push each other out of the nearest cache.
fn transpose_columns(x: &[f32], stride: usize, rows: usize, out: &mut [f32]) {
    let columns = out.len() / rows;
    let mut whole = 0; // rows that blocks have dealt with
    if columns == PANEL {
        let mut each = out.chunks_exact_mut(rows);
        let mut out: [&mut [[f32; 4]]; PANEL] = std::array::from_fn(|_| {
            let row = each.next().unwrap_or_default();
            row.as_chunks_mut().0
        });
        for (block, four) in x.chunks(4 * stride).enumerate().take(rows / 4) {
            let line = |row: usize| four[row * stride..].first_chunk::<PANEL>();
            let (Some(a), Some(b), Some(c), Some(d)) = (line(0), line(1), line(2), line(3)) else {
                break;
            };
            for (column, out) in out.iter_mut().enumerate() {
                out[block] = [a[column], b[column], c[column], d[column]];
            }
            whole = 4 * (block + 1);
        }
    }
    for column in 0..columns {
        for row in whole..rows {
            out[column * rows + row] = x[row * stride + column];
        }
    }
}

/// Adds the sum of each row.
struct AddRows<'a> {
    /// As many as there are sums.
    rows: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let len = self.rows.len() / self.sums.len().max(1);
        for (row, sum) in self.rows.chunks_exact(len.max(1)).zip(self.sums) {
            let mut chains = [s.splat(0.0); 2];
            for pair in row.chunks(2 * LANES) {
                for (chain, some) in chains.iter_mut().zip(pair.chunks(LANES)) {
                    *chain = s.add(*chain, s.load_some(some, 0.0));
                }
            }
            *sum += s.sum(s.add(chains[0], chains[1]));
        }
    }
}

const _: () = assert!(PANEL == LANES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Cpu, Threads};

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len)
            .map(|at| ((at * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0)
            .collect()
    }

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
            let compute = Compute::new(cpu, &threads);
            for (rows, n, k) in [
                (1, 1, 1),
                (5, 16, 3),
                (14, 33, 20),
                (60, 130, 40),
                (131, 47, 1030),
            ] {
                let (x, weights) = (numbers(rows * k, 1), numbers(n * k, 2));
                let (bias, other) = (numbers(n, 3), numbers(rows * n, 4));
                let by_rows = oracle(&x, |channel, at| weights[channel * k + at], n, k);
                let by_columns = oracle(&x, |channel, at| weights[at * n + channel], n, k);
                for (expected, weights) in [
                    (by_rows, Unpacked::Rows { data: &weights, k }),
                    (by_columns, Unpacked::Columns { data: &weights, n }),
                ] {
                    for (sum, added) in [
                        (Sum::Alone, vec![0.0; rows * n]),
                        (Sum::Accumulated, other.clone()),
                        (Sum::Biased(&bias), bias.repeat(rows)),
                    ] {
                        let mut out = other.clone();
                        gemm_unpacked(&compute, &x, weights, sum, &mut out);
                        for ((found, expected), added) in out.iter().zip(&expected).zip(added) {
                            let error = f64::from(*found) - (expected + f64::from(added));
                            let bound = 1e-6 * (k as f64 + 1.0);
                            assert!(
                                error.abs() < bound,
                                "{cpu:?} {rows} {n} {k} {sum:?} {error}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_matrix_the_other_way_round_and_its_sums() {
        let threads = Threads::new(2).unwrap();
        for cpu in Cpu::supported() {
            let compute = Compute::new(cpu, &threads);
            for (rows, width) in [(1, 1), (3, 5), (4, 16), (9, 37), (33, 64)] {
                let x: Vec<f32> = (0..rows * width).map(|x| x as f32).collect();
                let mut out = vec![f32::NAN; x.len()];
                let mut sums = vec![1.0; width];
                transpose(&compute, &x, &mut sums, &mut out);
                for column in 0..width {
                    let expected: Vec<f32> = (0..rows).map(|row| x[row * width + column]).collect();
                    assert_eq!(out[column * rows..][..rows], expected);
                    assert_eq!(sums[column], 1.0 + expected.iter().sum::<f32>());
                }
            }
        }
    }
}
