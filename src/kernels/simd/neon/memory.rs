//! Loads and stores of the level, its only intrinsics that read or write memory.
//!
//! Each takes a reference to exactly the bytes that it accesses, so safe code cannot make one access other memory.

use std::arch::aarch64::{
    float32x4_t, int8x16_t, int16x8x2_t, int32x4_t, uint8x16_t, uint16x8_t, vld1q_f32, vld1q_s8,
    vld1q_s32, vld2q_s16, vst1q_f32, vst1q_u8, vst1q_u16, vst2q_s16,
};

use super::Neon;

impl<const DOTPROD: bool> Neon<DOTPROD> {
    /// Loads four floats.
    #[inline(always)]
    pub(super) fn load_floats(self, from: &[f32; 4]) -> float32x4_t {
        // SAFETY: the load needs only a float's alignment and reads the four floats of `from`.
        unsafe { vld1q_f32(from.as_ptr()) }
    }

    /// Stores four floats.
    #[inline(always)]
    pub(super) fn store_floats(self, x: float32x4_t, to: &mut [f32; 4]) {
        // SAFETY: the store needs only a float's alignment and writes the four floats of `to`.
        unsafe { vst1q_f32(to.as_mut_ptr(), x) }
    }

    /// Loads four integers.
    #[inline(always)]
    pub(super) fn load_ints(self, from: &[i32; 4]) -> int32x4_t {
        // SAFETY: the load needs only an integer's alignment and reads the four integers of `from`.
        unsafe { vld1q_s32(from.as_ptr()) }
    }

    /// Loads sixteen bytes.
    #[inline(always)]
    pub(super) fn load_bytes(self, from: &[i8; 16]) -> int8x16_t {
        // SAFETY: the load needs no alignment and reads the sixteen bytes of `from`.
        unsafe { vld1q_s8(from.as_ptr()) }
    }

    /// Stores sixteen bytes.
    #[inline(always)]
    pub(super) fn store_bytes(self, x: uint8x16_t, to: &mut [u8; 16]) {
        // SAFETY: the store needs no alignment and writes the sixteen bytes of `to`.
        unsafe { vst1q_u8(to.as_mut_ptr(), x) }
    }

    /// Stores eight i16.
    #[inline(always)]
    pub(super) fn store_half_i16(self, x: uint16x8_t, to: &mut [i16; 8]) {
        // SAFETY: the store needs only the alignment of an i16 and writes the eight i16 of `to`.
        unsafe { vst1q_u16(to.as_mut_ptr().cast(), x) }
    }

    /// Loads eight pairs of i16: the first items of all pairs, then the second ones.
    #[inline(always)]
    pub(super) fn load_half_pairs(self, from: &[i16; 16]) -> int16x8x2_t {
        // SAFETY: the load needs only the alignment of an i16 and reads the sixteen i16 of `from`.
        unsafe { vld2q_s16(from.as_ptr()) }
    }

    /// Stores eight pairs of i16.
    #[inline(always)]
    pub(super) fn store_half_pairs(self, x: int16x8x2_t, to: &mut [i16; 16]) {
        // SAFETY: the store needs only the alignment of an i16 and writes the sixteen i16 of `to`.
        unsafe { vst2q_s16(to.as_mut_ptr(), x) }
    }
}
