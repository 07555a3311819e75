//! What attention reads.

use crate::kernels::gemm::Dtype;

/// One projection of all rows: head `h` of row `r` is `data[offset + r * stride + h * head_dim..][..head_dim]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Projection<'a> {
    /// The matrix that holds it.
    pub(crate) data: &'a [f32],
    /// From one row's start to the next.
    pub(crate) stride: usize,
    /// Where it starts in each row.
    pub(crate) offset: usize,
}

/// A number added to each score, which depends on the head and on key position minus query position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RelativeBias<'a> {
    /// (heads, 2 * reach - 1): entry `reach - 1 + key - query` of each head.
    pub(crate) data: &'a [f32],
    /// One more than the largest distance.
    pub(crate) reach: usize,
}

/// What attention reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention<'a> {
    pub(crate) query: Projection<'a>,
    pub(crate) key: Projection<'a>,
    pub(crate) value: Projection<'a>,
    /// Where each sequence starts, and the end.
    pub(crate) starts: &'a [usize],
    /// Where each sequence's output rows start, and the end: the output has only the first rows of each sequence.
    pub(crate) out_starts: &'a [usize],
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) bias: Option<RelativeBias<'a>>,
    /// What the layers around it compute in.
    pub(crate) dtype: Dtype,
}

impl<'a> RelativeBias<'a> {
    /// Returns what is added to the scores of one query, from the first key on.
    pub(super) fn of(&self, head: usize, query: usize) -> &'a [f32] {
        &self.data[head * (2 * self.reach - 1)..][self.reach - 1 - query..]
    }
}
