//! What a compiler must leave where it stands: fences, and products that it would take apart.

use std::arch::asm;
use std::arch::x86_64::{__m512, __m512i};

/// Keeps the compiler from moving later loads ahead of this value ([`Simd::pin`](super::Simd::pin)).
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn pin(mut x: __m512) -> __m512 {
    // SAFETY: no instruction, only a comment, which takes a register and gives it back as it is. That it might also
    // touch memory, for all the compiler knows, is what keeps later loads behind it.
    unsafe { asm!("/* {} */", inout(zmm_reg) x, options(nostack, preserves_flags)) };
    x
}

/// Keeps the compiler from moving later loads ahead of these integers ([`Simd::pin_i32`](super::Simd::pin_i32)).
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn pin_i32(mut x: __m512i) -> __m512i {
    // SAFETY: no instruction, as in `pin`.
    unsafe { asm!("/* {} */", inout(zmm_reg) x, options(nostack, preserves_flags)) };
    x
}

/// `vpdpwssd`, in the order of the program, as `pin`. Its intrinsic will not do: the compiler takes it apart into a
/// product and a sum.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn dot_i16x2(mut sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: one instruction of the function's features, on registers alone; that it might touch memory is only what the compiler thinks.
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

/// `vdpbf16ps`, in the order of the program, as `pin`. Its intrinsic takes vectors of a type of their own, which
/// nothing but memory becomes.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn dot_bf16(mut sum: __m512, a: __m512i, b: __m512i) -> __m512 {
    // SAFETY: one instruction of the function's features, on registers alone, as in `dot_i16x2`.
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
