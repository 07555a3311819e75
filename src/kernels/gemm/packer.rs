//! Packing of weights while they are read.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::dtype::Dtype;
use super::panels::PANEL;
use super::weights::{PackedWeights, Panels};
use crate::kernels::Threads;
use crate::kernels::memory::{Arena, WeightBuf};
use crate::kernels::threads::{Team, lock};

/// Greatest number of floats that are read at once, but at least one panel: 256 KB. They and the panels that they are
/// packed into stay in a core's second-level cache.
const READ_CHUNK: usize = 64 * 1024;

/// Packs weights while they are read. Each chunk is read into a small buffer and packed from there, so a matrix is
/// never in memory twice. All threads take part, so reading and packing overlap.
#[derive(Debug)]
pub(crate) struct Packer {
    team: Team,
    arena: Arena,
    /// Idle buffers. They are reused because touching fresh memory costs more than the work that is done in it.
    buffers: Mutex<Vec<Vec<f32>>>,
}

impl Packer {
    /// Creates a packer with one shared range of memory for `floats` floats of packed weights. Weights beyond these get
    /// memory of their own. The packer has helper threads only if `floats` is above 0.
    pub(crate) fn new(threads: &Threads, floats: usize) -> Self {
        Self {
            // If nothing is packed, as with a file that is used in place, helper threads would spin during the whole
            // load.
            team: if floats == 0 {
                Team::solo()
            } else {
                threads.team()
            },
            arena: Arena::new(floats),
            buffers: Mutex::default(),
        }
    }

    /// Packs a matrix, (n, k), whose rows `read` writes to a slice. The weights are f32 instead of int8 where k is too
    /// large for exact int8 sums.
    ///
    /// # Errors
    /// The error of `read` for the first rows that could not be read.
    pub(crate) fn rows<E: Send>(
        &self,
        dtype: Dtype,
        n: usize,
        k: usize,
        read: impl Fn(Range<usize>, &mut [f32]) -> Result<(), E> + Sync,
    ) -> Result<PackedWeights, E> {
        let mut packed = PackedWeights::zeros(&self.arena, dtype, n, k);
        if n * k == 0 {
            return Ok(packed);
        }
        let panels = n.div_ceil(PANEL);
        let max_panels = (READ_CHUNK / (PANEL * k)).max(1);
        // Every thread gets the same number of chunks.
        let tasks = panels
            .div_ceil(max_panels)
            .next_multiple_of(self.team.count())
            .min(panels);
        let panels_per_chunk = panels.div_ceil(tasks);
        let failed = FirstError::default();
        let buffers = &self.buffers;
        let groups = packed.groups(panels_per_chunk);
        self.team.for_each_part(tasks, groups, |index, group| {
            let first = index * panels_per_chunk * PANEL;
            let rows = first..n.min(first + panels_per_chunk * PANEL);
            let mut buffer = lock(buffers).pop().unwrap_or_default();
            let len = rows.len() * k;
            buffer.resize(buffer.len().max(len), 0.0);
            match read(rows, &mut buffer[..len]) {
                Ok(()) => group.fill(&buffer[..len], k),
                Err(error) => failed.record(index, error),
            }
            lock(buffers).push(buffer);
        });
        failed.into_result().map(|()| packed)
    }

    /// Reads `panels` panels of `floats` floats that are packed already. `read(first, slice)` must write consecutive
    /// panels, from panel `first` on.
    ///
    /// # Errors
    /// The error of `read` for the first panels that could not be read.
    pub(crate) fn panels<E: Send>(
        &self,
        panels: usize,
        floats: usize,
        read: impl Fn(usize, &mut [f32]) -> Result<(), E> + Sync,
    ) -> Result<WeightBuf, E> {
        let mut memory = self.arena.zeros(panels * floats);
        if memory.is_empty() {
            return Ok(memory);
        }
        // Reading touches fresh memory for the first time, which costs page faults: all threads should take part.
        let tasks = self.team.count().min(panels);
        let panels_per_chunk = panels.div_ceil(tasks);
        let failed = FirstError::default();
        let chunks = memory.chunks_mut(panels_per_chunk * floats);
        self.team.for_each_part(tasks, chunks, |index, panels| {
            if let Err(error) = read(index * panels_per_chunk, panels) {
                failed.record(index, error);
            }
        });
        failed.into_result().map(|()| memory)
    }

