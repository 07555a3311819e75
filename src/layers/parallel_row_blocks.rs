//! Chains of layers in which each output row depends on one input row only, divided among threads by rows.
//!
//! The alternative is to divide each layer's outputs among threads. Then each weight is read by one thread only, but
//! all cores read what one layer left in a single core's caches, and threads wait for each other after each layer. Here
//! a thread takes its rows through the whole chain, and gets those rows of the next chain too, which its caches still
//! hold.

use std::ops::Range;

use super::linear::Linear;
use crate::kernels::ExecContext;
use crate::kernels::memory::AlignedFloats;
use crate::kernels::output::{OutputChunks, for_each_chunk};

/// Most bytes of weights that a thread may read for each activation that its rows read or write. With two threads on a
/// Xeon of 2023 both divisions were equally fast at 44 to 52 in int8 (MiniLM, 6 or 7 rows per thread) and at 70 to 82
/// in f32 (MiniLM, 14 rows per thread); 64 lies between. Not measured with more threads, which share the last-level
/// cache.
const MAX_BYTES_PER_FLOAT: usize = 64;

/// Fewest rows of a thread that are worth reading all weights.
const MIN_ROWS: usize = 4;

/// Most rows of a block. The block's activations stay in a core's second-level cache, and other threads can take over
/// blocks from one that is late.
const MAX_ROWS: usize = 64;

/// Calls `work`, which takes rows through `layers` and the operations between them: either for each of several blocks
/// of rows, each on one thread, or once for all rows, on all threads. It estimates which is faster.
///
/// `work` gets the resources to compute with, a scratch buffer, a range of rows, and these rows of each of `outs`,
/// which are (rows, any width).
pub(crate) fn parallel_row_blocks<'l, const N: usize>(
    exec: &ExecContext,
    rows: usize,
    layers: impl IntoIterator<Item = &'l Linear>,
    outs: [&mut [f32]; N],
    work: impl Fn(&ExecContext, &mut AlignedFloats, Range<usize>, [&mut [f32]; N]) + Sync,
) {
    let whole_rows = |out: &&mut [f32]| out.len().is_multiple_of(rows.max(1));
    assert!(outs.iter().all(whole_rows), "outputs of {rows} rows");
    let (cpu, memory, interrupt) = (exec.cpu, &exec.memory, &exec.interrupt);
    let block_rows = match exec.team.count() {
        1 => rows,
        threads => rows_per_block(rows, threads, layers),
    };
    if block_rows == rows {
        work(exec, &mut memory.scratch.take(), 0..rows, outs);
        return;
    }
    let chunks = outs.map(|out| OutputChunks::uniform(out.len() / rows * block_rows, out));
    let blocks = rows.div_ceil(block_rows);
    for_each_chunk(exec, blocks, chunks, |buffer, block, outs| {
        let first = block * block_rows;
        let rows = first..(first + block_rows).min(rows);
        let exec = ExecContext {
            interrupt: interrupt.clone(),
            ..ExecContext::single_threaded(cpu, memory)
        };
        work(&exec, buffer, rows, outs);
    });
}

/// Returns the number of rows per block; all rows if one block is faster.
fn rows_per_block<'l>(
    rows: usize,
    threads: usize,
    layers: impl IntoIterator<Item = &'l Linear>,
) -> usize {
    let (mut bytes, mut floats) = (0, 0);
    for layer in layers {
        bytes += layer.inputs() * layer.outputs() * layer.dtype().bytes_per_weight();
        floats += layer.inputs() + layer.outputs();
    }
    if bytes <= MAX_BYTES_PER_FLOAT * floats * (rows / threads) {
        even_blocks(rows, threads)
    } else {
        rows
    }
}

/// Returns the number of rows per block for even blocks of at most [`MAX_ROWS`], the same number of blocks for each
/// thread; all rows if that would be fewer than [`MIN_ROWS`] per thread.
fn even_blocks(rows: usize, threads: usize) -> usize {
    if rows / threads < MIN_ROWS {
        return rows;
    }
    rows.div_ceil(threads * rows.div_ceil(threads * MAX_ROWS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Cpu, Threads};

    #[test]
    fn each_row_is_computed_once_with_its_own_outputs() {
        for threads in [1, 2, 3] {
            let exec = ExecContext::new(Cpu::detect(), &Threads::new(threads).unwrap());
            for rows in (0..70).chain([200, 513]) {
                let (mut one, mut three) = (vec![0.0; rows], vec![0.0; 3 * rows]);
                parallel_row_blocks(
                    &exec,
                    rows,
                    [],
                    [&mut one, &mut three],
                    |_, _, rows, [one, three]| {
                        assert_eq!((one.len(), three.len()), (rows.len(), 3 * rows.len()));
                        for (row, (one, three)) in
                            rows.zip(one.iter_mut().zip(three.chunks_exact_mut(3)))
                        {
                            *one += row as f32;
                            three.iter_mut().for_each(|x| *x += row as f32);
                        }
                    },
                );
                assert!(one.iter().enumerate().all(|(row, &x)| x == row as f32));
                let mut threes = three.iter().enumerate();
                assert!(threes.all(|(at, &x)| x == (at / 3) as f32));
            }
        }
    }

    #[test]
    fn blocks_are_even_and_neither_too_small_nor_too_large() {
        assert_eq!([1, 3, 7].map(|rows| even_blocks(rows, 2)), [1, 3, 7]);
        assert_eq!(
            [8, 9, 32, 33, 128].map(|rows| even_blocks(rows, 2)),
            [4, 5, 16, 17, 64]
        );
        assert_eq!([129, 512].map(|rows| even_blocks(rows, 2)), [33, 64]);
        assert_eq!(
            [12, 31, 32, 512].map(|rows| even_blocks(rows, 8)),
            [12, 31, 4, 64]
        );
    }
}
