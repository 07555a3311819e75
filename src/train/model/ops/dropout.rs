//! Dropout (Srivastava et al. 2014): some values become zero, the others are scaled so that the mean stays.
//!
//! The mask is a function of seed, step, site, row and column. No random numbers are drawn in sequence, so a run repeats bit
//! for bit at any number of threads, and a backward pass finds the mask of its forward pass without keeping it.

use super::ROWS_PER_TASK;
use crate::kernels::ExecContext;
use crate::kernels::output::{OutputChunks, for_each_chunk};
use crate::kernels::simd::{Kernel, Simd};
use crate::train::random::mix;

/// Dropout rates of a training step, by kind of site.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Dropout {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    /// Fraction of the values dropped from hidden states between layers.
    pub(crate) hidden: f32,
    /// Fraction of the attention probabilities dropped.
    pub(crate) attention: f32,
    /// Fraction of the values dropped before a head's last layer.
    pub(crate) head: f32,
}

impl Dropout {
    /// Dropout rates of zero.
    pub(crate) const NONE: Self = Self {
        seed: 0,
        step: 0,
        hidden: 0.0,
        attention: 0.0,
        head: 0.0,
    };

    /// Returns the mask of one site in the network; each site has a number of its own.
    pub(crate) fn mask(&self, site: u64, rate: f32) -> Mask {
        let rate = f64::from(rate).clamp(0.0, 1.0);
        let dropped = (rate * f64::from(u32::MAX)).round();
        Mask {
            key: mix(mix(mix(self.seed) ^ self.step) ^ site),
            dropped: dropped as u32,
            scale: if dropped < f64::from(u32::MAX) {
                (1.0 / (1.0 - rate)) as f32
            } else {
                0.0
            },
        }
    }
}

/// The dropout mask of one site in one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask {
    key: u64,
    /// Dropout rate in units of 2^-32.
    dropped: u32,
    /// Factor of the values that are kept.
    scale: f32,
}

/// A row of a dropout mask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaskRow {
    keys: (u32, u32),
    dropped: u32,
    scale: f32,
}

impl Mask {
    /// Returns one row of the mask.
    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> MaskRow {
        let key = mix(self.key ^ row as u64);
        MaskRow {
            keys: (key as u32, (key >> 32) as u32),
            dropped: self.dropped,
            scale: self.scale,
        }
    }
}

impl MaskRow {
    /// Returns the factor of the value in a column: zero or the scale; one where nothing is dropped.
    #[inline(always)]
    pub(crate) fn factor(self, column: usize) -> f32 {
        // Two rounds of multiplying and folding, each with a key. 32 bits vectorise on every instruction set.
        let mut hash = (column as u32).wrapping_add(self.keys.0);
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x7FEB_352D);
        hash = (hash ^ (hash >> 15) ^ self.keys.1).wrapping_mul(0x846C_A68B);
        hash ^= hash >> 16;
        if hash < self.dropped { 0.0 } else { self.scale }
    }
}

/// Multiplies each value of `rows`, (rows, width), by its factor: the forward pass, and on gradients the backward pass.
pub(crate) fn apply(exec: &ExecContext, mask: Mask, width: usize, rows: &mut [f32]) {
    if mask.dropped == 0 {
        return;
    }
    let tasks = rows.len().div_ceil(ROWS_PER_TASK * width);
    let outs = [OutputChunks::uniform(ROWS_PER_TASK * width, rows)];
    let cpu = exec.cpu;
    for_each_chunk(exec, tasks, outs, |_, task, [rows]| {
        cpu.run(ApplyDropout {
            mask,
            first: task * ROWS_PER_TASK,
            width,
            rows,
        });
    });
}

/// Writes to `out` the values of `rows`, each multiplied by its factor.
pub(crate) fn copy(exec: &ExecContext, mask: Mask, width: usize, rows: &[f32], out: &mut [f32]) {
    let block = ROWS_PER_TASK * width;
    let tasks = rows.len().div_ceil(block);
    let cpu = exec.cpu;
    for_each_chunk(
        exec,
        tasks,
        [OutputChunks::uniform(block, out)],
        |_, task, [out]| {
            out.copy_from_slice(&rows[task * block..][..out.len()]);
            cpu.run(ApplyDropout {
                mask,
                first: task * ROWS_PER_TASK,
                width,
                rows: out,
            });
        },
    );
}

struct ApplyDropout<'a> {
    mask: Mask,
    first: usize,
    width: usize,
    rows: &'a mut [f32],
}

impl Kernel for ApplyDropout<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (row, values) in (self.first..).zip(self.rows.chunks_exact_mut(self.width)) {
            let mask = self.mask.row(row);
            for (column, x) in values.iter_mut().enumerate() {
                *x *= mask.factor(column);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Cpu, Threads};

    fn dropout(seed: u64, step: u64) -> Dropout {
        Dropout {
            seed,
            step,
            ..Dropout::NONE
        }
    }

    fn factors(mask: Mask, rows: usize, width: usize) -> Vec<f32> {
        let columns = |row| (0..width).map(move |column| mask.row(row).factor(column));
        (0..rows).flat_map(columns).collect()
    }

    #[test]
    fn the_share_that_was_asked_for_is_dropped_and_the_mean_stays() {
        for rate in [0.0, 0.1, 0.5, 1.0] {
            let all = factors(dropout(1, 2).mask(3, rate), 400, 384);
            let zeros = all.iter().filter(|&&x| x == 0.0).count() as f32;
            let share = zeros / all.len() as f32;
            assert!((share - rate).abs() < 0.004, "{rate}: {share}");
            let kept: Vec<f32> = all.into_iter().filter(|&x| x != 0.0).collect();
            assert!(kept.iter().all(|x| (x * (1.0 - rate) - 1.0).abs() < 1e-6));
        }
    }

    #[test]
    fn every_part_of_the_key_counts_and_neighbours_are_independent() {
        let mask = |seed, step, site| factors(dropout(seed, step).mask(site, 0.5), 64, 256);
        let first = mask(1, 1, 1);
        assert_eq!(first, mask(1, 1, 1));
        let shifted = |by: usize| first[by..].iter().chain(&first[..by]).copied().collect();
        let others = [
            mask(2, 1, 1),
            mask(1, 2, 1),
            mask(1, 1, 2),
            shifted(1),
            shifted(256),
        ];
        for other in others {
            let same = first.iter().zip(&other).filter(|(a, b)| a == b).count() as f32;
            let share = same / first.len() as f32;
            assert!((share - 0.5).abs() < 0.02, "{share}");
        }
    }

    #[test]
    fn the_mask_is_the_same_on_every_level_at_any_number_of_threads() {
        let (rows, width) = (37, 19);
        let mask = dropout(7, 8).mask(9, 0.3);
        let expected = factors(mask, rows, width);
        for cpu in Cpu::supported() {
            for threads in [1, 2] {
                let exec = ExecContext::new(cpu, &Threads::new(threads).unwrap());
                let mut ones = vec![1.0; rows * width];
                apply(&exec, mask, width, &mut ones);
                assert_eq!(ones, expected);
                let mut out = vec![7.0; rows * width];
                copy(&exec, mask, width, &vec![1.0; rows * width], &mut out);
                assert_eq!(out, expected);
            }
        }
    }
}
