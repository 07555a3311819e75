//! The operands of a product, and the arithmetic of its inner loop for one number type.

use bytemuck::Pod;

use crate::kernels::Cpu;
use crate::kernels::simd::{Cache, Kernel, Simd};

/// Rows of a larger matrix, at a fixed distance.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct RowsView<'a> {
    /// The matrix, from the first row's first float to its end.
    pub(in crate::kernels) data: &'a [f32],
    /// Floats from one row's start to the next.
    pub(in crate::kernels) stride: usize,
}

/// Arithmetic of a product's inner loop for one number type.
///
/// The loop goes through k in k-steps of one input channel (f32), two (bf16, i16) or four (int8). Each accumulator
/// belongs to one row of the left side and one panel of the right side.
pub(in crate::kernels) trait Dot: Copy {
    /// Number of rows up to which a product is computed one panel at a time: it is limited by reading the panels, which
    /// is fastest that way.
    const SINGLE_PANEL_ROWS: usize;
    /// Cache level into which the next panels are prefetched.
    const PREFETCH_TO: Cache;
    /// Whether activation functions are approximated: true where sums are less exact than the approximation.
    const APPROX_ACTIVATION: bool;
    /// Whether a product can be added to the output's contents. Only training needs that.
    const ACCUMULATES: bool = false;

    /// Contribution of one row of the left side to a k-step: one f32, two bf16 or i16, or four int8.
    type Lhs<S: Simd>: Pod;
    /// Contribution of one panel of the right side to a k-step: one 64-byte line.
    type Rhs: Sync;
    /// A factor in registers: an `Lhs` broadcast to all lanes, or an `Rhs` as it was loaded.
    type Vector<S: Simd>: Copy;
    /// Accumulator of a row and a panel.
    type Acc<S: Simd>: Copy;
    /// Scales that convert a tile's accumulators to f32, loaded once per tile.
    type Dequant<S: Simd, const R: usize, const P: usize>: Copy;

    /// Runs `kernel`, compiled for the instructions of `cpu` that multiply this type.
    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output;

    /// Greatest number of rows of a tile whose accumulators stay in registers.
    fn mr<S: Simd>() -> usize;

    /// Returns the accumulators of a tile before the first k-step.
    fn init<S: Simd, const R: usize, const P: usize>(
        self,
        s: S,
        tile: TileCoords,
        bias: [S::F32; P],
    ) -> [[Self::Acc<S>; P]; R];

    /// Number of substeps into which a k-step is divided. They are multiplied one after the other.
    #[inline(always)]
    fn substeps<S: Simd>() -> usize {
        1
    }

    /// Loads one substep of a panel's k-step.
    fn load<S: Simd>(s: S, rhs: &Self::Rhs, substep: usize) -> Self::Vector<S>;

    /// Broadcasts one substep of a row's k-step to all lanes.
    fn broadcast<S: Simd>(s: S, lhs: Self::Lhs<S>, substep: usize) -> Self::Vector<S>;

    /// Adds the products of one substep to `acc`. Later operations of the program are not moved ahead of it.
    fn mul_acc<S: Simd>(
        s: S,
        acc: Self::Acc<S>,
        rhs: Self::Vector<S>,
        lhs: Self::Vector<S>,
    ) -> Self::Acc<S>;

    /// Loads the scales of a tile's rows and panels.
    fn dequant<S: Simd, const R: usize, const P: usize>(
        self,
        s: S,
        tile: TileCoords,
    ) -> Self::Dequant<S, R, P>;

    /// Converts the accumulator of one row and panel of a tile to f32. Adds `bias` only for types whose accumulators do
    /// not start from it (int8).
    fn finish<S: Simd, const R: usize, const P: usize>(
        s: S,
        dequant: Self::Dequant<S, R, P>,
        row: usize,
        panel: usize,
        acc: Self::Acc<S>,
        bias: S::F32,
    ) -> S::F32;
}

