//! Outputs that many tasks write at the same time: how they are divided, and the only proof that this is safe.

use std::marker::PhantomData;

use super::ExecContext;
use super::memory::AlignedFloats;

/// Slice of which tasks that run at the same time borrow disjoint parts.
///
/// A task's part may be strided (some columns of every row), which `split_at_mut` cannot express.
pub(crate) struct DisjointMut<'a> {
    start: *mut f32,
    len: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

#[allow(
    unsafe_code,
    reason = "a raw pointer is neither Send nor Sync by itself"
)]
// SAFETY: a `DisjointMut` is a `&mut [f32]` whose parts are borrowed through `slice_mut` and `tile_mut` alone. By their
// contract no two living borrows overlap, so no float is accessed by two threads at once. `f32` itself may be sent
// between threads.
unsafe impl Sync for DisjointMut<'_> {}

impl<'a> DisjointMut<'a> {
    /// Takes `out`, whose parts are then borrowed.
    pub(crate) fn new(out: &'a mut [f32]) -> Self {
        Self {
            start: out.as_mut_ptr(),
            len: out.len(),
            borrowed: PhantomData,
        }
    }

    /// Returns the number of floats.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Borrows the `len` floats from `start` on.
    ///
    /// # Safety
    /// As long as the slice lives, no other borrow that overlaps it may exist or be made.
    ///
    /// # Panics
    /// If the slice is not within the whole.
    #[allow(
        unsafe_code,
        clippy::mut_from_ref,
        reason = "the purpose of this type is to lend exclusive slices of a shared whole"
    )]
    #[inline(always)]
    pub(crate) unsafe fn slice_mut(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(
            start <= self.len && len <= self.len - start,
            "slice {start} + {len} of {}",
            self.len
        );
        // SAFETY: the assertion keeps the slice inside the borrowed whole, which lives for 'a and so at least as long
        // as `self`. The caller promises that nothing else borrows a part of it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// Borrows `R` rows of `P` x `L` floats. The first starts at `start`, each of the others `stride` floats after the
    /// one before. One check covers all of them.
    ///
    /// # Safety
    /// The contract of [`slice_mut`](Self::slice_mut), for each row.
    ///
    /// # Panics
    /// If a row is not within the whole, or rows overlap.
    #[allow(
        unsafe_code,
        clippy::mut_from_ref,
        reason = "the purpose of this type is to lend exclusive slices of a shared whole"
    )]
    #[inline(always)]
    pub(crate) unsafe fn tile_mut<const L: usize, const P: usize, const R: usize>(
        &self,
        start: usize,
        stride: usize,
    ) -> [&mut [[f32; L]; P]; R] {
        let last = stride.checked_mul(R - 1);
        let end = last.and_then(|last| last.checked_add(start)?.checked_add(P * L));
        assert!(
            end.is_some_and(|end| end <= self.len) && (R == 1 || P * L <= stride),
            "{R} slices of {P} x {L}, {stride} apart, from {start} on, of {}",
            self.len
        );
        // SAFETY: the assertion keeps all rows inside the borrowed whole, as in `slice_mut`, and apart from each other.
        // The caller promises that nothing else borrows a part of them.
        std::array::from_fn(|row| unsafe { &mut *self.start.add(start + row * stride).cast() })
    }
}

/// Output that is divided into one chunk for each task.
pub(crate) struct OutputChunks<'a> {
    out: DisjointMut<'a>,
    len: usize,
    split: Split<'a>,
}

/// Division of an output into chunks.
#[derive(Clone, Copy)]
enum Split<'a> {
    /// Task `i` writes `out[i * len..(i + 1) * len]` for the contained `len`. The last chunk may be shorter.
    Uniform(usize),
    /// Task `i` writes rows `starts[i]..starts[i + 1]`. Contains `starts` and the floats of a row.
    #[cfg_attr(not(feature = "train"), allow(dead_code, reason = "for training"))]
    BySequence(&'a [usize], usize),
}

impl<'a> OutputChunks<'a> {
    /// Gives each task `len` floats of `out`; the last chunk may be shorter.
    pub(crate) fn uniform(len: usize, out: &'a mut [f32]) -> Self {
        Self {
            len: out.len(),
            out: DisjointMut::new(out),
            split: Split::Uniform(len),
        }
    }

