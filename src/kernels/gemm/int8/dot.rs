//! Products of int8.

use super::activations::QuantizedRows;
use super::layout::{Int8Panels, STEP, steps};
use crate::kernels::Cpu;
use crate::kernels::gemm::operands::{Dot, Operands, RhsIn, TileCoords};
use crate::kernels::simd::{Cache, Kernel, Simd};

/// Arithmetic of an int8 product: four input channels per k-step, and i32 accumulators that start at minus the row's zero
/// point times the sum of the channel's weights. Each row and each channel has a scale.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Int8<'a> {
    rows: &'a QuantizedRows,
    panels: &'a Int8Panels,
}

impl<'a> Operands<'a, Int8<'a>> {
    /// Creates the operands of a product: rows of `k` quantised activations, panels of a weight matrix.
    pub(in crate::kernels::gemm) fn int8(
        rows: &'a QuantizedRows,
        k: usize,
        panels: &'a Int8Panels,
    ) -> Self {
        let (lhs, lhs_stride) = rows.quads();
        Self {
            lhs,
            lhs_stride,
            k_steps: steps(k),
            rhs: panels.bytes().as_chunks().0,
            rhs_in: RhsIn::Memory,
            dot: Int8 { rows, panels },
        }
    }
}

impl<'a> Dot for Int8<'a> {
    // Int8 weights take a quarter of the memory of f32 and stay in the last-level cache, from which two panels at a
    // time are read faster: 0.12 ms instead of 0.16 for 1 row, 0.20 instead of 0.24 for 8 rows (MiniLM's layers,
    // AVX-512, Zen 5, 2026).
    const SINGLE_PANEL_ROWS: usize = 0;
    // The first-level cache is full of rows and of the panels that are being read: 128 rows take 3 % longer if all is
    // prefetched into it.
    const PREFETCH_TO: Cache = Cache::L2;
    const APPROX_ACTIVATION: bool = true;

    type Lhs<S: Simd> = S::QuadI8;
    type Rhs = [i8; STEP];
    type Vector<S: Simd> = S::QuadVec;
    type Acc<S: Simd> = S::I32;
    type Dequant<S: Simd, const R: usize, const P: usize> = Scales<'a, S, R, P>;

    fn run<K: Kernel>(cpu: Cpu, kernel: K) -> K::Output {
        cpu.run_int8(kernel)
    }

    #[inline(always)]
    fn mr<S: Simd>() -> usize {
        S::INT8_TILE_ROWS
    }

    #[inline(always)]
    fn init<S: Simd, const R: usize, const P: usize>(
        self,
        s: S,
        tile: TileCoords,
        _: [S::F32; P],
    ) -> [[S::I32; P]; R] {
        let neg_zero_points = self.rows.neg_zero_points::<R>(tile.row);
        let mut accs = [[s.splat_i32(0); P]; R];
        for panel in 0..P {
            let channel_sums = s.load_i32(&self.panels.sums[tile.panel + panel]);
            for (&zero_point, accs) in neg_zero_points.iter().zip(&mut accs) {
                accs[panel] = s.mul_i32(channel_sums, s.splat_i32(zero_point));
            }
        }
        accs
    }

    #[inline(always)]
    fn substeps<S: Simd>() -> usize {
        S::INT8_SUBSTEPS
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, rhs: &[i8; STEP], substep: usize) -> S::QuadVec {
        s.load_quads(rhs, substep)
    }

    #[inline(always)]
    fn broadcast<S: Simd>(s: S, lhs: S::QuadI8, substep: usize) -> S::QuadVec {
        s.splat_quad(lhs, substep)
    }

    #[inline(always)]
    fn mul_acc<S: Simd>(s: S, acc: S::I32, rhs: S::QuadVec, lhs: S::QuadVec) -> S::I32 {
        s.pin_i32(s.dot_i8x4(acc, rhs, lhs))
    }

    #[inline(always)]
    fn dequant<S: Simd, const R: usize, const P: usize>(
        self,
        s: S,
        tile: TileCoords,
    ) -> Scales<'a, S, R, P> {
        let mut channels = [s.splat(0.0); P];
        for (panel, channels) in channels.iter_mut().enumerate() {
            *channels = s.load(&self.panels.scales[tile.panel + panel]);
        }
        Scales {
            rows: self.rows.scales(tile.row),
            channels,
        }
    }

    #[inline(always)]
    fn finish<S: Simd, const R: usize, const P: usize>(
        s: S,
        scales: Scales<'a, S, R, P>,
        row: usize,
        panel: usize,
        acc: S::I32,
        bias: S::F32,
    ) -> S::F32 {
        // Multiplied and added separately, since not every level can fuse the two.
        let scale = s.mul(scales.channels[panel], s.splat(scales.rows[row]));
        s.add(s.mul(s.to_f32(acc), scale), bias)
    }
}

/// Scales of a tile's rows and output channels.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Scales<'a, S: Simd, const R: usize, const P: usize> {
    rows: &'a [f32; R],
    channels: [S::F32; P],
}
