//! AVX2 with FMA. Sixteen floats occupy two of 16 registers. One level multiplies int8 with AVX-VNNI, the other
//! without.
#![allow(
    unsafe_code,
    reason = "instructions are reached through unsafe functions"
)]

use std::arch::x86_64::{
    __m256, __m256i, _CMP_UNORD_Q, _MM_HINT_T0, _MM_HINT_T1, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32,
    _mm_max_ps, _mm_max_ss, _mm_movehdup_ps, _mm_movehl_ps, _mm_packus_epi16, _mm_prefetch,
    _mm256_add_epi32, _mm256_add_ps, _mm256_and_si256, _mm256_blend_epi16, _mm256_blendv_ps,
    _mm256_castps_si256, _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_castsi256_si128,
    _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_div_ps, _mm256_dpwssd_avx_epi32,
    _mm256_extractf128_ps, _mm256_extracti128_si256, _mm256_floor_ps, _mm256_fmadd_ps,
    _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_mullo_epi32, _mm256_or_ps, _mm256_or_si256,
    _mm256_packus_epi32, _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_si256, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_sub_ps,
};

use super::{Cache, Kernel, LANES, ROUND, Simd};

/// Evaluates intrinsics of the level that work on registers. They are unsafe only because a processor may lack them.
/// The first argument, a token, proves that this processor has them.
///
/// Intrinsics that read or write memory are not imported here or in `int8`. `memory` wraps them all in functions that
/// take references.
macro_rules! intrinsics {
    ($token:expr, $call:expr) => {{
        let _: $crate::kernels::simd::avx2::Avx2<_> = $token;
        // SAFETY: the token was made by `Avx2::new`, which found AVX2 and FMA on this processor, and AVX-VNNI if
        // `VNNI`.
        unsafe { $call }
    }};
}

mod asm;
mod int8;
mod memory;
mod token;

use asm::dot_i16x2;
use int8::Int8Dot;
pub(crate) use token::Avx2;

#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn vectorize<K: Kernel, S: Simd>(token: S, kernel: K) -> K::Output {
    kernel.run(token)
}

#[inline(never)]
#[target_feature(enable = "avx2,fma,avxvnni")]
fn vectorize_vnni<K: Kernel, S: Simd>(token: S, kernel: K) -> K::Output {
    kernel.run(token)
}

/// Converts the first bf16 number of each pair to f32.
#[inline]
#[target_feature(enable = "avx2")]
fn widen_first(pairs: __m256i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs))
}

/// Converts the second bf16 number of each pair to f32.
#[inline]
#[target_feature(enable = "avx2")]
fn widen_second(pairs: __m256i) -> __m256 {
    let high = _mm256_set1_epi32(0xffff_0000_u32 as i32);
    _mm256_castsi256_ps(_mm256_and_si256(pairs, high))
}

impl<const VNNI: bool> Avx2<VNNI> {
    /// Returns the lowest sixteen bits of each lane.
    #[inline(always)]
    fn truncate_to_i16(self, x: [__m256; 2]) -> __m256i {
        intrinsics!(self, {
            let low = _mm256_set1_epi32(0xffff);
            let a = _mm256_and_si256(_mm256_castps_si256(x[0]), low);
            let b = _mm256_and_si256(_mm256_castps_si256(x[1]), low);
            // Packing works within halves of a register, so the quarters come out as 0 2 1 3. The permutation sorts
            // them.
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(a, b))
        })
    }
}

