//! The micro-kernel: a few rows by one or two panels, in registers.

use super::operands::{Dot, Operands, RhsIn, TileCoords};
use super::panels::PANEL;
use super::task::GemmTask;
use crate::kernels::Activation;
use crate::kernels::simd::{Kernel, LANES, Simd};

/// Tile of `R` rows by `P` panels of a product. Adds the bias, and the residual where there is no activation between
/// the two.
pub(super) struct Tile<'a, D: Dot, const R: usize, const P: usize> {
    task: &'a GemmTask<'a, D>,
    tile: TileCoords,
}

impl<'a, D: Dot, const R: usize, const P: usize> Tile<'a, D, R, P> {
    /// Creates a tile: `R` rows from row `tile.row` on, and `tile.width` columns from panel `tile.panel` on.
    /// [`Kernel::run`] computes it.
    ///
    /// # Safety
    /// As long as the tile lives, no other slice of the product's output that overlaps the tile may exist or be made.
    /// `tile.width` must be at most `16 * P`, and the index of the tile's last float must not overflow.
    #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
    #[inline(always)]
    pub(super) unsafe fn new(task: &'a GemmTask<'a, D>, tile: TileCoords) -> Self {
        Self { task, tile }
    }
}

impl<D: Dot, const R: usize, const P: usize> Kernel for Tile<'_, D, R, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { task, tile } = self;
        let accs = microkernel::<S, D, R, P>(s, &task.operands, tile, bias(s, task, tile));
        // Loaded again only now, although the accumulators may have started from it. Kept in registers all the while,
        // it would spill accumulators to memory: NEON has 32 registers, and six rows of int8 need 30.
        let bias = bias::<S, D, P>(s, task, tile);
        let identity = task.epilogue.activation == Activation::Identity;
        let residual = task.epilogue.residual.filter(|_| identity);
        let dequant = task.operands.dot.dequant::<S, R, P>(s, tile);
        if tile.width < P * LANES {
            // In a separate array. This one is in memory, where the accumulators of the path below must never be.
            let mut floats = [[s.splat(0.0); P]; R];
            for row in 0..R {
                for at in 0..P {
                    floats[row][at] = D::finish(s, dequant, row, at, accs[row][at], bias[at]);
                }
            }
            self.store_partial(s, &floats, residual);
            return;
        }
        // Nearly always all columns are stored. Arrays of known length need no bounds checks, so the loops are unrolled
        // and store the accumulators straight from their registers.
        let start = first_index(task, tile, 0);
        // SAFETY: by the promise to `new`, these rows and columns belong to this tile.
        #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
        let rows: [&mut [[f32; LANES]; P]; R] =
            unsafe { task.to.out.tile_mut(start, task.to.stride) };
        match residual {
            None if D::ACCUMULATES && task.accumulate => {
                for row in 0..R {
                    for at in 0..P {
                        let y = D::finish(s, dequant, row, at, accs[row][at], bias[at]);
                        let y = s.add(s.load(&rows[row][at]), y);
                        s.store(y, &mut rows[row][at]);
                    }
                }
            }
            None => {
                for row in 0..R {
                    for at in 0..P {
                        let y = D::finish(s, dequant, row, at, accs[row][at], bias[at]);
                        s.store(y, &mut rows[row][at]);
                    }
                }
            }
            Some(all) => {
                let of_row = |row: usize| all[start + row * task.to.stride..].as_chunks().0;
                let residual: [&[[f32; LANES]; P]; R] =
                    std::array::from_fn(|row| of_row(row).first_chunk().expect("whole rows"));
                for row in 0..R {
                    for at in 0..P {
                        let y = D::finish(s, dequant, row, at, accs[row][at], bias[at]);
                        let y = s.add(y, s.load(&residual[row][at]));
                        s.store(y, &mut rows[row][at]);
                    }
                }
            }
        }
    }
}

/// Loads the bias of a tile's columns; zero where there is no bias.
#[inline(always)]
fn bias<S: Simd, D: Dot, const P: usize>(
    s: S,
    task: &GemmTask<'_, D>,
    tile: TileCoords,
) -> [S::F32; P] {
    let mut bias = [s.splat(0.0); P];
    if let Some(all) = task.epilogue.bias {
        let of_tile = &all[tile.panel * PANEL..][..tile.width];
        for (bias, of_panel) in bias.iter_mut().zip(of_tile.chunks(LANES)) {
            *bias = s.load_partial(of_panel, 0.0);
        }
    }
    bias
}

impl<D: Dot, const R: usize, const P: usize> Tile<'_, D, R, P> {
    /// Stores the first `tile.width` columns of a tile whose panels have more.
    #[inline(always)]
    fn store_partial<S: Simd>(self, s: S, floats: &[[S::F32; P]; R], residual: Option<&[f32]>) {
        let Self { task, tile } = self;
        for (row, floats) in floats.iter().enumerate() {
            let start = first_index(task, tile, row);
            // SAFETY: as in `run`; the slice is dropped before the next is made.
            #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
            let out = unsafe { task.to.out.slice_mut(start, tile.width) };
            for (at, out) in out.chunks_mut(LANES).enumerate().take(P) {
                let mut sum = floats[at];
                if let Some(all) = residual {
                    let residual = &all[start + at * LANES..][..out.len()];
                    sum = s.add(sum, s.load_partial(residual, 0.0));
                }
                if D::ACCUMULATES && task.accumulate {
                    sum = s.add(s.load_partial(out, 0.0), sum);
                }
                s.store_partial(sum, out);
            }
        }
    }
}