    /// Gives each task the rows of one sequence: task `i` writes rows `starts[i]..starts[i + 1]` of `out`.
    ///
    /// # Panics
    /// If sequences overlap, or `starts` is empty.
    #[cfg_attr(not(feature = "train"), allow(dead_code, reason = "for training"))]
    pub(crate) fn by_sequence(starts: &'a [usize], out: &'a mut [f32]) -> Self {
        assert!(starts.windows(2).all(|text| text[0] <= text[1]));
        let rows = starts[starts.len() - 1];
        let width = out.len() / rows.max(1);
        assert_eq!(out.len(), rows * width, "{rows} rows of {width}");
        Self {
            len: out.len(),
            out: DisjointMut::new(out),
            split: Split::BySequence(starts, width),
        }
    }

    /// Returns the start and the length of a task's chunk. Chunks of different tasks never overlap.
    fn bounds(&self, task: usize) -> (usize, usize) {
        match self.split {
            Split::Uniform(len) => {
                let start = task.saturating_mul(len).min(self.len);
                (start, len.min(self.len - start))
            }
            Split::BySequence(starts, width) => (
                starts[task] * width,
                (starts[task + 1] - starts[task]) * width,
            ),
        }
    }
}

/// Calls `work(buffer, task, chunks)` for each task below `tasks`, with the task's chunk of each output. A thread keeps
/// the buffer from one task to the next.
pub(crate) fn for_each_chunk<const N: usize>(
    exec: &ExecContext,
    tasks: usize,
    outs: [OutputChunks<'_>; N],
    work: impl Fn(&mut AlignedFloats, usize, [&mut [f32]; N]) + Sync,
) {
    let buffers = &exec.memory.scratch;
    exec.team.parallel_for(
        tasks,
        || buffers.take(),
        |buffer, task| {
            let chunks = std::array::from_fn(|at| {
                let output: &OutputChunks<'_> = &outs[at];
                let (start, len) = output.bounds(task);
                // SAFETY: `Team::parallel_for` runs each task once, and chunks of different tasks do not overlap.
                // Uniform chunks start at multiples of their length, or at the end, where they are empty. Those of
                // sequences start and end at neighbouring `starts`, which `by_sequence` has found to ascend. `outs`
                // belongs to this call, so nothing else borrows from them, and `work` cannot keep the chunks.
                #[allow(unsafe_code, reason = "tasks write disjoint chunks")]
                unsafe {
                    output.out.slice_mut(start, len)
                }
            });
            work(buffer, task, chunks);
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Cpu, Threads};

    #[test]
    fn every_float_is_in_one_chunk() {
        for threads in [1, 2, 3] {
            let threads = Threads::new(threads).unwrap();
            let exec = ExecContext::new(Cpu::detect(), &threads);
            let starts = [0, 3, 3, 7, 8];
            let (mut texts, mut even) = (vec![0.0; 16], vec![0.0; 11]);
            let outs = [
                OutputChunks::by_sequence(&starts, &mut texts),
                OutputChunks::uniform(3, &mut even),
            ];
            for_each_chunk(&exec, 4, outs, |_, task, [text, some]| {
                text.iter_mut().for_each(|x| *x += 1.0 + task as f32);
                some.iter_mut().for_each(|x| *x += 1.0 + task as f32);
            });
            let expected = |ends: &[usize]| -> Vec<f32> {
                (0..ends[3])
                    .map(|at| 1.0 + ends.iter().filter(|&&end| end <= at).count() as f32)
                    .collect()
            };
            assert_eq!(texts, expected(&[6, 6, 14, 16]));
            assert_eq!(even, expected(&[3, 6, 9, 11]));
        }
    }

    #[test]
    fn chunks_whose_start_overflows_are_empty() {
        let mut out = [0.0; 4];
        let chunks = OutputChunks::uniform(1 << (usize::BITS - 1), &mut out);
        let bounds = [0, 1, 2, 3].map(|task| chunks.bounds(task));
        assert_eq!(bounds, [(0, 4), (4, 0), (4, 0), (4, 0)]);
    }

    #[test]
    #[should_panic(expected = "text[0] <= text[1]")]
    fn sequences_that_overlap_are_refused() {
        OutputChunks::by_sequence(&[0, 3, 2, 4], &mut [0.0; 4]);
    }
}
