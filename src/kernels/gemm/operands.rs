//! What a product multiplies: both sides, and the arithmetic of one number type.

use bytemuck::Pod;

use crate::kernels::Cpu;
use crate::kernels::simd::{Cache, Kernel, Simd};

/// Rows at a fixed distance in a larger matrix.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct RowsView<'a> {
    /// The matrix, from the first row's first float on.
    pub(in crate::kernels) data: &'a [f32],
    /// Floats from one row's start to the next.
    pub(in crate::kernels) stride: usize,
}

/// Arithmetic of a product's inner loop for one number type.
///
/// The loop goes through k in steps of one input channel (f32), two (bf16, i16) or four (int8). Each accumulator belongs to
/// one row of the left side and one panel of the right side.
pub(in crate::kernels) trait Dot: Copy {
    /// Products of at most this many rows are bound by reading the panels, which is fastest one panel at a time.
    const SINGLE_PANEL_ROWS: usize;
    /// Cache level into which the next panels are prefetched.
    const PREFETCH_TO: Cache;
    /// Whether activations are approximated, where sums are less exact than the approximation.
    const APPROX_ACTIVATION: bool;
    /// Whether a product can be added to the output's contents. Only training does so.
    const ACCUMULATES: bool = false;

    /// What one row of the left side contributes to a k-step: one f32, two bf16 or i16, or four int8.
    type Lhs<S: Simd>: Pod;
    /// What a panel of the right side contributes to a k-step: one 64-byte line.
    type Rhs: Sync;
    /// A factor in registers: an `Lhs` broadcast to all lanes, or an `Rhs` as it was loaded.
    type Vector<S: Simd>: Copy;
    /// Accumulator of a row and a panel.
    type Acc<S: Simd>: Copy;
    /// Scales that turn a tile's accumulators into f32, loaded once a tile.
    type Dequant<S: Simd, const R: usize, const P: usize>: Copy;

    /// Runs `kernel`, compiled for the instructions of `cpu` that multiply this type.
    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output;

    /// Rows of the tallest tile whose accumulators stay in registers.
    fn mr<S: Simd>() -> usize;

    /// Accumulators of a tile before the first k-step.
    fn init<S: Simd, const R: usize, const P: usize>(
        self,
        s: S,
        tile: TileCoords,
        bias: [S::F32; P],
    ) -> [[Self::Acc<S>; P]; R];

    /// Parts into which a k-step is divided, multiplied one after the other.
    #[inline(always)]
    fn substeps<S: Simd>() -> usize {
        1
    }

    /// Loads one part of a panel's k-step.
    fn load<S: Simd>(s: S, rhs: &Self::Rhs, substep: usize) -> Self::Vector<S>;

    /// Broadcasts one part of a row's k-step to all lanes.
    fn broadcast<S: Simd>(s: S, lhs: Self::Lhs<S>, substep: usize) -> Self::Vector<S>;

    /// Adds the products of one part of a k-step to `acc`, before anything that follows in the program is computed.
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

    /// Converts the accumulator of one row and panel of a tile to f32. `bias` is added here only by types whose
    /// accumulators do not start from it.
    fn finish<S: Simd, const R: usize, const P: usize>(
        s: S,
        dequant: Self::Dequant<S, R, P>,
        row: usize,
        panel: usize,
        acc: Self::Acc<S>,
        bias: S::F32,
    ) -> S::F32;
}

/// Items of [`Dot`] for types whose accumulators are f32 and start from the bias.
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

/// Both sides of a product.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Operands<'a, D: Dot> {
    /// Memory of the left side's rows, from the first row on.
    pub(in crate::kernels) lhs: &'a [f32],
    /// Distance from one row's start to the next, in [`Dot::Lhs`].
    pub(in crate::kernels) lhs_stride: usize,
    /// Steps of k that are multiplied.
    pub(in crate::kernels) k_steps: usize,
    /// Panels of the right side, each of `k_steps` lines.
    pub(in crate::kernels) rhs: &'a [D::Rhs],
    /// Where the panels are when they are multiplied.
    pub(in crate::kernels) rhs_in: RhsIn,
    /// Number type of both sides, with its scales.
    pub(in crate::kernels) dot: D,
}

/// Where panels are when they are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) enum RhsIn {
    /// Memory or a far cache: the next panels are prefetched.
    Memory,
    /// The first-level cache.
    L1,
}

impl<D: Dot> Operands<'_, D> {
    /// The rows of a tile.
    #[inline(always)]
    pub(super) fn rows<S: Simd, const R: usize>(&self, tile: TileCoords) -> [&[D::Lhs<S>]; R] {
        let lhs = bytemuck::cast_slice(self.lhs);
        strided_slices(lhs, tile.row, self.lhs_stride, self.k_steps)
    }

    /// The panels of a tile.
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
    /// Index of the tile among those of the same panels.
    pub(super) row_tile: usize,
    /// Bytes of each following panel that the tile prefetches per k-step.
    pub(super) prefetch_bytes: usize,
}

/// `N` slices of `len` items, the first one at `first * stride`, each `stride` items after the one before. Checked once for
/// all: a tile has up to 14 of them to find before its first product.
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
        // SAFETY: the last slice ends within `all` by the assertion, whose sums have not overflowed, and the others begin
        // and end before it.
        let slice = unsafe { std::slice::from_raw_parts(start, len) };
        start = start.wrapping_add(stride);
        slice
    })
}
