//! NEON, which every 64-bit Arm processor has. Sixteen floats occupy four of 32 registers. One level multiplies int8
//! with the dot-product extension, the other without.
#![allow(
    unsafe_code,
    reason = "instructions are reached through unsafe functions"
)]

use std::arch::aarch64::{
    float32x4_t, int8x16_t, int16x8x2_t, int32x4_t, uint16x4_t, vabsq_f32, vadd_f32, vaddq_f32,
    vaddq_s32, vaddq_u32, vandq_u32, vbslq_f32, vbslq_u32, vceqq_f32, vcltzq_s32, vcombine_u8,
    vcombine_u16, vcvtq_f32_s32, vdivq_f32, vdupq_n_f32, vdupq_n_s16, vdupq_n_s32, vdupq_n_u32,
    vfmaq_f32, vget_high_f32, vget_lane_f32, vget_low_f32, vget_low_s8, vget_low_s16, vmaxq_f32,
    vmaxvq_f32, vminq_f32, vmovn_u16, vmovn_u32, vmull_high_s8, vmull_s8, vmulq_f32, vmulq_s32,
    vnegq_f32, vorrq_u32, vpadalq_s16, vpadd_f32, vpaddq_s16, vreinterpretq_f32_s32,
    vreinterpretq_s8_s32, vreinterpretq_s16_f32, vreinterpretq_s32_f32, vreinterpretq_u32_f32,
    vrndmq_f32, vsetq_lane_s32, vshll_high_n_s16, vshll_n_s16, vshlq_n_s32, vshrn_n_u32,
    vshrq_n_u32, vsubq_f32, vuzp1q_s16,
};
use std::arch::asm;

use super::{Cache, Kernel, LANES, ROUND, Simd};

#[inline(never)]
#[target_feature(enable = "neon")]
fn vectorize<K: Kernel, S: Simd>(token: S, kernel: K) -> K::Output {
    kernel.run(token)
}

#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
fn vectorize_dotprod<K: Kernel, S: Simd>(token: S, kernel: K) -> K::Output {
    kernel.run(token)
}

