//! What a product multiplies.

use crate::kernels::Cpu;
use crate::kernels::simd::{Cache, Kernel, Simd};

/// Rows at a fixed distance in a larger matrix.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct Rows<'a> {
    /// From the first row's first number on.
    pub(in crate::kernels) data: &'a [f32],
    /// From one row's start to the next.
    pub(in crate::kernels) stride: usize,
}

/// What a product multiplies: rows of activations and panels of weights, both in steps of one or several input channels.
pub(in crate::kernels) trait Operands {
    /// Up to so many rows a product is bound by reading its weights, which are read fastest one behind the other: one panel
    /// at a time.
    const FEW_ROWS: usize;
    /// Into which cache the panels that follow are asked for.
    const AHEAD: Cache;
    /// Whether sums are so rough that an activation need not be exact.
    const ROUGH: bool;
    /// Whether a product may be added to what is there, which only learning does.
    const ACCUMULATES: bool = false;

    /// One step of a row,
    type Activation<S: Simd>: Copy;
    /// and of a panel: one line of the cache.
    type Weights;
    /// The first for all of a panel's channels,
    type Spread<S: Simd>: Copy;
    /// and the second, in registers.
    type Loaded<S: Simd>: Copy;
    /// What sums are kept in while k runs.
    type Sum<S: Simd>: Copy;
    /// What it takes to make floats of a tile's sums, found ahead of the first of them.
    type Ends<'t, S: Simd, const R: usize, const P: usize>: Copy
    where
        Self: 't;

    /// Runs a kernel that multiplies these.
    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output;

    /// Rows of the highest tile whose sums stay in registers.
    fn tile_rows<S: Simd>() -> usize;

    /// The rows of a tile,
    fn rows<S: Simd, const R: usize>(&self, place: Place) -> [&[Self::Activation<S>]; R];
    /// its panels,
    fn panels<const P: usize>(&self, place: Place) -> [&[Self::Weights]; P];
    /// and how far away those are.
    fn distance(&self) -> Distance;

    /// What the sums begin with.
    fn begin<S: Simd, const R: usize, const P: usize>(
        &self,
        s: S,
        place: Place,
        bias: [S::Floats; P],
    ) -> [[Self::Sum<S>; P]; R];

    /// In how many parts a step is multiplied.
    #[inline(always)]
    fn parts<S: Simd>() -> usize {
        1
    }

    fn load<S: Simd>(s: S, weights: &Self::Weights, part: usize) -> Self::Loaded<S>;

    fn spread<S: Simd>(s: S, activation: Self::Activation<S>, part: usize) -> Self::Spread<S>;

    /// A sum and one step more, or a part of it, computed before anything that stands behind in the program is begun.
    fn add<S: Simd>(
        s: S,
        sum: Self::Sum<S>,
        weights: Self::Loaded<S>,
        activations: Self::Spread<S>,
    ) -> Self::Sum<S>;

    fn ends<S: Simd, const R: usize, const P: usize>(
        &self,
        s: S,
        place: Place,
    ) -> Self::Ends<'_, S, R, P>;

    /// What the sum of a row and panel of the tile amounts to, with the bias, which is for those who have not begun with it.
    fn float<S: Simd, const R: usize, const P: usize>(
        s: S,
        ends: Self::Ends<'_, S, R, P>,
        at: (usize, usize),
        sum: Self::Sum<S>,
        bias: S::Floats,
    ) -> S::Floats;
}

/// Where panels are when they are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) enum Distance {
    /// In memory or a far cache, so that they are asked for ahead of time.
    Far,
    /// In the nearest cache.
    Near,
}

/// Where a tile is.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct Place {
    /// Its first row.
    pub(super) row: usize,
    /// Its first panel.
    pub(super) panel: usize,
    /// How many of its columns are stored.
    pub(super) width: usize,
    /// Which tile of these panels it is,
    pub(super) turn: usize,
    /// and how many bytes it asks for ahead of time in each step: its share of the panels that follow.
    pub(super) share: usize,
}

/// `N` runs of `len` items, of which the first is number `first`; each starts `stride` items behind the one before. Checked
/// once for all: a tile has up to 14 of them to find before its first product.
#[allow(unsafe_code, reason = "one check for all runs")]
#[inline(always)]
pub(in crate::kernels::gemm) fn runs<T, const N: usize>(
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
        "{N} runs of {len}, {stride} apart, from number {first} on, of {}",
        all.len()
    );
    let mut start = all.as_ptr().wrapping_add(first * stride);
    std::array::from_fn(|_| {
        // SAFETY: the last run ends within the slice by the assertion, whose sums have not overflowed, and the others begin
        // and end before it.
        let run = unsafe { std::slice::from_raw_parts(start, len) };
        start = start.wrapping_add(stride);
        run
    })
}
