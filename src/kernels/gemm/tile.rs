//! A few rows by one or two panels, in registers.

use super::operands::{Distance, Operands, Place};
use super::panels::PANEL;
use super::task::Product;
use crate::kernels::Activation;
use crate::kernels::simd::{Kernel, LANES, Simd};

/// `R` rows by `P` panels of a product, with bias, and the residual where no activation comes between.
pub(super) struct Tile<'a, X, const R: usize, const P: usize> {
    product: &'a Product<'a, X>,
    place: Place,
}

impl<'a, X, const R: usize, const P: usize> Tile<'a, X, R, P> {
    /// A tile that is still to be computed: `R` rows from `place.row` on, and `place.width` columns from panel `place.panel`
    /// on.
    ///
    /// # Safety
    /// As long as the tile lives, no other piece of the product's output that overlaps the tile may exist or be made.
    /// `place.width` must be at most `16 * P`, and the index of the tile's last float must not overflow.
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
        let sums = sums::<S, X, R, P>(s, &product.operands, place, bias(s, product, place));
        // Loaded only now, though the sums may have begun with it: kept in registers all the while it would push sums out of
        // theirs. NEON has 32 registers, and six rows of bytes need 30.
        let bias = bias::<S, X, P>(s, product, place);
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
            None if X::ACCUMULATES && product.accumulate => {
                for row in 0..R {
                    for at in 0..P {
                        let y = X::float(s, ends, (row, at), sums[row][at], bias[at]);
                        let y = s.add(s.load(&rows[row][at]), y);
                        s.store(y, &mut rows[row][at]);
                    }
                }
            }
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

/// The bias of a tile's columns; zero where there is none.
#[inline(always)]
fn bias<S: Simd, X, const P: usize>(
    s: S,
    product: &Product<'_, X>,
    place: Place,
) -> [S::Floats; P] {
    let mut bias = [s.splat(0.0); P];
    if let Some(all) = product.epilogue.bias {
        let of_tile = &all[place.panel * PANEL..][..place.width];
        for (bias, of_panel) in bias.iter_mut().zip(of_tile.chunks(LANES)) {
            *bias = s.load_some(of_panel, 0.0);
        }
    }
    bias
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
                if X::ACCUMULATES && product.accumulate {
                    sum = s.add(s.load_some(out, 0.0), sum);
                }
                s.store_some(sum, out);
            }
        }
    }
}

/// The micro-kernel: the sums of `R` rows by `P` panels.
///
/// One step of k loads P vectors of weights, spreads each row's activation over a vector, and does R x P products: 26 of
/// them for 13 rows by 2 panels of floats, which AVX-512 starts at two a cycle.
///
/// Meanwhile the panels that follow are asked for. The tiles of the same panels share evenly in it, a whole line each step
/// if there is one tile, half a line if there are two: memory is slower than the first tile, and idle afterwards. Behind a
/// layer's last panels lie the next layer's; if nothing does, asking does no harm. Where panels are near, a line is asked
/// for that is there, again and again, which costs less than a branch.
#[inline(always)]
fn sums<S: Simd, X: Operands, const R: usize, const P: usize>(
    s: S,
    operands: &X,
    place: Place,
    bias: [S::Floats; P],
) -> [[X::Sum<S>; P]; R] {
    let rows = operands.rows::<S, R>(place);
    let panels = operands.panels::<P>(place);
    let mut sums = operands.begin::<S, R, P>(s, place, bias);
    let steps = panels[0].len();
    let Place { turn, share, .. } = place;
    let next = match operands.distance() {
        Distance::Far => panels[P - 1].as_ptr_range().end,
        Distance::Near => panels[0].as_ptr(),
    };
    let next = next.cast::<u8>().wrapping_add(turn * P * steps * share);
    let mut ahead: [_; P] = std::array::from_fn(|at| next.wrapping_add(at * steps * share));
    for step in 0..steps {
        for ahead in &mut ahead {
            s.prefetch(ahead.cast(), X::AHEAD);
            *ahead = ahead.wrapping_add(share);
        }
        for part in 0..X::parts::<S>() {
            let weights: [_; P] = std::array::from_fn(|at| X::load(s, &panels[at][step], part));
            for (row, sums) in rows.iter().zip(&mut sums) {
                let activations = X::spread(s, row[step], part);
                for (sum, &weights) in sums.iter_mut().zip(&weights) {
                    *sum = X::add(s, *sum, weights, activations);
                }
            }
        }
    }
    sums
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
    /// A stored tile of `height` rows whose activation and residual are still to be applied.
    ///
    /// # Safety
    /// The contract of [`Tile::new`], with `height` rows instead of `R`.
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
