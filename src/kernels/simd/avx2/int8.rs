//! Products of bytes: VNNI's own, or of words that bytes become in registers.
//!
//! AVX2 multiplies bytes in pairs (VPMADDUBSW), but only those without a sign by those with one, so that signs would have
//! to change sides and pairs to be added up: three of four instructions wait for the multipliers. Words (VPMADDWD) take as
//! many instructions, of which every other is a plain sum. Weights stay bytes in memory and are widened for a whole tile;
//! activations are words from the start.

use std::arch::x86_64::{
    __m256, __m256i, _mm256_dpbusd_avx_epi32, _mm256_shufflehi_epi16, _mm256_shufflelo_epi16,
    _mm256_slli_epi16, _mm256_srai_epi16,
};

use super::super::LANES;
use super::Avx2;
use super::asm::dot_i16x2;

type I32 = [__m256i; 2];

/// What differs between the two kinds of products.
pub(crate) trait Int8Dot {
    /// As in [`Simd`](super::Simd), and so are those that follow.
    type QuadI8: bytemuck::Pod;

    const OFFSET: i32;
    const SUBSTEPS: usize;

    fn store_quads(self, x: [__m256; 2], to: &mut [Self::QuadI8; LANES / 4]);

    /// The part of weights that is multiplied.
    fn weights(self, quads: __m256i, substep: usize) -> __m256i;

    /// The part of activations that is multiplied.
    fn activations(x: Self::QuadI8, substep: usize) -> i32;

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
    /// The first and the third, then the second and the fourth.
    type QuadI8 = [[i16; 2]; 2];

    const OFFSET: i32 = 0;
    const SUBSTEPS: usize = 2;

    #[inline(always)]
    fn store_quads(self, x: [__m256; 2], to: &mut [[[i16; 2]; 2]; LANES / 4]) {
        let words = self.truncate_to_i16(x);
        let words = intrinsics!(self, {
            // The middle two of each four change places.
            let words = _mm256_shufflelo_epi16::<0b11_01_10_00>(words);
            _mm256_shufflehi_epi16::<0b11_01_10_00>(words)
        });
        self.store_bits(words, to);
    }

    #[inline(always)]
    fn weights(self, quads: __m256i, substep: usize) -> __m256i {
        // Of each two bytes one is left, widened by its sign.
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
