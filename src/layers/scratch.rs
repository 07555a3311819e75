//! Buffers for the intermediate results of a pass through an encoder.

use crate::kernels::memory::AlignedFloats;

/// Buffers of an encoder's pass. They grow to the largest batch so far and are reused.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Hidden states between layers: (rows, hidden_size).
    pub(crate) rows: AlignedFloats,
    /// Embeddings before they are projected: (rows, inputs of the projection).
    pub(crate) embedded: AlignedFloats,
    /// Queries, keys and values of all rows.
    pub(crate) query_key_value: AlignedFloats,
    /// Weighted sums of attention's values.
    pub(crate) context: AlignedFloats,
    /// Input of the feed-forward network.
    pub(crate) attention_output: AlignedFloats,
    /// Input of a layer, projected to the width inside its bottlenecks (MobileBERT).
    pub(crate) bottleneck: AlignedFloats,
}