/// Defines the items of [`Dot`] that types have in common whose accumulators are f32 and start from the bias.
macro_rules! f32_accumulators {
    () => {
        type Acc<S: Simd> = S::F32;
        type Dequant<S: Simd, const R: usize, const P: usize> = ();

        #[inline(always)]
        fn init<S: Simd, const R: usize, const P: usize>(
            self,
            _: S,
            _: TileCoords,
            bias: [S::F32; P],
        ) -> [[S::F32; P]; R] {
            [bias; R]
        }

        #[inline(always)]
        fn dequant<S: Simd, const R: usize, const P: usize>(self, _: S, _: TileCoords) {}

        #[inline(always)]
        fn finish<S: Simd, const R: usize, const P: usize>(
            _: S,
            (): (),
            _: usize,
            _: usize,
            acc: S::F32,
            _: S::F32,
        ) -> S::F32 {
            acc
        }
    };
}
pub(super) use f32_accumulators;

/// The left and right sides of a product.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Operands<'a, D: Dot> {
    /// The left side: memory of its rows, from the first row on.
    pub(in crate::kernels) lhs: &'a [f32],
    /// Distance from one row's start to the next, in items of [`Dot::Lhs`].
    pub(in crate::kernels) lhs_stride: usize,
    /// Number of k-steps.
    pub(in crate::kernels) k_steps: usize,
    /// The right side: panels of `k_steps` lines each.
    pub(in crate::kernels) rhs: &'a [D::Rhs],
    /// Where the panels are when they are multiplied.
    pub(in crate::kernels) rhs_in: RhsIn,
    /// Number type of both sides, with the scales that convert sums to f32.
    pub(in crate::kernels) dot: D,
}

/// Place of the panels when they are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) enum RhsIn {
    /// Main memory or a cache beyond the first level. The next panels are prefetched.
    Memory,
    /// First-level cache. Nothing is prefetched.
    L1,
}

impl<D: Dot> Operands<'_, D> {
    /// Returns the rows of a tile of `R` rows.
    #[inline(always)]
    pub(super) fn rows<S: Simd, const R: usize>(&self, tile: TileCoords) -> [&[D::Lhs<S>]; R] {
        let lhs = bytemuck::cast_slice(self.lhs);
        strided_slices(lhs, tile.row, self.lhs_stride, self.k_steps)
    }

    /// Returns the panels of a tile of `P` panels.
    #[inline(always)]
    pub(super) fn panels<const P: usize>(&self, tile: TileCoords) -> [&[D::Rhs]; P] {
        strided_slices(self.rhs, tile.panel, self.k_steps, self.k_steps)
    }
}

/// Coordinates of a tile in its product.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct TileCoords {
    /// Index of the first row.
    pub(super) row: usize,
    /// Index of the first panel.
    pub(super) panel: usize,
    /// Number of columns that are stored.
    pub(super) width: usize,
    /// Index of the tile among the tiles of the same panels.
    pub(super) row_tile: usize,
    /// Bytes of each following panel that the tile prefetches in a k-step.
    pub(super) prefetch_bytes: usize,
}

/// Returns `N` slices of `len` items. The first starts at `first * stride`, each of the others `stride` items after the
/// one before. One check covers all of them: a tile needs up to 15 such slices before its first multiplication.
#[allow(unsafe_code, reason = "one check for all slices")]
#[inline(always)]
fn strided_slices<T, const N: usize>(
    all: &[T],
    first: usize,
    stride: usize,
    len: usize,
) -> [&[T]; N] {
    let start = first.checked_mul(stride);
    let last = stride.checked_mul(N - 1);
    let end = start.and_then(|start| start.checked_add(last?)?.checked_add(len));
    assert!(
        end.is_some_and(|end| end <= all.len()),
        "{N} slices of {len}, {stride} apart, from number {first} on, of {}",
        all.len()
    );
    let mut start = all.as_ptr().wrapping_add(first * stride);
    std::array::from_fn(|_| {
        // SAFETY: by the assertion, whose sums have not overflowed, the last slice ends within `all`. The other slices
        // start and end before it.
        let slice = unsafe { std::slice::from_raw_parts(start, len) };
        start = start.wrapping_add(stride);
        slice
    })
}
