//! AVX2 with fused products: sixteen floats are two registers, of which there are 16.
#![allow(
    unsafe_code,
    reason = "instructions are reached through unsafe functions"
)]

use std::arch::x86_64::*;

use super::{Kernel, LANES, Simd};

/// Proof that this processor has AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The token, if this processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        has.then_some(Self(()))
    }
}

#[target_feature(enable = "avx2,fma")]
fn enter<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
    kernel.run(token)
}

/// Calls instructions of the level.
macro_rules! with {
    ($call:expr) => {
        // SAFETY: the token at hand was made by `Avx2::new`, which found the instructions on this processor.
        // Addresses come from references to sixteen floats, of which an unaligned load or store touches the first or
        // the last eight.
        unsafe { $call }
    };
}

impl Simd for Avx2 {
    type Floats = [__m256; 2];

    // 6 x 2 accumulators, two registers of weights and one for an activation: 15 of 16.
    const TILE_ROWS: usize = 6;
    const TILE_PANELS: usize = 1;

    #[inline(always)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        with!(enter(self, kernel))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::Floats {
        [with!(_mm256_set1_ps(x)); 2]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::Floats {
        let from = from.as_ptr();
        with!([_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))])
    }

    #[inline(always)]
    fn store(self, x: Self::Floats, to: &mut [f32; LANES]) {
        let to = to.as_mut_ptr();
        with!({
            _mm256_storeu_ps(to, x[0]);
            _mm256_storeu_ps(to.add(8), x[1]);
        })
    }

    #[inline(always)]
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        with!([_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn sub(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        with!([_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        with!([_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn div(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        with!([_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        with!([
            _mm256_fmadd_ps(a[0], b[0], c[0]),
            _mm256_fmadd_ps(a[1], b[1], c[1])
        ])
    }

    #[inline(always)]
    fn max(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        with!([_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn minus_abs(self, x: Self::Floats) -> Self::Floats {
        let sign = self.splat(-0.0);
        with!([_mm256_or_ps(sign[0], x[0]), _mm256_or_ps(sign[1], x[1])])
    }

    #[inline(always)]
    fn by_sign(self, of: Self::Floats, minus: Self::Floats, plus: Self::Floats) -> Self::Floats {
        with!([
            _mm256_blendv_ps(plus[0], minus[0], of[0]),
            _mm256_blendv_ps(plus[1], minus[1], of[1]),
        ])
    }

    #[inline(always)]
    fn times_power_of_two(self, x: Self::Floats, k: Self::Floats) -> Self::Floats {
        let mut out = x;
        for half in 0..2 {
            out[half] = with!(_mm256_castsi256_ps(_mm256_add_epi32(
                _mm256_castps_si256(x[half]),
                _mm256_slli_epi32::<23>(_mm256_castps_si256(k[half])),
            )));
        }
        out
    }

    #[inline(always)]
    fn sum(self, x: Self::Floats) -> f32 {
        with!({
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
    fn largest(self, x: Self::Floats) -> f32 {
        with!({
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
    fn prefetch(self, at: *const f32) {
        // SAFETY: a prefetch is a hint: it reads nothing, and an address that is not there does no harm.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}
