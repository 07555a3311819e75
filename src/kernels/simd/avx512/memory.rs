//! Loads and stores of the level, its only intrinsics that read or write memory.
//!
//! Each takes a reference to exactly the bytes that it accesses, so safe code cannot make one access other memory.

use std::arch::x86_64::{
    __m128i, __m256bh, __m256i, __m512, __m512i, __mmask16, _mm_storeu_si128, _mm256_storeu_si256,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_storeu_ps, _mm512_storeu_si512,
};

use bytemuck::Pod;

use super::{Avx512, LANES};

/// Returns a mask of the first `len` lanes; of all lanes if `len` is sixteen or more.
#[inline(always)]
fn first_n_mask(len: usize) -> __mmask16 {
    ((1 << len.min(LANES)) - 1_u32) as __mmask16
}

impl<const VNNI: bool, const BF16: bool> Avx512<VNNI, BF16> {
    /// Loads sixteen floats.
    #[inline(always)]
    pub(super) fn load_floats(self, from: &[f32; LANES]) -> __m512 {
        // SAFETY: the load may be unaligned and reads the sixteen floats of `from`.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    /// Loads at most sixteen floats of a slice. The remaining lanes are `fill`.
    #[inline(always)]
    pub(super) fn load_first_floats(self, from: &[f32], fill: __m512) -> __m512 {
        // SAFETY: the load reads only the lanes in the mask, which are below the length of `from`.
        unsafe { _mm512_mask_loadu_ps(fill, first_n_mask(from.len()), from.as_ptr()) }
    }

    /// Stores sixteen floats.
    #[inline(always)]
    pub(super) fn store_floats(self, x: __m512, to: &mut [f32; LANES]) {
        // SAFETY: the store may be unaligned and writes the sixteen floats of `to`.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
    }

    /// Stores the first lanes to a slice, at most sixteen.
    #[inline(always)]
    pub(super) fn store_first_floats(self, x: __m512, to: &mut [f32]) {
        // SAFETY: the store writes only the lanes in the mask, which are below the length of `to`.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first_n_mask(to.len()), x) }
    }

    /// Loads the 64 bytes of a value.
    #[inline(always)]
    pub(super) fn load_bits<T: Pod>(self, from: &T) -> __m512i {
        const { assert!(size_of::<T>() == 64) };
        // SAFETY: the load may be unaligned and reads the 64 bytes of `from`, all of which a `Pod` has initialised.
        unsafe { _mm512_loadu_si512(std::ptr::from_ref(from).cast()) }
    }

    /// Stores a register to the 64 bytes of a value.
    #[inline(always)]
    pub(super) fn store_bits<T: Pod>(self, x: __m512i, to: &mut T) {
        const { assert!(size_of::<T>() == 64) };
        // SAFETY: the store may be unaligned and writes the 64 bytes of `to`, where any bits are a valid `Pod`.
        unsafe { _mm512_storeu_si512(std::ptr::from_mut(to).cast(), x) }
    }

    /// Stores half a register to the 32 bytes of a value.
    #[inline(always)]
    pub(super) fn store_half<T: Pod>(self, x: __m256i, to: &mut T) {
        const { assert!(size_of::<T>() == 32) };
        // SAFETY: the store may be unaligned and writes the 32 bytes of `to`, where any bits are a valid `Pod`.
        unsafe { _mm256_storeu_si256(std::ptr::from_mut(to).cast(), x) }
    }

    /// Stores a quarter of a register to the 16 bytes of a value.
    #[inline(always)]
    pub(super) fn store_quarter<T: Pod>(self, x: __m128i, to: &mut T) {
        const { assert!(size_of::<T>() == 16) };
        // SAFETY: the store may be unaligned and writes the 16 bytes of `to`, where any bits are a valid `Pod`.
        unsafe { _mm_storeu_si128(std::ptr::from_mut(to).cast(), x) }
    }

    /// Stores sixteen bf16 numbers.
    #[inline(always)]
    pub(super) fn store_bf16_half(self, x: __m256bh, to: &mut [i16; LANES]) {
        // SAFETY: the write may be unaligned and writes the 32 bytes of `to`, where any bits are a valid i16.
        unsafe { to.as_mut_ptr().cast::<__m256bh>().write_unaligned(x) }
    }
}