/// Micro-kernel: returns the accumulators of `R` rows by `P` panels.
///
/// One k-step loads P vectors of weights, broadcasts each row's activation to a vector, and does R x P fused
/// multiply-adds: 26 for 13 rows by 2 panels of f32, of which AVX-512 starts two a cycle.
///
/// Meanwhile it prefetches the panels that follow. The tiles of the same panels divide this work evenly: a whole line
/// per k-step if there is one tile, half a line if there are two. Otherwise memory would hold up the first tile and be
/// idle during the others. The panels of the next layer follow a layer's last ones; if nothing follows, the prefetch is
/// harmless. Where panels are in L1 already, the same line is prefetched again and again, which costs less than a
/// branch.
#[inline(always)]
fn microkernel<S: Simd, D: Dot, const R: usize, const P: usize>(
    s: S,
    operands: &Operands<'_, D>,
    tile: TileCoords,
    bias: [S::F32; P],
) -> [[D::Acc<S>; P]; R] {
    let rows = operands.rows::<S, R>(tile);
    let panels = operands.panels::<P>(tile);
    let steps = panels[0].len();
    let mut accs = operands.dot.init::<S, R, P>(s, tile, bias);
    let TileCoords {
        row_tile,
        prefetch_bytes,
        ..
    } = tile;
    let next = match operands.rhs_in {
        RhsIn::Memory => panels[P - 1].as_ptr_range().end,
        RhsIn::L1 => panels[0].as_ptr(),
    };
    let next = next
        .cast::<u8>()
        .wrapping_add(row_tile * P * steps * prefetch_bytes);
    let mut ahead: [_; P] =
        std::array::from_fn(|at| next.wrapping_add(at * steps * prefetch_bytes));
    for step in 0..steps {
        for ahead in &mut ahead {
            s.prefetch(ahead.cast(), D::PREFETCH_TO);
            *ahead = ahead.wrapping_add(prefetch_bytes);
        }
        for substep in 0..D::substeps::<S>() {
            let rhs: [_; P] = std::array::from_fn(|at| D::load(s, &panels[at][step], substep));
            for (row, accs) in rows.iter().zip(&mut accs) {
                let lhs = D::broadcast(s, row[step], substep);
                for (acc, &rhs) in accs.iter_mut().zip(&rhs) {
                    *acc = D::mul_acc(s, *acc, rhs, lhs);
                }
            }
        }
    }
    accs
}

/// Returns the index, in the output, of the first float of a tile's row `row`.
#[inline(always)]
fn first_index<D: Dot>(task: &GemmTask<'_, D>, tile: TileCoords, row: usize) -> usize {
    task.to.first + (tile.row + row) * task.to.stride + tile.panel * PANEL
}

/// Pass over a tile that is stored already and still in L1. Applies the activation and adds the residual.
///
/// Separate from [`Tile`], whose registers are full. So it is compiled once and not for every shape.
pub(super) struct ActivationPass<'a, D: Dot> {
    task: &'a GemmTask<'a, D>,
    tile: TileCoords,
    rows: usize,
}

impl<D: Dot> Kernel for ActivationPass<'_, D> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // One loop for each function, so that the choice is made once per tile and not once per element.
        use Activation::{Gelu, GeluTanh, Identity, Relu, Tanh};
        match self.task.epilogue.activation {
            Identity => self.apply(s, Identity),
            Gelu => self.apply(s, Gelu),
            GeluTanh => self.apply(s, GeluTanh),
            Relu => self.apply(s, Relu),
            Tanh => self.apply(s, Tanh),
        }
    }
}

impl<'a, D: Dot> ActivationPass<'a, D> {
    /// Creates the pass over a stored tile of `rows` rows.
    ///
    /// # Safety
    /// The contract of [`Tile::new`], with `rows` rows instead of `R`.
    #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
    #[inline(always)]
    pub(super) unsafe fn new(task: &'a GemmTask<'a, D>, tile: TileCoords, rows: usize) -> Self {
        Self { task, tile, rows }
    }

    /// Applies the activation, approximately where sums are less exact than the approximation.
    #[inline(always)]
    fn activate<S: Simd>(s: S, activation: Activation, x: S::F32) -> S::F32 {
        if D::APPROX_ACTIVATION {
            activation.apply_approx(s, x)
        } else {
            activation.apply(s, x)
        }
    }

    // The activation is passed as a value, not as a closure: a closure of two calls is not inlined, and is then
    // compiled for the oldest processor.
    #[inline(always)]
    fn apply<S: Simd>(&self, s: S, activation: Activation) {
        let Self { task, tile, .. } = *self;
        for row in 0..self.rows {
            let start = first_index(task, tile, row);
            // SAFETY: by the promise to `new`, the rows and columns belong to this tile. One row is borrowed at a time.
            #[allow(unsafe_code, reason = "tasks write columns of rows they share")]
            let out = unsafe { task.to.out.slice_mut(start, tile.width) };
            let residual = task
                .epilogue
                .residual
                .map(|all| &all[start..][..tile.width]);
            let (blocks, rest) = out.as_chunks_mut::<LANES>();
            let whole = blocks.len() * LANES;
            for (at, block) in blocks.iter_mut().enumerate() {
                let mut x = Self::activate(s, activation, s.load(block));
                if let Some(residual) = residual {
                    x = s.add(x, s.load(&residual.as_chunks().0[at]));
                }
                s.store(x, block);
            }
            if !rest.is_empty() {
                let mut x = Self::activate(s, activation, s.load_partial(rest, 0.0));
                if let Some(residual) = residual {
                    x = s.add(x, s.load_partial(&residual[whole..], 0.0));
                }
                s.store_partial(x, rest);
            }
        }
    }
}
