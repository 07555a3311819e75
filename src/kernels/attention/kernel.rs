//! What the number types have in common: a head is packed once, then goes through its queries in blocks.

use crate::kernels::gemm::{Dot, Operands, OutputColumns, RowsView};
use crate::kernels::memory::AlignedFloats;
use crate::kernels::simd::Simd;

/// Greatest number of queries in a block, however few keys there are.
pub(super) const MAX_QUERIES: usize = 128;

/// One head of one sequence in the number type that its two products are computed in.
///
/// Both products are those of the dense layers: keys are packed as weights of (len, head_dim), values as weights of
/// (head_dim, len), in panels.
pub(super) trait HeadKernel<'a>: Sized {
    /// Number type of the product of queries and keys.
    type Scores: Dot;

    /// Packs a head. Its numbers are kept in `buffers`.
    fn pack<S: Simd>(s: S, input: HeadInput<'a>, buffers: &'a mut Buffers) -> Self;

    /// Returns the product of all keys and the queries from query `first` on, and what it must be multiplied by to be the
    /// scores, beside `1 / sqrt(head_dim)`.
    fn scores(&self, first: usize) -> (Operands<'_, Self::Scores>, f32);

    /// Writes `softmax(factor * scores) V` of a block of queries to `context`: a row for each row of `scores`, in the columns
    /// of this head. Rows of scores are `stride` floats apart, and the sequence's first `len` of them count. Clobbers
    /// `scores`.
    ///
    /// # Safety
    /// While it runs, no other slice of the output may exist or be made that has a float of these rows and columns.
    #[allow(unsafe_code, reason = "heads write columns of rows they share")]
    unsafe fn weighted_sum<S: Simd>(
        &mut self,
        s: S,
        scores: &mut [f32],
        stride: usize,
        factor: f32,
        context: OutputColumns<'_>,
    );
}

/// What a head reads: rows of `head_dim` floats, `len` of queries, keys and values each.
#[derive(Clone, Copy)]
pub(super) struct HeadInput<'a> {
    /// All queries of the sequence.
    pub(super) queries: RowsView<'a>,
    /// All keys of the sequence.
    pub(super) keys: RowsView<'a>,
    /// All values of the sequence.
    pub(super) values: RowsView<'a>,
    /// Number of rows of the sequence.
    pub(super) len: usize,
    /// Number of queries, from the first on, whose context is computed.
    pub(super) query_rows: usize,
    /// Floats of a row.
    pub(super) head_dim: usize,
    /// Greatest number of queries in a block.
    pub(super) block: usize,
}

/// Buffers that a thread keeps from one head to the next.
#[derive(Default)]
pub(in crate::kernels) struct Workspace {
    pub(super) packed: Buffers,
    pub(super) scores: AlignedFloats,
}

/// Where a packed head is kept.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) queries: AlignedFloats,
    pub(super) keys: AlignedFloats,
    pub(super) values: AlignedFloats,
    pub(super) probs: AlignedFloats,
}
