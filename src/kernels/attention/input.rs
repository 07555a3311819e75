//! Inputs of attention.

use crate::kernels::gemm::Dtype;

/// Projection of all rows (queries, keys or values): head `h` of row `r` is
/// `data[offset + r * stride + h * head_dim..][..head_dim]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Projection<'a> {
    /// Matrix that holds the projection, perhaps beside others.
    pub(crate) data: &'a [f32],
    /// Floats from one row's start to the next.
    pub(crate) stride: usize,
    /// Index of the projection's first float in each row.
    pub(crate) offset: usize,
}

/// Bias added to each score, which depends on the head and on key position minus query position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RelativeBias<'a> {
    /// Biases of (heads, 2 * max_len - 1): entry `max_len - 1 + key - query` of each head.
    pub(crate) data: &'a [f32],
    /// Greatest supported length of a sequence: one more than the largest distance of positions.
    pub(crate) max_len: usize,
}

/// Inputs of attention over all sequences of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention<'a> {
    /// Queries of all rows.
    pub(crate) query: Projection<'a>,
    /// Keys of all rows.
    pub(crate) key: Projection<'a>,
    /// Values of all rows.
    pub(crate) value: Projection<'a>,
    /// First input row of each sequence, and the number of input rows.
    pub(crate) starts: &'a [usize],
    /// First output row of each sequence, and the number of output rows. The output has only the first rows of each
    /// sequence.
    pub(crate) out_starts: &'a [usize],
    /// Number of heads.
    pub(crate) heads: usize,
    /// Floats of a head in each row.
    pub(crate) head_dim: usize,
    /// Relative position bias, if the model has one.
    pub(crate) bias: Option<RelativeBias<'a>>,
    /// Number type of the dense layers around attention.
    pub(crate) dtype: Dtype,
}

impl<'a> RelativeBias<'a> {
    /// Returns the biases of one query's scores, from the first key on.
    pub(super) fn row(&self, head: usize, query: usize) -> &'a [f32] {
        &self.data[head * (2 * self.max_len - 1)..][self.max_len - 1 - query..]
    }
}
