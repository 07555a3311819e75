//! What a compiler must leave where it stands.

use std::arch::asm;
use std::arch::x86_64::{__m256i, _mm256_add_epi32, _mm256_madd_epi16};

/// Keeps the compiler from moving later loads ahead of this value ([`Simd::pin_i32`](super::Simd::pin_i32)).
#[inline]
#[target_feature(enable = "avx2")]
fn pin_i32(x: [__m256i; 2]) -> [__m256i; 2] {
    let [mut a, mut b] = x;
    // SAFETY: no instruction, only a comment, which takes registers and gives them back as they are. That it might also
    // touch memory, for all the compiler knows, is what keeps later loads behind it.
    unsafe {
        asm!("/* {} {} */", inout(ymm_reg) a, inout(ymm_reg) b, options(nostack, preserves_flags))
    };
    [a, b]
}

/// `sum` and, in each lane, the products of two words, in the order of the program: both products, then both sums, so that
/// fewer of these stand in the way of multipliers (3 % on Zen 4).
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn dot_i16x2(sum: [__m256i; 2], a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
    let products = pin_i32([_mm256_madd_epi16(a[0], b[0]), _mm256_madd_epi16(a[1], b[1])]);
    pin_i32([
        _mm256_add_epi32(sum[0], products[0]),
        _mm256_add_epi32(sum[1], products[1]),
    ])
}
