//! Rows of activations as bytes, each row by a scale of its own.
//!
//! A row's numbers become q = round(x / scale) + zero, from -127 to 127, where scale and zero are made so that the row's
//! least and greatest number, and 0, fit: asymmetric, since what comes out of GELU is hardly ever negative. No row knows
//! of any other, so its products are the same bits in any company. Only operations that are rounded the same everywhere
//! are used, so a row becomes the same bytes on every processor.

use super::tile::runs;
use crate::kernels::Compute;
use crate::kernels::aligned::AlignedFloats;
use crate::kernels::simd::{Kernel, LANES, Simd};

/// 1.5 * 2^23: added to a small float, it leaves its nearest integer, half to even, in the lowest bits of the sum.
pub(in crate::kernels) const ROUND: f32 = 12_582_912.0;
/// A row, or a channel's weights, whose numbers span less than this are taken for zeros: one divided by it is finite.
pub(in crate::kernels) const LEAST_SPAN: f32 = 1e-30;
/// Steps from a row's least number to its greatest: one fewer than there are from -127 to 127, so that wherever the
/// rounded zero falls nothing is ever clipped.
const STEPS: f32 = 253.0;
/// Bytes between rows' starts are a multiple of this, a cache line.
const ROW_GRAIN: usize = 64;
/// Numbers that are worth another thread's while.
const NUMBERS_PER_TASK: usize = 16 * 1024;

/// How a row's bytes are read: a byte b stands for (b - zero) * scale.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct RowScale {
    /// NaN where the row has a number that is not finite, so that all that comes of it is NaN.
    pub(super) scale: f32,
    /// The byte of 0, which counts from [`Simd::INT8_OFFSET`] as all do.
    pub(super) zero: i32,
}

/// Rows of bytes, in memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct QuantizedRows {
    /// (rows, stride) bytes.
    memory: AlignedFloats,
    scales: Vec<RowScale>,
    stride: usize,
}

impl QuantizedRows {
    /// Quantises `x`, rows of `k` numbers, as bytes for the products of `compute`'s level.
    pub(super) fn fill(&mut self, compute: &Compute, x: &[f32], k: usize) {
        let rows = x.len() / k;
        self.stride = k.next_multiple_of(ROW_GRAIN);
        self.scales.resize(rows, RowScale::default());
        let bytes = self.memory.at_least(rows * self.stride / size_of::<f32>());
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(bytes);
        let tasks = match compute.team.count() {
            1 => 1,
            threads => (x.len() / NUMBERS_PER_TASK).clamp(1, threads),
        };
        let per_task = rows.div_ceil(tasks).max(1);
        let parts = x.chunks(per_task * k).zip(
            bytes
                .chunks_mut(per_task * self.stride)
                .zip(self.scales.chunks_mut(per_task)),
        );
        let (stride, cpu) = (self.stride, compute.cpu);
        compute.team.each(tasks, parts, |_, (x, (bytes, scales))| {
            cpu.run_int8(Quantize {
                x,
                k,
                bytes,
                stride,
                scales,
            });
        });
    }

    /// The bytes of `R` rows from `first` on, four a step,
    #[inline(always)]
    pub(super) fn rows<const R: usize>(&self, first: usize, steps: usize) -> [&[[u8; 4]]; R] {
        let fours: &[[u8; 4]] = bytemuck::cast_slice(&self.memory);
        runs(fours, first, self.stride / 4, steps)
    }

    /// and how they are read.
    #[inline(always)]
    pub(super) fn scales<const R: usize>(&self, first: usize) -> &[RowScale; R] {
        let scales = self.scales[first..].first_chunk();
        scales.expect("as many scales as rows")
    }
}

/// Some rows, on one thread.
struct Quantize<'a> {
    /// Rows of `k` numbers.
    x: &'a [f32],
    k: usize,
    /// Rows of `stride` bytes.
    bytes: &'a mut [u8],
    stride: usize,
    scales: &'a mut [RowScale],
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.x.chunks_exact(self.k);
        let bytes = self.bytes.chunks_exact_mut(self.stride);
        for ((row, bytes), scale) in rows.zip(bytes).zip(self.scales) {
            *scale = quantize(s, row, bytes);
        }
    }
}

/// One row.
#[inline(always)]
fn quantize<S: Simd>(s: S, row: &[f32], bytes: &mut [u8]) -> RowScale {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let nothing = s.splat(0.0);
    // Several of each, since one would have to wait for itself.
    const CHAINS: usize = 4;
    let [mut least, mut greatest, mut poison] = [[nothing; CHAINS]; 3];
    let (fours, few) = blocks.as_chunks::<CHAINS>();
    for four in fours {
        for (at, block) in four.iter().enumerate() {
            let x = s.load(block);
            least[at] = s.min(least[at], x);
            greatest[at] = s.max(greatest[at], x);
            poison[at] = s.mul_add(x, nothing, poison[at]); // 0, but for what is not finite
        }
    }
    for block in few {
        let x = s.load(block);
        least[0] = s.min(least[0], x);
        greatest[0] = s.max(greatest[0], x);
        poison[0] = s.mul_add(x, nothing, poison[0]);
    }
    let x = s.load_some(rest, 0.0);
    let (mut least_of, mut greatest_of) = (s.min(nothing, x), s.max(nothing, x));
    let mut poison_of = s.mul(x, nothing);
    for at in 0..CHAINS {
        least_of = s.min(least_of, least[at]);
        greatest_of = s.max(greatest_of, greatest[at]);
        poison_of = s.add(poison_of, poison[at]);
    }

    let least = -s.largest(s.sub(nothing, least_of));
    let span = s.largest(greatest_of) - least;
    let factor = match span < LEAST_SPAN {
        true => 0.0,
        false => STEPS / span,
    };
    // The middle of the row is between -1 and 0, so both ends are within 127.
    let zero = (-0.5 * STEPS - least * factor + ROUND) - ROUND + S::INT8_OFFSET as f32;

    let (factor, shift) = (s.splat(factor), s.splat(ROUND + zero));
    let (whole, padding) = bytes.as_chunks_mut::<LANES>();
    for (block, bytes) in blocks.iter().zip(whole.iter_mut()) {
        s.store_low_bytes(s.add(s.mul(s.load(block), factor), shift), bytes);
    }
    // Zeros stand behind the row's end, where weights are zero as well.
    for (index, bytes) in (blocks.len()..).zip(&mut whole[blocks.len()..]) {
        let x = match index == blocks.len() {
            true => s.load_some(rest, 0.0),
            false => nothing,
        };
        s.store_low_bytes(s.add(s.mul(x, factor), shift), bytes);
    }
    debug_assert!(padding.is_empty());
    RowScale {
        scale: span / STEPS + s.sum(poison_of),
        zero: zero as i32,
    }
}
