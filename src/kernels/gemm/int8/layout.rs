//! Layout of int8 weights: panels of `[n / 16][k / 4][16][4]`.

use super::activations::MIN_RANGE;
use crate::kernels::Cpu;
use crate::kernels::gemm::panels::PANEL;
use crate::kernels::memory::{Arena, WeightBuf};
use crate::kernels::simd::{Kernel, LANES, ROUND, Simd};

/// Bytes of one k-step of a panel: four for each of its channels.
pub(super) const STEP: usize = 4 * PANEL;
/// Greatest number of input channels whose sums always fit an i32: each channel adds at most 254 * 127.
pub(crate) const MAX_K: usize = 1 << 16;
/// Quantised magnitude of a channel's largest weight.
const I8_MAX: f32 = 127.0;

/// Weights quantised to int8, in panels of 16 output channels.
#[derive(Debug)]
pub(crate) struct Int8Panels {
    /// `[n / 16][k / 4][16][4]` bytes, zero past n and past k.
    memory: WeightBuf,
    /// Scale of each output channel.
    pub(super) scales: Vec<[f32; PANEL]>,
    /// Sum of the int8 weights of each output channel.
    pub(super) sums: Vec<[i32; PANEL]>,
    /// Factor of each input channel, (k). Activations are multiplied by it before they are quantised; the weights have
    /// been divided by it.
    input_factors: Option<Box<[f32]>>,
}

/// Returns the number of k-steps: four input channels each, of which the last may have fewer.
pub(super) fn steps(k: usize) -> usize {
    k.div_ceil(4)
}

impl Int8Panels {
    /// Creates panels of zeros for (n, k) weights.
    pub(in crate::kernels::gemm) fn zeros(arena: &Arena, n: usize, k: usize) -> Self {
        assert!(k <= MAX_K, "{k} input channels");
        let panels = n.div_ceil(PANEL);
        Self {
            memory: arena.zeros(panels * Self::panel_bytes(k) / size_of::<f32>()),
            scales: vec![[0.0; PANEL]; panels],
            sums: vec![[0; PANEL]; panels],
            input_factors: None,
        }
    }

    /// Creates panels from weights that are packed already and the scales and sums of their channels; `None` if the
    /// numbers of scales and sums are not the same multiple of 16.
    pub(crate) fn new(memory: WeightBuf, scales: &[f32], sums: &[i32]) -> Option<Self> {
        let ((scales, more_scales), (sums, more_sums)) = (scales.as_chunks(), sums.as_chunks());
        let even = more_scales.is_empty() && more_sums.is_empty() && scales.len() == sums.len();
        even.then(|| Self {
            memory,
            scales: scales.to_vec(),
            sums: sums.to_vec(),
            input_factors: None,
        })
    }

    /// Sets the factors by which input channels are multiplied before they are quantised, (k).
    pub(in crate::kernels::gemm) fn set_input_factors(&mut self, factors: Vec<f32>) {
        self.input_factors = Some(factors.into_boxed_slice());
    }

    /// Returns the factors by which input channels are multiplied before they are quantised, (k); `None` if they are
    /// quantised unchanged.
    pub(crate) fn input_factors(&self) -> Option<&[f32]> {
        self.input_factors.as_deref()
    }

    /// Returns whether these are panels of an (n, k) matrix.
    pub(in crate::kernels::gemm) fn matches_shape(&self, n: usize, k: usize) -> bool {
        let panels = n.div_ceil(PANEL);
        let bytes = panels.checked_mul(Self::panel_bytes(k));
        k <= MAX_K && self.scales.len() == panels && bytes == Some(self.bytes().len())
    }

    /// Returns the bytes of a panel of `k` input channels.
    pub(crate) fn panel_bytes(k: usize) -> usize {
        steps(k) * STEP
    }

    /// Returns the scale of each output channel, padded to whole panels.
    pub(crate) fn scales(&self) -> &[f32] {
        self.scales.as_flattened()
    }

    /// Returns the sum of the int8 weights of each output channel, padded to whole panels.
    pub(crate) fn channel_sums(&self) -> &[i32] {
        self.sums.as_flattened()
    }

