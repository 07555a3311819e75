//! The micro-kernel: a few rows by one or two panels, in registers.

use super::PANEL;
use super::product::{FloatOperands, Operands, Product};
use crate::kernels::simd::{Kernel, LANES, Simd};
use crate::kernels::{Activation, Cpu};

/// Where a tile is.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct Place {
    /// Its first row.
    pub(super) row: usize,
    /// Its first panel.
    pub(super) panel: usize,
    /// How many of its columns are stored.
    pub(super) width: usize,
    /// Which of how many tiles of these panels it is: each asks ahead of time for its share of the panels that follow.
    pub(super) turn: (usize, usize),
}

/// `R` rows by `P` panels of a product, with bias, and the residual where no activation comes between.
///
/// One step of k loads P vectors of weights, spreads each row's activation over a vector, and does R x P fused
/// products: 26 of them for 13 rows by 2 panels, which AVX-512 starts at two a cycle.
pub(super) struct Tile<'a, X, const R: usize, const P: usize> {
    product: &'a Product<'a, X>,
    place: Place,
}

impl<'a, X, const R: usize, const P: usize> Tile<'a, X, R, P> {
    /// # Safety
    /// As long as it lives, nobody else may hold a piece of the product's output in this tile's rows and columns.
    #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
    #[inline(always)]
    pub(super) unsafe fn new(product: &'a Product<'a, X>, place: Place) -> Self {
        Self { product, place }
    }
}

impl<X: Operands, const R: usize, const P: usize> Kernel for Tile<'_, X, R, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { product, place } = self;
        let mut bias = [s.splat(0.0); P];
        if let Some(all) = product.epilogue.bias {
            let of_tile = &all[place.panel * PANEL..][..place.width];
            for (bias, of_panel) in bias.iter_mut().zip(of_tile.chunks(LANES)) {
                *bias = s.load_some(of_panel, 0.0);
            }
        }
        let sums = product.operands.sums::<S, R, P>(s, place, bias);
        let identity = product.epilogue.activation == Activation::Identity;
        let residual = product.epilogue.residual.filter(|_| identity);
        let ends = product.operands.ends::<S, R, P>(s, place);
        if place.width < P * LANES {
            // In an array of their own: this one is in memory, where those of the rest of this function should never be.
            let mut floats = [[s.splat(0.0); P]; R];
            for row in 0..R {
                for at in 0..P {
                    floats[row][at] = X::float(s, ends, (row, at), sums[row][at], bias[at]);
                }
            }
            self.store_some(s, &floats, residual);
            return;
        }
        // Nearly always all columns are stored: arrays of known length, so that nothing is left to look at, and the loops are
        // unrolled and take the sums out of their registers.
        let start = place.start(product, 0);
        // SAFETY: these rows and columns are this tile's by the promise to `new`.
        #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
        let rows: [&mut [[f32; LANES]; P]; R] =
            unsafe { product.out.pieces(start, product.stride) };
        match residual {
            None => {
                for row in 0..R {
                    for at in 0..P {
                        let y = X::float(s, ends, (row, at), sums[row][at], bias[at]);
                        s.store(y, &mut rows[row][at]);
                    }
                }
            }
            Some(all) => {
                let of_row = |row: usize| all[start + row * product.stride..].as_chunks().0;
                let residual: [&[[f32; LANES]; P]; R] =
                    std::array::from_fn(|row| of_row(row).first_chunk().expect("whole rows"));
                for row in 0..R {
                    for at in 0..P {
                        let y = X::float(s, ends, (row, at), sums[row][at], bias[at]);
                        let y = s.add(y, s.load(&residual[row][at]));
                        s.store(y, &mut rows[row][at]);
                    }
                }
            }
        }
    }
}

impl<X: Operands, const R: usize, const P: usize> Tile<'_, X, R, P> {
    /// Stores fewer columns than the tile has.
    #[inline(always)]
    fn store_some<S: Simd>(self, s: S, floats: &[[S::Floats; P]; R], residual: Option<&[f32]>) {
        let Self { product, place } = self;
        for (row, floats) in floats.iter().enumerate() {
            let start = place.start(product, row);
            // SAFETY: as in `run`; the piece is dropped at once.
            #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
            let out = unsafe { product.out.piece(start, place.width) };
            for (at, out) in out.chunks_mut(LANES).enumerate().take(P) {
                let mut sum = floats[at];
                if let Some(all) = residual {
                    let residual = &all[start + at * LANES..][..out.len()];
                    sum = s.add(sum, s.load_some(residual, 0.0));
                }
                s.store_some(sum, out);
            }
        }
    }
}

/// `N` runs of `len` items, of which the first is number `first`; each starts `stride` items behind the one before.
#[inline(always)]
pub(super) fn runs<T, const N: usize>(
    all: &[T],
    first: usize,
    stride: usize,
    len: usize,
) -> [&[T]; N] {
    let mut runs = [&all[..0]; N];
    for (index, run) in runs.iter_mut().enumerate() {
        *run = &all[(first + index) * stride..][..len];
    }
    runs
}

/// Asks for the panels that follow a tile's, ahead of time.
///
/// The tiles of the same panels share evenly in it, a whole line each step if there is one tile, half a line if there are
/// two: memory is slower than the first tile, and idle afterwards. Behind a layer's last panels lie the next layer's; if
/// nothing does, asking does no harm.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    next: *const u8,
    /// Bytes that one step asks for.
    stride: usize,
}

