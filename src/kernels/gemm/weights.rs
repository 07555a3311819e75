//! Packed weights: a checkpoint's rows in the panels that the micro-kernels read.

use super::bf16;
use super::dtype::Dtype;
use super::int8::{Int8Group, Int8Panels, MAX_K};
use super::panels::{PANEL, pack};
use crate::kernels::Cpu;
use crate::kernels::memory::{Arena, WeightBuf};

/// Weights of a dense layer, (n, k), in panels of 16 output channels.
#[derive(Debug)]
pub(crate) struct PackedWeights {
    n: usize,
    k: usize,
    panels: Panels,
}

/// Panels of a matrix, by number type.
#[derive(Debug)]
pub(crate) enum Panels {
    /// Panels of f32, `[n / 16][k][16]`. Channels past n are zero.
    F32(WeightBuf),
    /// Panels of bf16, `[n / 16][k / 2][16][2]`, two values in the memory of one float. Channels past n, and the second
    /// half of a last k-step past k, are zero.
    Bf16(WeightBuf),
    /// Panels of int8, with the scales of their channels.
    Int8(Box<Int8Panels>),
}

impl PackedWeights {
    /// Packs row-major weights, (n, k), as f32.
    pub(crate) fn new(weights: &[f32], n: usize, k: usize) -> Self {
        Self::pack(Dtype::F32, weights, n, k)
    }

    /// Packs row-major weights, (n, k), as `dtype`.
    ///
    /// # Panics
    /// If there are not n * k weights.
    pub(crate) fn pack(dtype: Dtype, weights: &[f32], n: usize, k: usize) -> Self {
        assert_eq!(weights.len(), n * k, "weights of {n} x {k}");
        let mut packed = Self::zeros(&Arena::default(), dtype, n, k);
        for group in packed.groups(n.div_ceil(PANEL).max(1)) {
            group.fill(weights, k);
        }
        packed
    }

    /// Creates panels of zeros, to be filled through [`groups`](Self::groups). They are f32 instead of int8 where k is
    /// 0 or above [`MAX_K`], whose sums may overflow.
    pub(super) fn zeros(arena: &Arena, dtype: Dtype, n: usize, k: usize) -> Self {
        let panels = match dtype {
            Dtype::Int8 if (1..=MAX_K).contains(&k) => {
                Panels::Int8(Box::new(Int8Panels::zeros(arena, n, k)))
            }
            Dtype::Bf16 => Panels::Bf16(arena.zeros(n.div_ceil(PANEL) * PANEL * bf16::steps(k))),
            _ => Panels::F32(arena.zeros(n.div_ceil(PANEL) * PANEL * k)),
        };
        Self { n, k, panels }
    }

    /// Returns the panels in groups of `panels`, to be filled. The last group may have fewer. There are no groups if
    /// the matrix is empty.
    pub(super) fn groups(
        &mut self,
        panels: usize,
    ) -> Box<dyn Iterator<Item = Group<'_>> + Send + '_> {
        let (k, steps) = (self.k, bf16::steps(self.k));
        match &mut self.panels {
            _ if self.n * k == 0 => Box::new(std::iter::empty()),
            Panels::F32(all) => Box::new(all.chunks_mut(panels * PANEL * k).map(Group::F32)),
            Panels::Bf16(all) => Box::new(all.chunks_mut(panels * PANEL * steps).map(Group::Bf16)),
            Panels::Int8(all) => Box::new(all.groups(panels, k).map(Group::Int8)),
        }
    }

    /// Returns the number of floats of the f32 panels of (n, k) weights; `None` if it overflows.
    pub(crate) fn packed_len(n: usize, k: usize) -> Option<usize> {
        n.checked_next_multiple_of(PANEL)?.checked_mul(k)
    }

    /// Returns the number of output channels.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// Returns the number of input channels.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// Creates weights of (n, k) from panels that are packed already; `None` if the panels do not have the size of such
    /// a matrix.
    pub(crate) fn from_panels(n: usize, k: usize, panels: Panels) -> Option<Self> {
        let fits = match &panels {
            Panels::F32(panels) => Self::packed_len(n, k) == Some(panels.len()),
            Panels::Bf16(panels) => Self::packed_len(n, bf16::steps(k)) == Some(panels.len()),
            Panels::Int8(panels) => panels.matches_shape(n, k),
        };
        fits.then_some(Self { n, k, panels })
    }

