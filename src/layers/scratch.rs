//! Memory that one pass through an encoder computes in.

use crate::kernels::memory::AlignedFloats;

/// Buffers that grow to the largest batch they have seen and are used again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// What goes from layer to layer: (rows, hidden_size).
    pub(crate) rows: AlignedFloats,
    /// Embedding rows ahead of their projection: (rows, width of the projection's input).
    pub(crate) embedded: AlignedFloats,
    /// Queries, keys and values.
    pub(crate) query_key_value: AlignedFloats,
    /// What attention puts out.
    pub(crate) context: AlignedFloats,
    /// What goes into the feed-forward network.
    pub(crate) attention_output: AlignedFloats,
    /// The input of a layer, narrowed, where the layer has bottlenecks.
    pub(crate) bottleneck: AlignedFloats,
}
