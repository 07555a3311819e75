//! Memory that one pass through an encoder computes in.

use crate::kernels::memory::AlignedFloats;

/// Buffers that grow to the largest batch they have seen and are used again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// What goes from layer to layer: (rows, hidden).
    pub(crate) rows: AlignedFloats,
    /// Embedding rows ahead of their projection: (rows, width of the projection's input).
    pub(crate) embedded: AlignedFloats,
    /// Queries, keys and values.
    pub(crate) projections: AlignedFloats,
    /// What attention puts out.
    pub(crate) context: AlignedFloats,
    /// What goes into the feed-forward network.
    pub(crate) attended: AlignedFloats,
    /// A narrowed input, where a layer has bottlenecks.
    pub(crate) narrow: AlignedFloats,
}