impl<const VNNI: bool> Simd for Avx2<VNNI>
where
    Self: Int8Dot,
{
    type F32 = [__m256; 2];
    type I32 = [__m256i; 2];
    type QuadI8 = <Self as Int8Dot>::QuadI8;
    type QuadVec = [__m256i; 2];
    type PairVec = [__m256i; 2];

    // 6 x 2 accumulators, two registers for weights and one for an activation: 15 of 16.
    const TILE_ROWS: usize = 6;
    const TILE_PANELS: usize = 1;
    // Also 15 of 16. Products of i16 need the last register too.
    const INT8_TILE_ROWS: usize = 6;
    const I16_TILE_ROWS: usize = 6;
    // 4 x 2 accumulators, four registers for weights and two for an activation: 14 of 16. A fifth row would take all
    // 16, and accumulators would be spilled, which takes half as long again.
    const BF16_TILE_ROWS: usize = 4;
    const INT8_OFFSET: i32 = <Self as Int8Dot>::OFFSET;
    const INT8_SUBSTEPS: usize = <Self as Int8Dot>::SUBSTEPS;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        if VNNI {
            intrinsics!(self, vectorize_vnni(self, kernel))
        } else {
            intrinsics!(self, vectorize(self, kernel))
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [intrinsics!(self, _mm256_set1_ps(x)); 2]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        let [first, second] = bytemuck::cast_ref(from);
        [self.load_floats(first), self.load_floats(second)]
    }

    #[inline(always)]
    fn load_partial(self, from: &[f32], fill: f32) -> Self::F32 {
        if let Some(whole) = from.first_chunk() {
            return self.load(whole);
        }
        let (first, second) = from.split_at(from.len().min(8));
        let [fill, _] = self.splat(fill);
        [
            self.load_first_floats(first, fill),
            self.load_first_floats(second, fill),
        ]
    }

    #[inline(always)]
    fn store(self, x: Self::F32, to: &mut [f32; LANES]) {
        let [first, second] = bytemuck::cast_mut(to);
        self.store_floats(x[0], first);
        self.store_floats(x[1], second);
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        intrinsics!(self, [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        intrinsics!(self, [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        intrinsics!(self, [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        intrinsics!(self, [_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        intrinsics!(
            self,
            [
                _mm256_fmadd_ps(a[0], b[0], c[0]),
                _mm256_fmadd_ps(a[1], b[1], c[1])
            ]
        )
    }

    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        intrinsics!(self, [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        intrinsics!(self, [_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn neg_abs(self, x: Self::F32) -> Self::F32 {
        let sign = self.splat(-0.0);
        intrinsics!(
            self,
            [_mm256_or_ps(sign[0], x[0]), _mm256_or_ps(sign[1], x[1])]
        )
    }

    #[inline(always)]
    fn select_by_sign(self, of: Self::F32, minus: Self::F32, plus: Self::F32) -> Self::F32 {
        intrinsics!(
            self,
            [
                _mm256_blendv_ps(plus[0], minus[0], of[0]),
                _mm256_blendv_ps(plus[1], minus[1], of[1]),
            ]
        )
    }

    #[inline(always)]
    fn floor_and_frac(self, x: Self::F32) -> (Self::F32, Self::F32) {
        let x = self.max(self.splat(-126.0), x);
        let whole = intrinsics!(self, [_mm256_floor_ps(x[0]), _mm256_floor_ps(x[1])]);
        let shift = self.splat(ROUND); // as in `round_and_frac`
        (self.add(whole, shift), self.sub(x, whole))
    }

    #[inline(always)]
    fn ldexp(self, x: Self::F32, k: Self::F32) -> Self::F32 {
        let mut out = x;
        for half in 0..2 {
            out[half] = intrinsics!(
                self,
                _mm256_castsi256_ps(_mm256_add_epi32(
                    _mm256_castps_si256(x[half]),
                    _mm256_slli_epi32::<23>(_mm256_castps_si256(k[half])),
                ))
            );
        }
        // Adding bits may turn a NaN into a number. `k * 0` is NaN for every NaN, so this addition restores it.
        self.mul_add(k, self.splat(0.0), out)
    }

    #[inline(always)]
    fn reduce_add(self, x: Self::F32) -> f32 {
        intrinsics!(self, {
            let eight = _mm256_add_ps(x[0], x[1]);
            let four = _mm_add_ps(
                _mm256_castps256_ps128(eight),
                _mm256_extractf128_ps::<1>(eight),
            );
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn reduce_max(self, x: Self::F32) -> f32 {
        intrinsics!(self, {
            let eight = _mm256_max_ps(x[0], x[1]);
            let four = _mm_max_ps(
                _mm256_castps256_ps128(eight),
                _mm256_extractf128_ps::<1>(eight),
            );
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn store_u8_truncating(self, x: Self::F32, to: &mut [u8; LANES]) {
        let bytes = intrinsics!(self, {
            let low = _mm256_set1_epi32(0xff);
            let a = _mm256_and_si256(_mm256_castps_si256(x[0]), low);
            let b = _mm256_and_si256(_mm256_castps_si256(x[1]), low);
            // Sorts the quarters, as in `truncate_to_i16`.
            let pairs = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(a, b));
            _mm_packus_epi16(
                _mm256_castsi256_si128(pairs),
                _mm256_extracti128_si256::<1>(pairs),
            )
        });
        self.store_half(bytes, to);
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I32 {
        [intrinsics!(self, _mm256_set1_epi32(x)); 2]
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> Self::I32 {
        let [first, second]: &[[i32; LANES / 2]; 2] = bytemuck::cast_ref(from);
        [self.load_bits(first), self.load_bits(second)]
    }

    #[inline(always)]
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        intrinsics!(
            self,
            [
                _mm256_mullo_epi32(a[0], b[0]),
                _mm256_mullo_epi32(a[1], b[1])
            ]
        )
    }

    #[inline(always)]
    fn to_f32(self, x: Self::I32) -> Self::F32 {
        intrinsics!(self, [_mm256_cvtepi32_ps(x[0]), _mm256_cvtepi32_ps(x[1])])
    }

    #[inline(always)]
    fn store_quads(self, x: Self::F32, to: &mut [Self::QuadI8; LANES / 4]) {
        Int8Dot::store_quads(self, x, to);
    }

    #[inline(always)]
    fn load_quads(self, from: &[i8; 4 * LANES], substep: usize) -> Self::QuadVec {
        let [first, second]: &[[i8; 2 * LANES]; 2] = bytemuck::cast_ref(from);
        let bytes = [self.load_bits(first), self.load_bits(second)];
        bytes.map(|bytes| Int8Dot::weights(self, bytes, substep))
    }

    #[inline(always)]
    fn splat_quad(self, x: Self::QuadI8, substep: usize) -> Self::QuadVec {
        self.splat_i32(<Self as Int8Dot>::activations(x, substep))
    }

    #[inline(always)]
    fn dot_i8x4(
        self,
        sum: Self::I32,
        weights: Self::QuadVec,
        activations: Self::QuadVec,
    ) -> Self::I32 {
        Int8Dot::dot_i8x4(self, sum, weights, activations)
    }

    #[inline(always)]
    fn store_i16_truncating(self, x: Self::F32, to: &mut [i16; LANES]) {
        self.store_bits(self.truncate_to_i16(x), to);
    }

    #[inline(always)]
    fn pair_i16_truncating(self, even: Self::F32, odd: Self::F32) -> Self::PairVec {
        intrinsics!(self, {
            let mut pairs = [_mm256_setzero_si256(); 2];
            for half in 0..2 {
                let odd = _mm256_slli_epi32::<16>(_mm256_castps_si256(odd[half]));
                let even = _mm256_castps_si256(even[half]);
                pairs[half] = _mm256_blend_epi16::<0b1010_1010>(even, odd);
            }
            pairs
        })
    }

    #[inline(always)]
    fn store_pairs(self, pairs: Self::PairVec, to: &mut [i16; 2 * LANES]) {
        let [first, second]: &mut [[i16; LANES]; 2] = bytemuck::cast_mut(to);
        self.store_bits(pairs[0], first);
        self.store_bits(pairs[1], second);
    }

    #[inline(always)]
    fn load_pairs(self, from: &[i16; 2 * LANES]) -> Self::PairVec {
        let [first, second]: &[[i16; LANES]; 2] = bytemuck::cast_ref(from);
        [self.load_bits(first), self.load_bits(second)]
    }

    #[inline(always)]
    fn splat_pair(self, x: [i16; 2]) -> Self::PairVec {
        self.splat_i32(bytemuck::cast(x))
    }

    #[inline(always)]
    fn dot_i16x2(self, sum: Self::I32, a: Self::PairVec, b: Self::PairVec) -> Self::I32 {
        if VNNI {
            intrinsics!(
                self,
                [
                    _mm256_dpwssd_avx_epi32(sum[0], a[0], b[0]),
                    _mm256_dpwssd_avx_epi32(sum[1], a[1], b[1])
                ]
            )
        } else {
            intrinsics!(self, dot_i16x2(sum, a, b))
        }
    }

    #[inline(always)]
    fn store_bf16(self, x: Self::F32, to: &mut [i16; LANES]) {
        let mut rounded = [intrinsics!(self, _mm256_setzero_si256()); 2];
        for (x, rounded) in x.into_iter().zip(&mut rounded) {
            intrinsics!(self, {
                let bits = _mm256_castps_si256(x);
                let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
                let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
                // Rounding may overflow a NaN's bits, or drop its payload and leave infinity. The quiet bit prevents
                // both.
                let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
                let nearest = _mm256_blendv_ps(
                    _mm256_castsi256_ps(_mm256_add_epi32(bits, half)),
                    _mm256_castsi256_ps(quiet),
                    _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x),
                );
                *rounded = _mm256_srli_epi32::<16>(_mm256_castps_si256(nearest));
            });
        }
        let packed = intrinsics!(self, {
            // Sorts the quarters, as in `truncate_to_i16`.
            let packed = _mm256_packus_epi32(rounded[0], rounded[1]);
            _mm256_permute4x64_epi64::<0b11_01_10_00>(packed)
        });
        self.store_bits(packed, to);
    }

    #[inline(always)]
    fn dot_bf16(self, sum: Self::F32, a: Self::PairVec, b: Self::PairVec) -> Self::F32 {
        let mut out = sum;
        for half in 0..2 {
            let (a, b) = (a[half], b[half]);
            out[half] = intrinsics!(self, {
                let sum = _mm256_fmadd_ps(widen_second(a), widen_second(b), sum[half]);
                _mm256_fmadd_ps(widen_first(a), widen_first(b), sum)
            });
        }
        out
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
