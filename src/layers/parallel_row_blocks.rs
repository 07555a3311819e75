//! Chains of layers of which each row's outcome depends on that row alone, even_blocks among threads by rows.
//!
//! The other way is to divide each layer's outputs, so that each weight is read by one thread alone; but then what one
//! layer leaves in a core's caches the next one reads on all cores, and threads wait for each other after each step. Here
//! a thread takes its rows through the whole_rows chain, and the next chain's rows are again those that it has at hand.

use std::ops::Range;

use super::linear::Linear;
use crate::kernels::ExecContext;
use crate::kernels::memory::AlignedFloats;
use crate::kernels::output::{OutputChunks, for_each_chunk};

/// Bytes of weights that a thread may read for each number that goes into or comes out of a layer in its rows. Of two
/// threads on a Xeon of 2023 the two ways were level at 44 to 52 in int8 (MiniLM: 6 or 7 rows each) and at 70 to 82 in f32
/// (MiniLM: 14), so this is between. How it is with more threads, which share the last cache, was not measured.
const MAX_BYTES_PER_FLOAT: usize = 64;

/// Rows that are worth reading all weights.
const MIN_ROWS: usize = 4;

/// Rows of a block at most, so that what it leaves from layer to layer stays in a core's second-level cache, and of many
/// rows a thread that is late leaves some to the others.
const MAX_ROWS: usize = 64;

/// Takes `rows` rows through `layers` and whatever lies between them. `work` gets what to compute with, a buffer, a range of
/// rows, and the same rows of each of `outs`, which are (rows, any width).
///
/// `work` is called either for several blocks of rows, each on one thread, or once for all rows on all threads, whichever
/// takes less time.
pub(crate) fn parallel_row_blocks<'l, const N: usize>(
    exec: &ExecContext,
    rows: usize,
    layers: impl IntoIterator<Item = &'l Linear>,
    outs: [&mut [f32]; N],
    work: impl Fn(&ExecContext, &mut AlignedFloats, Range<usize>, [&mut [f32]; N]) + Sync,
) {
    let whole_rows = |out: &&mut [f32]| out.len().is_multiple_of(rows.max(1));
    assert!(outs.iter().all(whole_rows), "outputs of {rows} rows");
    let (cpu, memory) = (exec.cpu, &exec.memory);
    let block_rows = match exec.team.count() {
        1 => rows,
        threads => rows_per_block(rows, threads, layers),
    };
    if block_rows == rows {
        work(exec, &mut memory.buffers.take(), 0..rows, outs);
        return;
    }
    let chunks = outs.map(|out| OutputChunks::uniform(out.len() / rows * block_rows, out));
    let blocks = rows.div_ceil(block_rows);
    for_each_chunk(exec, blocks, chunks, |buffer, block, outs| {
        let first = block * block_rows;
        let rows = first..(first + block_rows).min(rows);
        work(
            &ExecContext::single_threaded(cpu, memory),
            buffer,
            rows,
            outs,
        );
    });
}

/// Rows of a block; all rows if one block is faster.
fn rows_per_block<'l>(
    rows: usize,
    threads: usize,
    layers: impl IntoIterator<Item = &'l Linear>,
) -> usize {
    let (mut bytes, mut floats) = (0, 0);
    for layer in layers {
        bytes += layer.inputs() * layer.outputs() * layer.dtype().bytes_of_weight();
        floats += layer.inputs() + layer.outputs();
    }
    if bytes <= MAX_BYTES_PER_FLOAT * floats * (rows / threads) {
        even_blocks(rows, threads)
    } else {
        rows
    }
}

/// Rows of even blocks of at most [`MAX_ROWS`], as many for each thread; all rows if there are too few for each thread.
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
