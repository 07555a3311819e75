//! AVX-512. Sixteen floats occupy one of 32 registers. There are three levels: without VNNI, with VNNI (int8 products),
//! and with VNNI and BF16 (bf16 products).
#![allow(
    unsafe_code,
    reason = "instructions are reached through unsafe functions"
)]

use std::arch::x86_64::{
    __m512, __m512i, _CMP_UNORD_Q, _MM_HINT_T0, _MM_HINT_T1, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32,
    _mm_max_ps, _mm_max_ss, _mm_movehdup_ps, _mm_movehl_ps, _mm_prefetch, _mm256_add_ps,
    _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_max_ps, _mm512_abs_epi8,
    _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512, _mm512_castpd_ps, _mm512_castps_pd,
    _mm512_castps_si512, _mm512_castps512_ps256, _mm512_castsi512_ps, _mm512_cmp_ps_mask,
    _mm512_cvtepi32_epi8, _mm512_cvtepi32_epi16, _mm512_cvtepi32_ps, _mm512_cvtneps_pbh,
    _mm512_div_ps, _mm512_dpbusd_epi32, _mm512_extractf32x8_ps, _mm512_fmadd_ps, _mm512_madd_epi16,
    _mm512_maddubs_epi16, _mm512_mask_blend_epi16, _mm512_mask_blend_ps, _mm512_mask_mov_epi32,
    _mm512_mask_sub_epi8, _mm512_maskz_mov_epi16, _mm512_max_ps, _mm512_min_ps,
    _mm512_movepi8_mask, _mm512_movepi32_mask, _mm512_mul_ps, _mm512_mullo_epi32, _mm512_or_ps,
    _mm512_or_si512, _mm512_reduce_ps, _mm512_scalef_ps, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_pd, _mm512_setzero_si512, _mm512_shuffle_f64x2,
    _mm512_slli_epi32, _mm512_srli_epi32, _mm512_sub_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps,
    _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

use super::{Cache, Kernel, LANES, Simd};

/// Evaluates intrinsics of the level that work on registers. They are unsafe only because a processor may lack them.
/// The first argument, a token, proves that this processor has them.
///
/// Intrinsics that read or write memory are not imported here. `memory` wraps them all in functions that take
/// references.
macro_rules! intrinsics {
    ($token:expr, $call:expr) => {{
        let _: $crate::kernels::simd::avx512::Avx512<_, _> = $token;
        // SAFETY: the token was made by `Avx512::new`, which found AVX-512 F, BW, DQ and VL, AVX2 and FMA on this
        // processor, VNNI too if `VNNI`, and VNNI and BF16 if `BF16`.
        unsafe { $call }
    }};
}

mod asm;
mod memory;
mod token;

use asm::{dot_bf16, dot_i16x2, pin, pin_i32};
pub(crate) use token::Avx512;

#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn vectorize<K: Kernel, S: Simd>(token: S, kernel: K) -> K::Output {
    kernel.run(token)
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn vectorize_vnni<K: Kernel, S: Simd>(token: S, kernel: K) -> K::Output {
    kernel.run(token)
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
fn vectorize_bf16<K: Kernel, S: Simd>(token: S, kernel: K) -> K::Output {
    kernel.run(token)
}

/// Converts the first bf16 number of each pair to f32.
#[inline]
#[target_feature(enable = "avx512f")]
fn widen_first(pairs: __m512i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs))
}

/// Converts the second bf16 number of each pair to f32. A mask register does it, so no vector register is needed.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn widen_second(pairs: __m512i) -> __m512 {
    _mm512_castsi512_ps(_mm512_maskz_mov_epi16(0xaaaa_aaaa, pairs))
}

impl<const VNNI: bool, const BF16: bool> Simd for Avx512<VNNI, BF16> {
    type F32 = __m512;
    type I32 = __m512i;
    type QuadI8 = [u8; 4];
    type QuadVec = __m512i;
    type PairVec = __m512i;

    // 13 x 2 accumulators, two registers for weights and one for an activation: 29 of 32.
    const TILE_ROWS: usize = 13;
    const TILE_PANELS: usize = 2;
    // 13 rows would fit too, but then the compiler spills accumulators around the loop, which is a tenth slower.
    // Without VNNI the absolute weights, a vector of ones and the signed activation occupy registers too.
    const INT8_TILE_ROWS: usize = if VNNI { 12 } else { 11 };
    const I16_TILE_ROWS: usize = 12;
    // Without BF16: 12 x 2 accumulators, four registers for weights and two for an activation: 30 of 32.
    const BF16_TILE_ROWS: usize = if BF16 { 13 } else { 12 };
    const INT8_OFFSET: i32 = if VNNI { 128 } else { 0 };

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        match (VNNI, BF16) {
            (_, true) => intrinsics!(self, vectorize_bf16(self, kernel)),
            (true, false) => intrinsics!(self, vectorize_vnni(self, kernel)),
            (false, false) => intrinsics!(self, vectorize(self, kernel)),
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        intrinsics!(self, _mm512_set1_ps(x))
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        self.load_floats(from)
    }

