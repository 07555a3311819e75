//! Transposed matrices.

use super::bf16::{Round, RoundedRows};
use super::panels::PANEL;
use crate::kernels::ExecContext;
use crate::kernels::output::{OutputChunks, for_each_chunk};
use crate::kernels::simd::{Kernel, LANES, Simd};

/// Writes the transpose of `x`, (rows, width), to `out`, (width, rows), and adds the sum of each column of `x` to
/// `sums`, (width).
pub(super) fn transpose(exec: &ExecContext, x: &[f32], sums: &mut [f32], out: &mut [f32]) {
    let width = sums.len();
    let rows = x.len() / width.max(1);
    assert_eq!(x.len(), rows * width, "{rows} rows of {width}");
    assert_eq!(out.len(), x.len());
    if rows == 0 {
        return;
    }
    let cpu = exec.cpu;
    let tasks = width.div_ceil(PANEL);
    let outs = [
        OutputChunks::uniform(PANEL * rows, out),
        OutputChunks::uniform(PANEL, &mut *sums),
    ];
    for_each_chunk(exec, tasks, outs, |_, task, [out, sums]| {
        transpose_columns(&x[task * PANEL..], width, rows, out);
        cpu.run(AddRows { rows: out, sums });
    });
}

/// Transposes `x`, (rows, width), and rounds it to bf16. Adds the sum of each column, taken before rounding, to `sums`,
/// (width).
pub(super) fn round_transposed(
    exec: &ExecContext,
    x: &[f32],
    sums: &mut [f32],
    out: &mut RoundedRows,
) {
    let width = sums.len();
    let rows = x.len() / width.max(1);
    assert_eq!(x.len(), rows * width, "{rows} rows of {width}");
    if rows == 0 {
        return;
    }
    let cpu = exec.cpu;
    let (stride, pairs) = out.resize(width, rows);
    let outs = [
        OutputChunks::uniform(PANEL * stride / 2, pairs),
        OutputChunks::uniform(PANEL, &mut *sums),
    ];
    for_each_chunk(
        exec,
        width.div_ceil(PANEL),
        outs,
        |buffer, task, [out, sums]| {
            let transposed = buffer.at_least(sums.len() * rows);
            transpose_columns(&x[task * PANEL..], width, rows, transposed);
            cpu.run(AddRows {
                rows: transposed,
                sums,
            });
            cpu.run_bf16(Round {
                x: transposed,
                k: rows,
                out: bytemuck::cast_slice_mut(out),
                stride,
            });
        },
    );
}

/// Transposes the first columns of `rows` rows, which start `stride` floats apart. `out`, (columns, rows), determines
/// the number of columns, at most those of a panel.
///
/// Works in blocks of 4 x 4, as packing does. Rows are the outer loop: the columns of a panel are one cache line of
/// each row, and lines at such distances evict each other from the first-level cache.
fn transpose_columns(x: &[f32], stride: usize, rows: usize, out: &mut [f32]) {
    let columns = out.len() / rows;
    let mut whole = 0; // rows that the blocks have transposed
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

/// Adds the sum of each row to the corresponding element of `sums`.
struct AddRows<'a> {
    /// One row of equal length for each sum.
    rows: &'a [f32],
    /// Sum of each row.
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
                    *chain = s.add(*chain, s.load_partial(some, 0.0));
                }
            }
            *sum += s.reduce_add(s.add(chains[0], chains[1]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Cpu, Threads};

    #[test]
    fn transposes_a_matrix_and_adds_its_column_sums() {
        let threads = Threads::new(2).unwrap();
        for cpu in Cpu::supported() {
            let exec = ExecContext::new(cpu, &threads);
            for (rows, width) in [(1, 1), (3, 5), (4, 16), (9, 37), (33, 64)] {
                let x: Vec<f32> = (0..rows * width).map(|x| x as f32).collect();
                let mut out = vec![f32::NAN; x.len()];
                let mut sums = vec![1.0; width];
                transpose(&exec, &x, &mut sums, &mut out);
                for column in 0..width {
                    let expected: Vec<f32> = (0..rows).map(|row| x[row * width + column]).collect();
                    assert_eq!(out[column * rows..][..rows], expected);
                    assert_eq!(sums[column], 1.0 + expected.iter().sum::<f32>());
                }

                let [mut rounded, mut expected] = [(); 2].map(|()| RoundedRows::default());
                // An earlier product has left NaN in the buffer.
                rounded.fill(&exec, &vec![f32::NAN; 64 * 64], 64);
                let mut others = vec![1.0; width];
                round_transposed(&exec, &x, &mut others, &mut rounded);
                assert_eq!(others, sums);
                expected.fill(&exec, &out, rows);
                for column in 0..width {
                    let [found, expected] = [&rounded, &expected].map(|rounded| {
                        let (pairs, stride) = rounded.pairs();
                        &pairs[column * stride..][..rows.div_ceil(2)]
                    });
                    assert_eq!(found, expected, "{cpu:?} {rows} {width}");
                }
            }
        }
    }
}