    /// Returns whether the stored sum of each channel equals the sum of its weights. Reads all weights.
    pub(crate) fn channel_sums_hold(&self) -> bool {
        let of_panel = self.bytes().len() / self.sums.len().max(1);
        let mut panels = self.bytes().chunks_exact(of_panel.max(1));
        self.sums.iter().all(|sums| {
            let mut found = [0; PANEL];
            for step in panels.next().unwrap_or_default().as_chunks::<STEP>().0 {
                for (found, four) in found.iter_mut().zip(step.as_chunks::<4>().0) {
                    *found += four.iter().map(|&weight| i32::from(weight)).sum::<i32>();
                }
            }
            found == *sums
        })
    }

    /// Returns all weights, `[n / 16][k / 4][16][4]`.
    pub(crate) fn bytes(&self) -> &[i8] {
        bytemuck::cast_slice(&self.memory)
    }

    /// Returns the panels in groups of `panels`, to be filled. The last group may have fewer.
    pub(in crate::kernels::gemm) fn groups(
        &mut self,
        panels: usize,
        k: usize,
    ) -> impl Iterator<Item = Int8Group<'_>> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.memory);
        let bytes = bytes.chunks_mut(panels * Self::panel_bytes(k));
        let scales = self.scales.chunks_mut(panels);
        let groups = bytes.zip(scales.zip(self.sums.chunks_mut(panels)));
        groups.map(|(bytes, (scales, sums))| Int8Group {
            bytes,
            scales,
            sums,
        })
    }
}

/// Consecutive panels of a matrix that are still to be filled.
#[derive(Debug)]
pub(in crate::kernels::gemm) struct Int8Group<'a> {
    bytes: &'a mut [u8],
    scales: &'a mut [[f32; PANEL]],
    sums: &'a mut [[i32; PANEL]],
}

impl Int8Group<'_> {
    /// Quantises rows of `k` weights. There may be at most as many rows as the panels have channels.
    pub(in crate::kernels::gemm) fn fill(self, rows: &[f32], k: usize) {
        // Any level will do: all compute the same bytes.
        Cpu::detect().run(QuantizeRows {
            rows,
            k,
            group: self,
        });
    }
}

/// Quantises rows of `k` weights into the panels of a group.
struct QuantizeRows<'a> {
    rows: &'a [f32],
    k: usize,
    group: Int8Group<'a>,
}

impl Kernel for QuantizeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { rows, k, group } = self;
        let panels = group.bytes.chunks_exact_mut(steps(k) * STEP);
        let channels = group.scales.iter_mut().zip(group.sums.iter_mut());
        for ((rows, panel), (scales, sums)) in rows.chunks(PANEL * k).zip(panels).zip(channels) {
            let panel = panel.as_chunks_mut::<STEP>().0;
            for (channel, row) in rows.chunks_exact(k).enumerate() {
                (scales[channel], sums[channel]) = quantize_channel(s, row, channel, panel);
            }
        }
    }
}

/// Quantises the weights of one output channel to lane `channel` of `panel`. Returns its scale and the sum of its int8
/// weights.
#[inline(always)]
fn quantize_channel<S: Simd>(
    s: S,
    row: &[f32],
    channel: usize,
    panel: &mut [[u8; STEP]],
) -> (f32, i32) {
    let mut lowest = s.splat(0.0);
    for some in row.chunks(LANES) {
        lowest = s.min(lowest, s.neg_abs(s.load_partial(some, 0.0)));
    }
    let greatest = s.reduce_max(s.sub(s.splat(0.0), lowest));
    if greatest < MIN_RANGE {
        return (0.0, 0);
    }
    let (factor, round) = (s.splat(I8_MAX / greatest), s.splat(ROUND));
    // Integers in f32, exact: 127 * MAX_K is below 2^24.
    let mut sum = s.splat(0.0);
    for (some, steps) in row.chunks(LANES).zip(panel.chunks_mut(LANES / 4)) {
        let shifted = s.add(s.mul(s.load_partial(some, 0.0), factor), round);
        sum = s.add(sum, s.sub(shifted, round));
        let mut bytes = [0; LANES];
        s.store_u8_truncating(shifted, &mut bytes);
        for (step, four) in steps.iter_mut().zip(bytes.as_chunks::<4>().0) {
            step[4 * channel..4 * channel + 4].copy_from_slice(four);
        }
    }
    // A weight that is NaN makes the scale NaN, and with it all products of the channel.
    let poison = s.reduce_add(s.sub(sum, sum));
    (greatest / I8_MAX + poison, s.reduce_add(sum) as i32)
}
