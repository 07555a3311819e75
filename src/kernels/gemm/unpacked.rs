//! Products of matrices that change with every step, so that packing them ahead is not worth it: each task packs the
//! panels that it needs and multiplies all rows with them while they are near.

use super::floats::FloatOperands;
use super::product::{Distance, Operands, Product, Rows};
use super::{BYTES_PER_ROW_BLOCK, Block, Epilogue, PANEL, ROWS_PER_BLOCK, TASKS_PER_THREAD, pack};
use crate::kernels::disjoint::Disjoint;
use crate::kernels::simd::{Cache, Kernel, LANES, Simd};
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
            s.prefetch(line.as_ptr(), Cache::First);
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
}
