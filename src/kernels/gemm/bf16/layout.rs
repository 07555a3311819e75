//! Layout of bf16 weights: panels of `[n / 16][k / 2][16][2]`.

use super::activations::round;
use crate::kernels::Cpu;
#[cfg(feature = "train")]
use crate::kernels::gemm::operands::RowsView;
#[cfg(feature = "train")]
use crate::kernels::gemm::panels::PAIR_STEP;
use crate::kernels::gemm::panels::{PANEL, pack};
use crate::kernels::simd::{Kernel, Simd};

/// Returns the number of k-steps: two input channels each, of which the last may have one.
pub(in crate::kernels::gemm) fn steps(k: usize) -> usize {
    k.div_ceil(2)
}

/// Converts the bits of a bf16 value to f32, exactly.
pub(in crate::kernels::gemm) fn to_f32(bits: i16) -> f32 {
    f32::from_bits(u32::from(bits as u16) << 16)
}

/// Rounds rows of `k` weights and packs them, two in the memory of one float. Leaves the missing rows of the last panel
/// as they are in `panels`.
pub(in crate::kernels::gemm) fn pack_rounded(cpu: Cpu, rows: &[f32], k: usize, panels: &mut [f32]) {
    let steps = steps(k);
    // A pair is packed as one 32-bit value.
    let panels: &mut [u32] = bytemuck::cast_slice_mut(panels);
    let mut pairs = vec![0u32; PANEL * steps];
    let rows = rows.chunks(PANEL * k);
    for (rows, panel) in rows.zip(panels.chunks_exact_mut(PANEL * steps)) {
        let pairs = &mut pairs[..rows.len() / k * steps];
        cpu.run_bf16(RoundWeights {
            rows,
            k,
            out: bytemuck::cast_slice_mut(pairs),
        });
        pack(pairs, steps, steps, panel);
    }
}

/// Rounds `columns` columns of `len` rows and packs them as weights of (columns, len), two in the memory of one float.
/// Missing channels of the last panel, and the second half of an odd last k-step, are zero.
#[cfg(feature = "train")]
#[inline(always)]
pub(in crate::kernels::gemm) fn pack_rounded_columns<S: Simd>(
    s: S,
    rows: RowsView<'_>,
    columns: usize,
    len: usize,
    panels: &mut [f32],
) {
    let panels: &mut [[i16; PAIR_STEP]] = bytemuck::cast_slice_mut(panels);
    for (index, panel) in panels.chunks_exact_mut(steps(len)).enumerate() {
        let column = index * PANEL;
        let width = PANEL.min(columns - column);
        for (step, line) in panel.iter_mut().enumerate() {
            let mut rounded = [[0; PANEL]; 2];
            for (row, out) in (2 * step..len).zip(&mut rounded) {
                let from = &rows.data[row * rows.stride + column..][..width];
                s.store_bf16(s.load_partial(from, 0.0), out);
            }
            for (lane, pair) in line.as_chunks_mut().0.iter_mut().enumerate() {
                *pair = [rounded[0][lane], rounded[1][lane]];
            }
        }
    }
}

/// Rounds rows of weights on one thread.
struct RoundWeights<'a> {
    /// Rows of `k` floats.
    rows: &'a [f32],
    /// Floats of a row.
    k: usize,
    /// Rounded rows, contiguous, each padded to a whole pair.
    out: &'a mut [i16],
}

impl Kernel for RoundWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let out = self.out.chunks_exact_mut(self.k.next_multiple_of(2));
        for (row, out) in self.rows.chunks_exact(self.k).zip(out) {
            round(s, row, out);
        }
    }
}
