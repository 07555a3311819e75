//! Instructions that the compiler must not reorder or split.

use std::arch::asm;
use std::arch::x86_64::{__m512, __m512i};

/// Returns `x`, and keeps the compiler from moving later loads ahead of it ([`Simd::pin`](super::Simd::pin)).
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn pin(mut x: __m512) -> __m512 {
    // SAFETY: the assembly is only a comment and leaves its register unchanged. The compiler assumes that it may access
    // memory, which keeps later loads behind it.
    unsafe { asm!("/* {} */", inout(zmm_reg) x, options(nostack, preserves_flags)) };
    x
}

/// Returns `x`, and keeps the compiler from moving later loads ahead of it ([`Simd::pin_i32`](super::Simd::pin_i32)).
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn pin_i32(mut x: __m512i) -> __m512i {
    // SAFETY: the assembly is only a comment, as in `pin`.
    unsafe { asm!("/* {} */", inout(zmm_reg) x, options(nostack, preserves_flags)) };
    x
}

/// Adds the products of two i16 pairs to each lane of `sum` (`vpdpwssd`), pinned like `pin`. The compiler would split
/// the intrinsic into a multiplication and an addition.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn dot_i16x2(mut sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: one instruction of the function's features. It accesses registers only, though the compiler assumes that
    // it may access memory.
    unsafe {
        asm!(
            "vpdpwssd {}, {}, {}",
            inout(zmm_reg) sum,
            in(zmm_reg) a,
            in(zmm_reg) b,
            options(nostack, preserves_flags)
        );
    }
    sum
}

/// Adds the products of two bf16 pairs to each lane of `sum` (`vdpbf16ps`), pinned like `pin`. The intrinsic takes a
/// vector type that can only be loaded from memory.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn dot_bf16(mut sum: __m512, a: __m512i, b: __m512i) -> __m512 {
    // SAFETY: one instruction of the function's features. It accesses registers only, as in `dot_i16x2`.
    unsafe {
        asm!(
            "vdpbf16ps {}, {}, {}",
            inout(zmm_reg) sum,
            in(zmm_reg) a,
            in(zmm_reg) b,
            options(nostack, preserves_flags)
        );
    }
    sum
}
