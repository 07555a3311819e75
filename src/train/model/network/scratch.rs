//! Working memory of the layers and the head.

use crate::kernels::memory::AlignedFloats;

/// Working memory, valid within one pass only.
#[derive(Debug, Default)]
pub(super) struct NetworkScratch {
    /// Gradient of the hidden states between layers, (rows, hidden).
    pub(super) d: AlignedFloats,
    /// Gradient of a residual branch, (rows, hidden).
    pub(super) d_branch: AlignedFloats,
    /// Gradient of attention's output, (rows, hidden).
    pub(super) d_context: AlignedFloats,
    /// Gradients of queries, keys and values.
    pub(super) d_projections: [AlignedFloats; 3],
    /// Output of the feed-forward network's activation, (rows, intermediate).
    pub(super) inner: AlignedFloats,
    /// Gradient of the activation's input or output, (rows, intermediate).
    pub(super) d_inner: AlignedFloats,
    /// A transposed gradient.
    pub(super) transposed: AlignedFloats,
    /// Partial sums of a layer norm's parameter gradients.
    pub(super) sums: AlignedFloats,
}
