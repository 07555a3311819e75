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
        let sums = product.operands.sums(s, place, bias);
        let identity = product.epilogue.activation == Activation::Identity;
        let residual = product.epilogue.residual.filter(|_| identity);
        if place.width < P * LANES {
            self.store_some(s, &sums, residual);
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
            None if product.accumulate => {
                for (out, sums) in rows.into_iter().zip(&sums) {
                    for at in 0..P {
                        s.store(s.add(s.load(&out[at]), sums[at]), &mut out[at]);
                    }
                }
            }
            None => {
                for (out, sums) in rows.into_iter().zip(&sums) {
                    for at in 0..P {
                        s.store(sums[at], &mut out[at]);
                    }
                }
            }
            Some(all) => {
                let residual = all[start..].chunks(product.stride);
                for ((out, sums), residual) in rows.into_iter().zip(&sums).zip(residual) {
                    let residual = residual.as_chunks::<LANES>().0;
                    for at in 0..P {
                        s.store(s.add(sums[at], s.load(&residual[at])), &mut out[at]);
                    }
                }
            }
        }
    }
}

impl<X: Operands, const R: usize, const P: usize> Tile<'_, X, R, P> {
    /// Stores fewer columns than the tile has.
    #[inline(always)]
    fn store_some<S: Simd>(self, s: S, sums: &[[S::Floats; P]; R], residual: Option<&[f32]>) {
        let Self { product, place } = self;
        for (index, sums) in sums.iter().enumerate() {
            let start = place.start(product, index);
            // SAFETY: as in `run`; the piece is dropped at once.
            #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
            let out = unsafe { product.out.piece(start, place.width) };
            for (at, out) in out.chunks_mut(LANES).enumerate().take(P) {
                let mut sum = sums[at];
                if let Some(all) = residual {
                    let residual = &all[start + at * LANES..][..out.len()];
                    sum = s.add(sum, s.load_some(residual, 0.0));
                }
                if product.accumulate {
                    sum = s.add(s.load_some(out, 0.0), sum);
                }
                s.store_some(sum, out);
            }
        }
    }
}

impl Operands for FloatOperands<'_> {
    // 1 to 4 rows of MiniLM's layers take 0.7 ms, and 0.8 to 0.9 two panels at a time (AVX-512, Zen 5, 2026).
    const FEW_ROWS: usize = 8;
    const ROUGH: bool = false;

    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output {
        cpu.run(kernel)
    }

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
        let mut rows = [&self.x.data[..0]; R];
        for (index, row) in rows.iter_mut().enumerate() {
            *row = &self.x.data[(place.row + index) * self.x.stride..][..k];
        }
        let all = self.panels.as_chunks::<PANEL>().0;
        let mut panels = [&all[..0]; P];
        for (index, panel) in panels.iter_mut().enumerate() {
            *panel = &all[(place.panel + index) * k..][..k];
        }
        // The tiles share evenly in asking for the panels that follow, a whole line each step if there is one tile, half a
        // line if there are two: memory is slower than the first tile, and idle afterwards. Behind a layer's last panels
        // lie the next layer's; if nothing does, asking does no harm. Panels that are near already are not asked for: a
        // line that is there is, again and again, which costs less than a branch.
        let (turn, turns) = place.turn;
        let (next, stride) = match self.streamed {
            true => (panels[P - 1].as_ptr_range().end, PANEL.div_ceil(turns)),
            false => (panels[0].as_ptr(), 0),
        };
        let next = next.cast::<f32>().wrapping_add(turn * P * k * stride);

        let mut sums = [bias; R];
        for step in 0..k {
            let mut weights = [s.splat(0.0); P];
            for (index, weights) in weights.iter_mut().enumerate() {
                *weights = s.load(&panels[index][step]);
                s.prefetch(next.wrapping_add((index * k + step) * stride));
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