/// Adds the products of four weights and the first four activations to each lane of `sum`. The intrinsic is not stable.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut sum: int32x4_t, weights: int8x16_t, activations: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction accesses only its three registers. The function's features say that the processor has it.
    unsafe {
        asm!(
            "sdot {0:v}.4s, {1:v}.16b, {2:v}.4b[0]",
            inout(vreg) sum,
            in(vreg) weights,
            in(vreg) activations,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// Adds the products of eight pairs of i16 to the sums of the first four pairs and of the last four. Some compilers move
/// the intrinsics of all rows' upper halves behind those of the lower ones, and the broadcasts of all rows ahead of both,
/// and then spill sums to memory.
#[inline]
#[target_feature(enable = "neon")]
fn smlal_pairs(sums: [int32x4_t; 2], a: int16x8x2_t, b: int16x8x2_t) -> [int32x4_t; 2] {
    let [mut low, mut high] = sums;
    // SAFETY: the instructions access only their registers, though the compiler assumes that they may access memory, which
    // keeps later loads behind them. The function's feature says that the processor has them.
    unsafe {
        asm!(
            "smlal {low:v}.4s, {a0:v}.4h, {b0:v}.4h",
            "smlal2 {high:v}.4s, {a0:v}.8h, {b0:v}.8h",
            "smlal {low:v}.4s, {a1:v}.4h, {b1:v}.4h",
            "smlal2 {high:v}.4s, {a1:v}.8h, {b1:v}.8h",
            low = inout(vreg) low,
            high = inout(vreg) high,
            a0 = in(vreg) a.0,
            a1 = in(vreg) a.1,
            b0 = in(vreg) b.0,
            b1 = in(vreg) b.1,
            options(nostack, preserves_flags)
        );
    }
    [low, high]
}

/// Evaluates intrinsics of the level that work on registers. They are unsafe only because a processor may lack them.
/// The first argument, a token, proves that this processor has them.
///
/// Intrinsics that read or write memory are not imported here. `memory` wraps them all in functions that take
/// references.
macro_rules! intrinsics {
    ($token:expr, $call:expr) => {{
        let _: Neon<_> = $token;
        // SAFETY: the token was made by `Neon::new`, which found NEON on this processor, and dot products if `DOTPROD`.
        unsafe { $call }
    }};
}

/// Evaluates [`intrinsics`] once for each of the four registers of a vector.
macro_rules! each {
    ($token:expr, $quarter:ident => $call:expr) => {
        [
            {
                let $quarter = 0;
                intrinsics!($token, $call)
            },
            {
                let $quarter = 1;
                intrinsics!($token, $call)
            },
            {
                let $quarter = 2;
                intrinsics!($token, $call)
            },
            {
                let $quarter = 3;
                intrinsics!($token, $call)
            },
        ]
    };
}

mod memory;
mod token;

pub(crate) use token::Neon;

impl<const DOTPROD: bool> Neon<DOTPROD> {
    /// Stores sixteen i16.
    #[inline(always)]
    fn store_i16(self, x: [uint16x4_t; 4], to: &mut [i16; LANES]) {
        let [first, second]: &mut [[i16; LANES / 2]; 2] = bytemuck::cast_mut(to);
        self.store_half_i16(intrinsics!(self, vcombine_u16(x[0], x[1])), first);
        self.store_half_i16(intrinsics!(self, vcombine_u16(x[2], x[3])), second);
    }
}

impl<const DOTPROD: bool> Simd for Neon<DOTPROD> {
    type F32 = [float32x4_t; 4];
    type I32 = [int32x4_t; 4];
    type QuadI8 = [u8; 4];
    type QuadVec = [int8x16_t; 4];
    // Eight lanes each: their first items, then their second items.
    type PairVec = [int16x8x2_t; 2];

    // 6 x 4 accumulators, four registers for weights and one for an activation: 29 of 32.
    const TILE_ROWS: usize = 6;
    const TILE_PANELS: usize = 1;
    const INT8_TILE_ROWS: usize = if DOTPROD { 6 } else { 5 };
    const I16_TILE_ROWS: usize = 6;
    // 4 x 4 accumulators, eight registers for weights and two for an activation: 26 of 32.
    const BF16_TILE_ROWS: usize = 4;
    const INT8_OFFSET: i32 = 0;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        if DOTPROD {
            intrinsics!(self, vectorize_dotprod(self, kernel))
        } else {
            intrinsics!(self, vectorize(self, kernel))
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [intrinsics!(self, vdupq_n_f32(x)); 4]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        let quarters: &[[f32; 4]; 4] = bytemuck::cast_ref(from);
        quarters.each_ref().map(|quarter| self.load_floats(quarter))
    }

    #[inline(always)]
    fn store(self, x: Self::F32, to: &mut [f32; LANES]) {
        let quarters: &mut [[f32; 4]; 4] = bytemuck::cast_mut(to);
        for (x, to) in x.into_iter().zip(quarters) {
            self.store_floats(x, to);
        }
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(self, i => vaddq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(self, i => vsubq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(self, i => vmulq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(self, i => vdivq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        each!(self, i => vfmaq_f32(c[i], a[i], b[i]))
    }

    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(self, i => vmaxq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(self, i => vminq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn neg_abs(self, x: Self::F32) -> Self::F32 {
        each!(self, i => vnegq_f32(vabsq_f32(x[i])))
    }

    #[inline(always)]
    fn select_by_sign(self, of: Self::F32, minus: Self::F32, plus: Self::F32) -> Self::F32 {
        each!(self, i => vbslq_f32(vcltzq_s32(vreinterpretq_s32_f32(of[i])), minus[i], plus[i]))
    }

    #[inline(always)]
    fn floor_and_frac(self, x: Self::F32) -> (Self::F32, Self::F32) {
        let x = self.max(self.splat(-126.0), x);
        let whole = each!(self, i => vrndmq_f32(x[i]));
        let shift = self.splat(ROUND); // as in `round_and_frac`
        (self.add(whole, shift), self.sub(x, whole))
    }

    #[inline(always)]
    fn ldexp(self, x: Self::F32, k: Self::F32) -> Self::F32 {
        let out = each!(self, i => vreinterpretq_f32_s32(vaddq_s32(
            vreinterpretq_s32_f32(x[i]),
            vshlq_n_s32::<23>(vreinterpretq_s32_f32(k[i])),
        )));
        // Adding bits may turn a NaN into a number. `k * 0` is NaN for every NaN, so this addition restores it.
        self.mul_add(k, self.splat(0.0), out)
    }

    #[inline(always)]
    fn reduce_add(self, x: Self::F32) -> f32 {
        intrinsics!(self, {
            let four = vaddq_f32(vaddq_f32(x[0], x[2]), vaddq_f32(x[1], x[3]));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(vpadd_f32(two, two))
        })
    }

    #[inline(always)]
    fn reduce_max(self, x: Self::F32) -> f32 {
        intrinsics!(
            self,
            vmaxvq_f32(vmaxq_f32(vmaxq_f32(x[0], x[2]), vmaxq_f32(x[1], x[3])))
        )
    }

    #[inline(always)]
    fn store_u8_truncating(self, x: Self::F32, to: &mut [u8; LANES]) {
        let x = each!(self, i => vmovn_u32(vreinterpretq_u32_f32(x[i])));
        let bytes = intrinsics!(self, {
            let low = vmovn_u16(vcombine_u16(x[0], x[1]));
            let high = vmovn_u16(vcombine_u16(x[2], x[3]));
            vcombine_u8(low, high)
        });
        self.store_bytes(bytes, to);
    }

    #[inline(always)]
    fn store_quads(self, x: Self::F32, to: &mut [[u8; 4]; LANES / 4]) {
        self.store_u8_truncating(x, bytemuck::cast_mut(to));
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I32 {
        [intrinsics!(self, vdupq_n_s32(x)); 4]
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> Self::I32 {
        let quarters: &[[i32; 4]; 4] = bytemuck::cast_ref(from);
        quarters.each_ref().map(|quarter| self.load_ints(quarter))
    }

    #[inline(always)]
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        each!(self, i => vmulq_s32(a[i], b[i]))
    }

    #[inline(always)]
    fn to_f32(self, x: Self::I32) -> Self::F32 {
        each!(self, i => vcvtq_f32_s32(x[i]))
    }

    #[inline(always)]
    fn load_quads(self, from: &[i8; 4 * LANES], _: usize) -> Self::QuadVec {
        let quarters: &[[i8; 16]; 4] = bytemuck::cast_ref(from);
        quarters.each_ref().map(|quarter| self.load_bytes(quarter))
    }

    #[inline(always)]
    fn splat_quad(self, x: [u8; 4], _: usize) -> Self::QuadVec {
        let x = i32::from_le_bytes(x);
        // `sdot` reads only the first four bytes, and loading one lane is cheaper than loading four.
        let x = if DOTPROD {
            intrinsics!(self, vsetq_lane_s32::<0>(x, vdupq_n_s32(0)))
        } else {
            intrinsics!(self, vdupq_n_s32(x))
        };
        [intrinsics!(self, vreinterpretq_s8_s32(x)); 4]
    }

    #[inline(always)]
    fn dot_i8x4(
        self,
        sum: Self::I32,
        weights: Self::QuadVec,
        activations: Self::QuadVec,
    ) -> Self::I32 {
        if DOTPROD {
            each!(self, i => sdot(sum[i], weights[i], activations[i]))
        } else {
            // The sum of two products is at most 2 * 127 * 127, which fits an i16.
            each!(self, i => {
                let low = vmull_s8(vget_low_s8(weights[i]), vget_low_s8(activations[i]));
                let high = vmull_high_s8(weights[i], activations[i]);
                vpadalq_s16(sum[i], vpaddq_s16(low, high))
            })
        }
    }

    #[inline(always)]
    fn store_i16_truncating(self, x: Self::F32, to: &mut [i16; LANES]) {
        let x = each!(self, i => vmovn_u32(vreinterpretq_u32_f32(x[i])));
        self.store_i16(x, to);
    }

    #[inline(always)]
    fn pair_i16_truncating(self, even: Self::F32, odd: Self::F32) -> Self::PairVec {
        /// Returns the low halves of eight lanes.
        macro_rules! low {
            ($x:ident, $at:literal) => {
                intrinsics!(
                    self,
                    vuzp1q_s16(
                        vreinterpretq_s16_f32($x[$at]),
                        vreinterpretq_s16_f32($x[$at + 1]),
                    )
                )
            };
        }
        [
            int16x8x2_t(low!(even, 0), low!(odd, 0)),
            int16x8x2_t(low!(even, 2), low!(odd, 2)),
        ]
    }

    #[inline(always)]
    fn store_pairs(self, pairs: Self::PairVec, to: &mut [i16; 2 * LANES]) {
        let [first, second]: &mut [[i16; LANES]; 2] = bytemuck::cast_mut(to);
        self.store_half_pairs(pairs[0], first);
        self.store_half_pairs(pairs[1], second);
    }

    #[inline(always)]
    fn load_pairs(self, from: &[i16; 2 * LANES]) -> Self::PairVec {
        let [first, second]: &[[i16; LANES]; 2] = bytemuck::cast_ref(from);
        [self.load_half_pairs(first), self.load_half_pairs(second)]
    }

    #[inline(always)]
    fn splat_pair(self, x: [i16; 2]) -> Self::PairVec {
        [intrinsics!(self, int16x8x2_t(vdupq_n_s16(x[0]), vdupq_n_s16(x[1]))); 2]
    }

    #[inline(always)]
    fn dot_i16x2(self, sum: Self::I32, a: Self::PairVec, b: Self::PairVec) -> Self::I32 {
        let [low, high] = [[sum[0], sum[1]], [sum[2], sum[3]]];
        let low = intrinsics!(self, smlal_pairs(low, a[0], b[0]));
        let high = intrinsics!(self, smlal_pairs(high, a[1], b[1]));
        [low[0], low[1], high[0], high[1]]
    }

    #[inline(always)]
    fn store_bf16(self, x: Self::F32, to: &mut [i16; LANES]) {
        let packed = each!(self, i => {
            let bits = vreinterpretq_u32_f32(x[i]);
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
            // Rounding may overflow a NaN's bits, or drop its payload and leave infinity. The quiet bit prevents both.
            let quiet = vorrq_u32(bits, vdupq_n_u32(0x40_0000));
            vshrn_n_u32::<16>(vbslq_u32(vceqq_f32(x[i], x[i]), rounded, quiet))
        });
        self.store_i16(packed, to);
    }

    #[inline(always)]
    fn dot_bf16(self, sum: Self::F32, a: Self::PairVec, b: Self::PairVec) -> Self::F32 {
        let mut out = sum;
        for half in 0..2 {
            let (a, b) = (a[half], b[half]);
            for (a, b) in [(a.1, b.1), (a.0, b.0)] {
                intrinsics!(self, {
                    let low = |x| vreinterpretq_f32_s32(vshll_n_s16::<16>(vget_low_s16(x)));
                    let high = |x| vreinterpretq_f32_s32(vshll_high_n_s16::<16>(x));
                    out[2 * half] = vfmaq_f32(out[2 * half], low(a), low(b));
                    out[2 * half + 1] = vfmaq_f32(out[2 * half + 1], high(a), high(b));
                })
            }
        }
        out
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32, into: Cache) {
        // SAFETY: a prefetch is a hint. It reads nothing, and an unmapped address is harmless. (It is assembly because
        // the intrinsic is not stable.)
        unsafe {
            match into {
                Cache::L1 => {
                    asm!("prfm pldl1keep, [{}]", in(reg) at, options(nostack, readonly, preserves_flags));
                }
                Cache::L2 => {
                    asm!("prfm pldl2keep, [{}]", in(reg) at, options(nostack, readonly, preserves_flags));
                }
            }
        }
    }
}
