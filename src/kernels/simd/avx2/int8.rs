//! Products of int8: with VNNI's instruction, or of i16 to which int8 are sign-extended in registers.
//!
//! Without VNNI, AVX2's instruction for bytes (VPMADDUBSW) multiplies unsigned by signed ones only. The sign would have
//! to move to one side and the pairs would have to be summed: three of four instructions would use the multiplier
//! ports. VPMADDWD on i16 needs the same number of instructions, but every other one is a plain addition. Weights stay
//! int8 in memory and are sign-extended once for all rows of a tile. Activations are i16 from the start.

use std::arch::x86_64::{
    __m256, __m256i, _mm256_dpbusd_avx_epi32, _mm256_shufflehi_epi16, _mm256_shufflelo_epi16,
    _mm256_slli_epi16, _mm256_srai_epi16,
};

use super::super::LANES;
use super::Avx2;
use super::asm::dot_i16x2;

type I32 = [__m256i; 2];

/// Difference between the levels with and without VNNI.
pub(crate) trait Int8Dot {
    /// Four activations of a row in memory ([`Simd::QuadI8`](super::Simd::QuadI8)).
    type QuadI8: bytemuck::Pod;

    /// Offset of stored activations ([`Simd::INT8_OFFSET`](super::Simd::INT8_OFFSET)).
    const OFFSET: i32;
    /// Number of substeps ([`Simd::INT8_SUBSTEPS`](super::Simd::INT8_SUBSTEPS)).
    const SUBSTEPS: usize;

    /// Stores the lowest bits of each lane as activations.
    fn store_quads(self, x: [__m256; 2], to: &mut [Self::QuadI8; LANES / 4]);

    /// Returns the weights that a substep multiplies.
    fn weights(self, quads: __m256i, substep: usize) -> __m256i;

    /// Returns the bits of the activations that a substep multiplies.
    fn activations(x: Self::QuadI8, substep: usize) -> i32;

    /// Adds the products of one substep to `sum`.
    fn dot_i8x4(self, sum: I32, weights: I32, activations: I32) -> I32;
}

impl Int8Dot for Avx2<true> {
    type QuadI8 = [u8; 4];

    const OFFSET: i32 = 128;
    const SUBSTEPS: usize = 1;

    #[inline(always)]
    fn store_quads(self, x: [__m256; 2], to: &mut [[u8; 4]; LANES / 4]) {
        super::Simd::store_u8_truncating(self, x, bytemuck::cast_mut(to));
    }

    #[inline(always)]
    fn weights(self, quads: __m256i, _: usize) -> __m256i {
        quads
    }

    #[inline(always)]
    fn activations(x: [u8; 4], _: usize) -> i32 {
        i32::from_le_bytes(x)
    }

    #[inline(always)]
    fn dot_i8x4(self, sum: I32, weights: I32, activations: I32) -> I32 {
        intrinsics!(
            self,
            [
                _mm256_dpbusd_avx_epi32(sum[0], activations[0], weights[0]),
                _mm256_dpbusd_avx_epi32(sum[1], activations[1], weights[1])
            ]
        )
    }
}

impl Int8Dot for Avx2<false> {
    /// First and third activation, then second and fourth.
    type QuadI8 = [[i16; 2]; 2];

    const OFFSET: i32 = 0;
    const SUBSTEPS: usize = 2;

    #[inline(always)]
    fn store_quads(self, x: [__m256; 2], to: &mut [[[i16; 2]; 2]; LANES / 4]) {
        let quads = self.truncate_to_i16(x);
        let quads = intrinsics!(self, {
            // Swaps the middle two of each four.
            let quads = _mm256_shufflelo_epi16::<0b11_01_10_00>(quads);
            _mm256_shufflehi_epi16::<0b11_01_10_00>(quads)
        });
        self.store_bits(quads, to);
    }

    #[inline(always)]
    fn weights(self, quads: __m256i, substep: usize) -> __m256i {
        // Sign-extends one of each two bytes.
        intrinsics!(
            self,
            match substep {
                0 => _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(quads)),
                _ => _mm256_srai_epi16::<8>(quads),
            }
        )
    }

    #[inline(always)]
    fn activations(x: [[i16; 2]; 2], substep: usize) -> i32 {
        bytemuck::cast(x[substep])
    }

    #[inline(always)]
    fn dot_i8x4(self, sum: I32, weights: I32, activations: I32) -> I32 {
        intrinsics!(self, dot_i16x2(sum, weights, activations))
    }
}