    /// Sets factors by which the input channels are multiplied before they are quantised. The weights must have been
    /// divided by the factors. Returns `None` if the weights are not int8 or there are not `k` factors.
    pub(crate) fn with_input_factors(mut self, factors: Vec<f32>) -> Option<Self> {
        match &mut self.panels {
            Panels::Int8(panels) if factors.len() == self.k => panels.set_input_factors(factors),
            _ => return None,
        }
        Some(self)
    }

    /// Returns the row-major weights, (n, k), as f32, with the rounding that products see.
    pub(crate) fn unpack(&self) -> Vec<f32> {
        let k = self.k;
        let mut rows = Vec::with_capacity(self.n * k);
        for channel in 0..self.n {
            let (panel, lane) = (channel / PANEL, channel % PANEL);
            match &self.panels {
                Panels::F32(floats) => {
                    let panel = &floats[panel * PANEL * k..][..PANEL * k];
                    rows.extend(panel.iter().skip(lane).step_by(PANEL));
                }
                Panels::Bf16(pairs) => {
                    let len = PANEL * bf16::steps(k);
                    let panel: &[[i16; 2]] = bytemuck::cast_slice(&pairs[panel * len..][..len]);
                    let weight = |at: usize| panel[at / 2 * PANEL + lane][at % 2];
                    rows.extend((0..k).map(|at| bf16::to_f32(weight(at))));
                }
                Panels::Int8(int8) => {
                    let scale = int8.scales()[channel];
                    let len = Int8Panels::panel_bytes(k);
                    let panel = &int8.bytes()[panel * len..][..len];
                    let weight = |at: usize| panel[(at / 4 * PANEL + lane) * 4 + at % 4];
                    let factor = |at: usize| int8.input_factors().map_or(1.0, |all| all[at]);
                    rows.extend((0..k).map(|at| f32::from(weight(at)) * scale * factor(at)));
                }
            }
        }
        rows
    }

    /// Returns the panels.
    pub(crate) fn panels(&self) -> &Panels {
        &self.panels
    }

    /// Returns the number type of the panels.
    pub(crate) fn dtype(&self) -> Dtype {
        match self.panels {
            Panels::F32(_) => Dtype::F32,
            Panels::Bf16(_) => Dtype::Bf16,
            Panels::Int8(_) => Dtype::Int8,
        }
    }
}

/// Consecutive panels of a matrix that are still to be filled.
pub(super) enum Group<'a> {
    F32(&'a mut [f32]),
    Bf16(&'a mut [f32]),
    Int8(Int8Group<'a>),
}

impl Group<'_> {
    /// Packs rows of `k` weights. There may be at most as many rows as the panels have channels.
    pub(super) fn fill(self, rows: &[f32], k: usize) {
        match self {
            Self::F32(panels) => pack(rows, k, k, panels),
            // Any level will do: levels round differently only below 2^-126, which does not matter in a weight.
            Self::Bf16(panels) => bf16::pack_rounded(Cpu::detect(), rows, k, panels),
            Self::Int8(group) => group.fill(rows, k),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacking_returns_the_packed_rows() {
        for (n, k) in [(0, 5), (5, 0), (1, 1), (15, 4), (16, 5), (17, 7), (40, 37)] {
            // Integers up to 127, which int8 represents exactly: each row contains 127, so its scale is 1.
            let number = |x: usize| {
                if x.is_multiple_of(k) {
                    127.0
                } else {
                    (x % 200) as f32 - 100.0
                }
            };
            let matrix: Vec<f32> = (0..n * k).map(number).collect();
            for dtype in [Dtype::F32, Dtype::Bf16, Dtype::Int8] {
                let packed = PackedWeights::pack(dtype, &matrix, n, k);
                assert_eq!(packed.unpack(), matrix, "{n} {k} {dtype}");
            }
        }
    }
}
