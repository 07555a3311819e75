//! Loads and stores of the level, its only intrinsics that read or write memory.
//!
//! Each takes a reference to exactly the bytes that it accesses, so safe code cannot make one access other memory.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_storeu_si128, _mm256_blendv_ps, _mm256_castsi256_ps,
    _mm256_cmpgt_epi32, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps, _mm256_set1_epi32,
    _mm256_setr_epi32, _mm256_storeu_ps, _mm256_storeu_si256,
};

use bytemuck::Pod;

use super::Avx2;

impl<const VNNI: bool> Avx2<VNNI> {
    /// Loads eight floats.
    #[inline(always)]
    pub(super) fn load_floats(self, from: &[f32; 8]) -> __m256 {
        // SAFETY: the load may be unaligned and reads the eight floats of `from`.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }

    /// Loads at most eight floats of a slice. The remaining lanes are `fill`. (There is no such store, because a masked
    /// store takes tens of cycles on some processors of this level.)
    #[inline(always)]
    pub(super) fn load_first_floats(self, from: &[f32], fill: __m256) -> __m256 {
        let mask = intrinsics!(self, {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            // The low 32 bits of a length, read as an i32, are never more than the length.
            _mm256_cmpgt_epi32(_mm256_set1_epi32(from.len() as i32), lanes)
        });
        // SAFETY: the load reads only the lanes in the mask, which are below the length of `from`.
        let some = unsafe { _mm256_maskload_ps(from.as_ptr(), mask) };
        intrinsics!(
            self,
            _mm256_blendv_ps(fill, some, _mm256_castsi256_ps(mask))
        )
    }

    /// Stores eight floats.
    #[inline(always)]
    pub(super) fn store_floats(self, x: __m256, to: &mut [f32; 8]) {
        // SAFETY: the store may be unaligned and writes the eight floats of `to`.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), x) }
    }

    /// Loads the 32 bytes of a value.
    #[inline(always)]
    pub(super) fn load_bits<T: Pod>(self, from: &T) -> __m256i {
        const { assert!(size_of::<T>() == 32) };
        // SAFETY: the load may be unaligned and reads the 32 bytes of `from`, all of which a `Pod` has initialised.
        unsafe { _mm256_loadu_si256(std::ptr::from_ref(from).cast()) }
    }

    /// Stores a register to the 32 bytes of a value.
    #[inline(always)]
    pub(super) fn store_bits<T: Pod>(self, x: __m256i, to: &mut T) {
        const { assert!(size_of::<T>() == 32) };
        // SAFETY: the store may be unaligned and writes the 32 bytes of `to`, where any bits are a valid `Pod`.
        unsafe { _mm256_storeu_si256(std::ptr::from_mut(to).cast(), x) }
    }

    /// Stores half a register to the 16 bytes of a value.
    #[inline(always)]
    pub(super) fn store_half<T: Pod>(self, x: __m128i, to: &mut T) {
        const { assert!(size_of::<T>() == 16) };
        // SAFETY: the store may be unaligned and writes the 16 bytes of `to`, where any bits are a valid `Pod`.
        unsafe { _mm_storeu_si128(std::ptr::from_mut(to).cast(), x) }
    }
}
