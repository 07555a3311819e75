//! Weights in panels: how a checkpoint's rows become what the micro-kernels read.

use super::PANEL;
use crate::kernels::aligned::AlignedFloats;

/// Weights of a dense layer, (n, k), in panels of 16 output channels.
#[derive(Debug, Clone)]
pub(crate) struct PackedWeights {
    n: usize,
    k: usize,
    /// `[n / 16][k][16]`; channels past n are zero.
    panels: AlignedFloats,
}

impl PackedWeights {
    /// Packs row-major weights, (n, k), as checkpoints store them.
    pub(crate) fn new(weights: &[f32], n: usize, k: usize) -> Self {
        assert_eq!(weights.len(), n * k, "weights of {n} x {k}");
        let mut panels = AlignedFloats::zeros(n.div_ceil(PANEL) * PANEL * k);
        pack(weights, k, k, &mut panels);
        Self { n, k, panels }
    }

    /// Output channels.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// Input channels.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// `[n / 16][k][16]`.
    pub(super) fn panels(&self) -> &[f32] {
        &self.panels
    }
}

/// Packs rows of `k` numbers that lie `stride` apart into panels of 16 rows; the last panel's missing rows stay as they
/// are in `panels`.
pub(in crate::kernels) fn pack(rows: &[f32], k: usize, stride: usize, panels: &mut [f32]) {
    if k == 0 {
        return;
    }
    for (group, panel) in rows
        .chunks(PANEL * stride)
        .zip(panels.chunks_exact_mut(PANEL * k))
    {
        for (lane, row) in group.chunks(stride).enumerate() {
            for (slot, &weight) in panel[lane..].iter_mut().step_by(PANEL).zip(&row[..k]) {
                *slot = weight;
            }
        }
    }
}