impl Ahead {
    /// Behind these panels, whose steps are one line each, if they are streamed from far away. Where panels are near, a
    /// line is asked for that is there, again and again, which costs less than a branch.
    #[inline(always)]
    pub(super) fn of<T, const P: usize>(panels: [&[T]; P], place: Place, streamed: bool) -> Self {
        let (turn, turns) = place.turn;
        let (next, stride) = match streamed {
            true => (
                panels[P - 1].as_ptr_range().end,
                size_of::<T>().div_ceil(turns),
            ),
            false => (panels[0].as_ptr(), 0),
        };
        Self {
            next: next
                .cast::<u8>()
                .wrapping_add(turn * P * panels[0].len() * stride),
            stride,
        }
    }

    /// For the step of this number, counted through all panels of the tile.
    #[inline(always)]
    pub(super) fn ask<S: Simd>(self, s: S, step: usize) {
        s.prefetch(self.next.wrapping_add(step * self.stride).cast());
    }
}

impl Operands for FloatOperands<'_> {
    // 1 to 4 rows of MiniLM's layers take 0.7 ms, and 0.8 to 0.9 two panels at a time (AVX-512, Zen 5, 2026).
    const FEW_ROWS: usize = 8;
    const ROUGH: bool = false;

    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output {
        cpu.run(kernel)
    }

    type Sum<S: Simd> = S::Floats;

    #[inline(always)]
    fn tile_rows<S: Simd>() -> usize {
        S::TILE_ROWS
    }

    #[inline(always)]
    fn sums<S: Simd, const R: usize, const P: usize>(
        &self,
        s: S,
        place: Place,
        bias: [S::Floats; P],
    ) -> [[S::Floats; P]; R] {
        let k = self.k;
        let rows: [_; R] = runs(self.x.data, place.row, self.x.stride, k);
        let all = self.panels.as_chunks::<PANEL>().0;
        let panels: [_; P] = runs(all, place.panel, k, k);
        let ahead = Ahead::of(panels, place, self.streamed);

        let mut sums = [bias; R];
        for step in 0..k {
            let mut weights = [s.splat(0.0); P];
            for (index, weights) in weights.iter_mut().enumerate() {
                *weights = s.load(&panels[index][step]);
                ahead.ask(s, index * k + step);
            }
            for (row, sums) in rows.iter().zip(&mut sums) {
                let activation = s.splat(row[step]);
                for (sum, &weights) in sums.iter_mut().zip(&weights) {
                    *sum = s.in_order(s.mul_add(activation, weights, *sum));
                }
            }
        }
        sums
    }

    type Ends<'t, S: Simd, const R: usize, const P: usize>
        = ()
    where
        Self: 't;

    #[inline(always)]
    fn ends<S: Simd, const R: usize, const P: usize>(&self, _: S, _: Place) {}

    #[inline(always)]
    fn float<S: Simd, const R: usize, const P: usize>(
        _: S,
        (): (),
        _: (usize, usize),
        sum: S::Floats,
        _: S::Floats,
    ) -> S::Floats {
        sum
    }
}

impl Place {
    /// Where in the output a row of the tile starts.
    #[inline(always)]
    fn start<X>(&self, product: &Product<'_, X>, row: usize) -> usize {
        product.first + (self.row + row) * product.stride + self.panel * PANEL
    }
}

/// Activation and residual of a tile that is stored already and still in the nearest cache.
///
/// Apart from [`Tile`], whose registers are full, and so compiled once and not for every shape.
pub(super) struct Finish<'a, X> {
    product: &'a Product<'a, X>,
    place: Place,
    height: usize,
}

impl<X: Operands> Kernel for Finish<'_, X> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // One loop a function, so that the choice is made once.
        use Activation::{Gelu, GeluTanh, Identity, Relu, Tanh};
        match self.product.epilogue.activation {
            Identity => self.apply(s, Identity),
            Gelu => self.apply(s, Gelu),
            GeluTanh => self.apply(s, GeluTanh),
            Relu => self.apply(s, Relu),
            Tanh => self.apply(s, Tanh),
        }
    }
}

impl<'a, X: Operands> Finish<'a, X> {
    /// For a tile of so many rows.
    ///
    /// # Safety
    /// As [`Tile::new`].
    #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
    #[inline(always)]
    pub(super) unsafe fn new(product: &'a Product<'a, X>, place: Place, height: usize) -> Self {
        Self {
            product,
            place,
            height,
        }
    }

    #[inline(always)]
    fn activated<S: Simd>(s: S, activation: Activation, x: S::Floats) -> S::Floats {
        match X::ROUGH {
            true => activation.roughly_of(s, x),
            false => activation.of(s, x),
        }
    }

    // The function is a value and no closure: a closure of two calls is not inlined, and then it is compiled for the
    // oldest processor.
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, activation: Activation) {
        let Self { product, place, .. } = self;
        for row in 0..self.height {
            let start = place.start(product, row);
            // SAFETY: the rows and columns are this tile's by the promise to `new`; one row is held at a time.
            #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
            let out = unsafe { product.out.piece(start, place.width) };
            let residual = product
                .epilogue
                .residual
                .map(|all| &all[start..][..place.width]);
            let (blocks, rest) = out.as_chunks_mut::<LANES>();
            let whole = blocks.len() * LANES;
            for (at, block) in blocks.iter_mut().enumerate() {
                let mut x = Self::activated(s, activation, s.load(block));
                if let Some(residual) = residual {
                    x = s.add(x, s.load(&residual.as_chunks().0[at]));
                }
                s.store(x, block);
            }
            if !rest.is_empty() {
                let mut x = Self::activated(s, activation, s.load_some(rest, 0.0));
                if let Some(residual) = residual {
                    x = s.add(x, s.load_some(&residual[whole..], 0.0));
                }
                s.store_some(x, rest);
            }
        }
    }
}