    /// Packs a matrix that is stored transposed, (k, n), as f32. `read` writes one row of `n` floats.
    ///
    /// # Errors
    /// The error of `read`.
    pub(crate) fn columns<E>(
        &self,
        n: usize,
        k: usize,
        read: impl Fn(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<PackedWeights, E> {
        let mut panels = self.arena.zeros(n.div_ceil(PANEL) * PANEL * k);
        let mut row = vec![0.0; n];
        for step in 0..k {
            read(step, &mut row)?;
            let panels = panels.chunks_exact_mut(PANEL * k);
            for (panel, part) in panels.zip(row.chunks(PANEL)) {
                panel[step * PANEL..][..part.len()].copy_from_slice(part);
            }
        }
        Ok(PackedWeights::from_panels(n, k, Panels::F32(panels)).expect("panels of (n, k)"))
    }
}

/// Collects the errors of tasks, which may fail in any order, and keeps that of the first task. So the error is the
/// same at any number of threads.
struct FirstError<E>(Mutex<Option<(usize, E)>>);

impl<E> Default for FirstError<E> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<E> FirstError<E> {
    /// Records that `task` has failed with `error`.
    fn record(&self, task: usize, error: E) {
        let mut first = lock(&self.0);
        if first.as_ref().is_none_or(|(earliest, _)| task < *earliest) {
            *first = Some((task, error));
        }
    }

    /// Returns the error of the first task that has failed, if one has.
    fn into_result(self) -> Result<(), E> {
        let first = self.0.into_inner();
        match first.unwrap_or_else(PoisonError::into_inner) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::gemm::tests::{DTYPES, bits, numbers};

    /// Sizes from a chunk of a single panel to matrices of many chunks, with numbers of rows that the numbers of
    /// threads do not divide.
    const SIZES: [(usize, usize); 6] = [(0, 5), (5, 0), (1, 7), (100, 3), (1001, 129), (40, 5000)];

    fn packers() -> impl Iterator<Item = Packer> {
        let of = |threads| {
            [0, 1, 1 << 20].map(|floats| Packer::new(&Threads::new(threads).unwrap(), floats))
        };
        [1, 2, 3, 7].into_iter().flat_map(of)
    }

    #[test]
    fn packing_while_reading_equals_packing() {
        for (n, k) in SIZES {
            let matrix = numbers(n * k, 16);
            for dtype in DTYPES {
                let expected = PackedWeights::pack(dtype, &matrix, n, k);
                for packer in packers() {
                    let packed = packer.rows(dtype, n, k, |rows, out| {
                        out.copy_from_slice(&matrix[rows.start * k..rows.end * k]);
                        Ok::<(), ()>(())
                    });
                    assert!(bits(&packed.unwrap()) == bits(&expected), "{n} {k} {dtype}");
                }
            }
        }
    }

    #[test]
    fn columns_and_packed_panels_give_the_same_panels() {
        for (n, k) in SIZES {
            let matrix = numbers(n * k, 17);
            let expected = bits(&PackedWeights::new(&matrix, n, k));
            for packer in packers() {
                let transposed = packer.columns(n, k, |step, out| {
                    for (row, x) in out.iter_mut().enumerate() {
                        *x = matrix[row * k + step];
                    }
                    Ok::<(), ()>(())
                });
                assert!(bits(&transposed.unwrap()) == expected, "{n} {k}");
                let taken = packer.panels(n.div_ceil(PANEL), PANEL * k, |first, out| {
                    let bytes: &mut [u8] = bytemuck::cast_slice_mut(out);
                    bytes.copy_from_slice(&expected[first * PANEL * k * 4..][..bytes.len()]);
                    Ok::<(), ()>(())
                });
                let taken = PackedWeights::from_panels(n, k, Panels::F32(taken.unwrap())).unwrap();
                assert!(bits(&taken) == expected, "{n} {k}");
            }
        }
    }

    #[test]
    fn the_first_error_is_given_at_any_number_of_threads() {
        for threads in [1, 2, 5] {
            let threads = Threads::new(threads).unwrap();
            let packer = Packer::new(&threads, 1);
            let error = packer
                .rows(Dtype::F32, 10_000, 100, |rows, _| match rows.start {
                    _ if rows.contains(&7000) => Err("first"),
                    start if start > 7000 => Err("later"),
                    _ => Ok(()),
                })
                .unwrap_err();
            assert_eq!(error, "first");
        }
    }
}