    #[inline(always)]
    fn store(self, x: __m512, to: &mut [f32; LANES]) {
        self.store_floats(x, to)
    }

    #[inline(always)]
    fn load_partial(self, from: &[f32], fill: f32) -> __m512 {
        match from.first_chunk() {
            Some(whole) => self.load(whole),
            None => self.load_first_floats(from, self.splat(fill)),
        }
    }

    #[inline(always)]
    fn store_partial(self, x: __m512, to: &mut [f32]) {
        match to.first_chunk_mut() {
            Some(whole) => self.store(x, whole),
            None => self.store_first_floats(x, to),
        }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        intrinsics!(self, _mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        intrinsics!(self, _mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        intrinsics!(self, _mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        intrinsics!(self, _mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        intrinsics!(self, _mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        intrinsics!(self, _mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        intrinsics!(self, _mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn neg_abs(self, x: __m512) -> __m512 {
        intrinsics!(self, _mm512_or_ps(self.splat(-0.0), x))
    }

    #[inline(always)]
    fn select_by_sign(self, of: __m512, minus: __m512, plus: __m512) -> __m512 {
        intrinsics!(
            self,
            _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(of)), plus, minus)
        )
    }

    // Two instructions instead of three, because one instruction computes the rest.
    #[inline(always)]
    fn round_and_frac(self, x: __m512) -> (__m512, __m512) {
        // Rounds to nearest, keeps no fraction bits, raises no exception.
        let rest = intrinsics!(self, _mm512_reduce_ps::<0b0000_1000>(x));
        (self.sub(x, rest), rest)
    }

    // One instruction: `ldexp` rounds its argument down by itself, and takes values below -126.
    #[inline(always)]
    fn floor_and_frac(self, x: __m512) -> (__m512, __m512) {
        // Rounds down, keeps no fraction bits, raises no exception.
        (x, intrinsics!(self, _mm512_reduce_ps::<0b0000_1001>(x)))
    }

    #[inline(always)]
    fn ldexp(self, x: __m512, k: __m512) -> __m512 {
        intrinsics!(self, _mm512_scalef_ps(x, k))
    }

    #[inline(always)]
    fn reduce_add(self, x: __m512) -> f32 {
        intrinsics!(self, {
            let eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            let four = _mm_add_ps(
                _mm256_castps256_ps128(eight),
                _mm256_extractf128_ps::<1>(eight),
            );
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn reduce_max(self, x: __m512) -> f32 {
        intrinsics!(self, {
            let eight = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            let four = _mm_max_ps(
                _mm256_castps256_ps128(eight),
                _mm256_extractf128_ps::<1>(eight),
            );
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn pin(self, x: __m512) -> __m512 {
        intrinsics!(self, pin(x))
    }

    #[inline(always)]
    fn pin_i32(self, x: __m512i) -> __m512i {
        intrinsics!(self, pin_i32(x))
    }

    #[inline(always)]
    fn store_u8_truncating(self, x: __m512, to: &mut [u8; LANES]) {
        let bytes = intrinsics!(self, _mm512_cvtepi32_epi8(_mm512_castps_si512(x)));
        self.store_quarter(bytes, to);
    }

    #[inline(always)]
    fn store_quads(self, x: __m512, to: &mut [[u8; 4]; LANES / 4]) {
        self.store_u8_truncating(x, bytemuck::cast_mut(to));
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        intrinsics!(self, _mm512_set1_epi32(x))
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> __m512i {
        self.load_bits(from)
    }

    #[inline(always)]
    fn mul_i32(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsics!(self, _mm512_mullo_epi32(a, b))
    }

    #[inline(always)]
    fn to_f32(self, x: __m512i) -> __m512 {
        intrinsics!(self, _mm512_cvtepi32_ps(x))
    }

    #[inline(always)]
    fn load_quads(self, from: &[i8; 4 * LANES], _: usize) -> __m512i {
        self.load_bits(from)
    }

    #[inline(always)]
    fn splat_quad(self, x: [u8; 4], _: usize) -> __m512i {
        self.splat_i32(i32::from_le_bytes(x))
    }

    #[inline(always)]
    fn dot_i8x4(self, sum: __m512i, weights: __m512i, activations: __m512i) -> __m512i {
        if VNNI {
            return intrinsics!(self, _mm512_dpbusd_epi32(sum, activations, weights));
        }
        // |w| times q with w's sign. The sum of two products is at most 2 * 127 * 127, which does not saturate an i16.
        intrinsics!(self, {
            let negative = _mm512_movepi8_mask(weights);
            let signed =
                _mm512_mask_sub_epi8(activations, negative, _mm512_setzero_si512(), activations);
            let pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(weights), signed);
            _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        })
    }

    #[inline(always)]
    fn store_i16_truncating(self, x: __m512, to: &mut [i16; LANES]) {
        let packed = intrinsics!(self, _mm512_cvtepi32_epi16(_mm512_castps_si512(x)));
        self.store_half(packed, to);
    }

    #[inline(always)]
    fn pair_i16_truncating(self, even: __m512, odd: __m512) -> __m512i {
        intrinsics!(self, {
            let odd = _mm512_slli_epi32::<16>(_mm512_castps_si512(odd));
            _mm512_mask_blend_epi16(0xaaaa_aaaa, _mm512_castps_si512(even), odd)
        })
    }

    #[inline(always)]
    fn store_pairs(self, pairs: __m512i, to: &mut [i16; 2 * LANES]) {
        self.store_bits(pairs, to)
    }

    #[inline(always)]
    fn transpose(self, from: &[[f32; LANES]; LANES], to: &mut [[f32; LANES]; LANES]) {
        intrinsics!(self, {
            let mut x = [_mm512_setzero_pd(); LANES];
            for (x, from) in x.iter_mut().zip(from) {
                *x = _mm512_castps_pd(self.load(from));
            }
            // Exchanges single items of two vectors, then groups of two, four and eight.
            for at in [0, 2, 4, 6, 8, 10, 12, 14] {
                let (a, b) = (_mm512_castpd_ps(x[at]), _mm512_castpd_ps(x[at + 1]));
                x[at] = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
                x[at + 1] = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
            }
            for at in [0, 1, 4, 5, 8, 9, 12, 13] {
                let (a, b) = (x[at], x[at + 2]);
                x[at] = _mm512_unpacklo_pd(a, b);
                x[at + 2] = _mm512_unpackhi_pd(a, b);
            }
            for at in [0, 1, 2, 3, 8, 9, 10, 11] {
                let (a, b) = (x[at], x[at + 4]);
                x[at] = _mm512_shuffle_f64x2::<0b10_00_10_00>(a, b);
                x[at + 4] = _mm512_shuffle_f64x2::<0b11_01_11_01>(a, b);
            }
            for at in 0..8 {
                let (a, b) = (x[at], x[at + 8]);
                x[at] = _mm512_shuffle_f64x2::<0b10_00_10_00>(a, b);
                x[at + 8] = _mm512_shuffle_f64x2::<0b11_01_11_01>(a, b);
            }
            // The first two steps have swapped rows 1 and 2 of each four.
            for (index, to) in to.iter_mut().enumerate() {
                let at = index & !3 | (index & 1) << 1 | (index & 2) >> 1;
                self.store(_mm512_castpd_ps(x[at]), to);
            }
        })
    }

    #[inline(always)]
    fn load_pairs(self, from: &[i16; 2 * LANES]) -> __m512i {
        self.load_bits(from)
    }

    #[inline(always)]
    fn splat_pair(self, x: [i16; 2]) -> __m512i {
        self.splat_i32(bytemuck::cast(x))
    }

    #[inline(always)]
    fn dot_i16x2(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        if VNNI {
            intrinsics!(self, dot_i16x2(sum, a, b))
        } else {
            intrinsics!(
                self,
                pin_i32(_mm512_add_epi32(sum, _mm512_madd_epi16(a, b)))
            )
        }
    }

    #[inline(always)]
    fn store_bf16(self, x: __m512, to: &mut [i16; LANES]) {
        if BF16 {
            let packed = intrinsics!(self, _mm512_cvtneps_pbh(x));
            return self.store_bf16_half(packed, to);
        }
        let packed = intrinsics!(self, {
            let bits = _mm512_castps_si512(x);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            // Rounding may overflow a NaN's bits, or drop its payload and leave infinity. The quiet bit prevents both.
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x40_0000));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
            let nearest = _mm512_mask_mov_epi32(_mm512_add_epi32(bits, half), nan, quiet);
            _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(nearest))
        });
        self.store_half(packed, to);
    }

    #[inline(always)]
    fn dot_bf16(self, sum: __m512, a: __m512i, b: __m512i) -> __m512 {
        if BF16 {
            intrinsics!(self, dot_bf16(sum, a, b))
        } else {
            intrinsics!(self, {
                let sum = _mm512_fmadd_ps(widen_second(a), widen_second(b), sum);
                pin(_mm512_fmadd_ps(widen_first(a), widen_first(b), sum))
            })
        }
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32, into: Cache) {
        // SAFETY: a prefetch is a hint. It reads nothing, and an unmapped address is harmless.
        unsafe {
            match into {
                Cache::L1 => _mm_prefetch::<_MM_HINT_T0>(at.cast()),
                Cache::L2 => _mm_prefetch::<_MM_HINT_T1>(at.cast()),
            }
        }
    }
}
