//! The steps of a head that all number types have in common: a head is packed once, then its queries are processed in
//! blocks.

use crate::kernels::gemm::{Dot, Operands, OutputColumns, RowsView};
use crate::kernels::memory::AlignedFloats;
use crate::kernels::simd::Simd;

/// Greatest number of queries in a block, however few keys there are.
pub(super) const MAX_QUERIES: usize = 128;

/// Head of one sequence, in the number type of its two products.
///
/// Both products use the loops of the dense layers. Keys are packed in panels as weights of (len, head_dim), values as
/// weights of (head_dim, len).
pub(super) trait HeadKernel<'a>: Sized {
    /// Number type of the product of queries and keys.
    type Scores: Dot;

    /// Packs a head into `buffers`.
    fn pack<S: Simd>(s: S, input: HeadInput<'a>, buffers: &'a mut Buffers) -> Self;

    /// Returns the operands of the product of the queries from query `first` on with all keys. The second value, times
    /// `1 / sqrt(head_dim)`, is the factor that turns the product into scores.
    fn scores(&self, first: usize) -> (Operands<'_, Self::Scores>, f32);

    /// Writes `softmax(factor * scores) V` of a block of queries to `context`: one row for each row of `scores`, in the
    /// columns of this head. Rows of `scores` are `stride` floats apart, and only their first `len` floats are scores.
    /// Clobbers `scores`.
    ///
    /// # Safety
    /// While it runs, no other slice of the output may exist or be made that contains a float of these rows and
    /// columns.
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

/// Inputs of one head of one sequence: `len` queries, keys and values, rows of `head_dim` floats.
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

/// Buffers that a thread reuses from one head to the next.
#[derive(Default)]
pub(in crate::kernels) struct Workspace {
    /// The packed head.
    pub(super) packed: Buffers,
    /// Scores of a block of queries.
    pub(super) scores: AlignedFloats,
}

/// Buffers of a packed head.
#[derive(Default)]
pub(super) struct Buffers {
    /// Packed queries.
    pub(super) queries: AlignedFloats,
    /// Packed keys.
    pub(super) keys: AlignedFloats,
    /// Packed values.
    pub(super) values: AlignedFloats,
    /// Numerators of the softmax of a block of queries.
    pub(super) probs: AlignedFloats,
}
