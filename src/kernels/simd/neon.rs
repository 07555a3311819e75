//! NEON, which every 64-bit Arm processor has: sixteen floats are four registers, of which there are 32.
#![allow(
    unsafe_code,
    reason = "instructions are reached through unsafe functions"
)]

use std::arch::aarch64::*;

use super::{Kernel, LANES, Simd};

/// Proof that this processor has NEON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// The token, if this processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

#[target_feature(enable = "neon")]
fn enter<K: Kernel>(token: Neon, kernel: K) -> K::Output {
    kernel.run(token)
}

/// Calls instructions of the level.
macro_rules! with {
    ($call:expr) => {
        // SAFETY: the token at hand was made by `Neon::new`, which found the instructions on this processor.
        // Addresses come from references to sixteen floats, of which each load or store touches one quarter.
        unsafe { $call }
    };
}

/// The same operation on each of the four registers.
macro_rules! each {
    ($quarter:ident => $call:expr) => {{
        let mut out = [with!(vdupq_n_f32(0.0)); 4];
        for $quarter in 0..4 {
            out[$quarter] = with!($call);
        }
        out
    }};
}

impl Simd for Neon {
    type Floats = [float32x4_t; 4];

    // 6 x 4 accumulators, four registers of weights and one for an activation: 29 of 32.
    const TILE_ROWS: usize = 6;
    const TILE_PANELS: usize = 1;

    #[inline(always)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        with!(enter(self, kernel))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::Floats {
        [with!(vdupq_n_f32(x)); 4]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::Floats {
        each!(i => vld1q_f32(from.as_ptr().add(4 * i)))
    }

    #[inline(always)]
    fn store(self, x: Self::Floats, to: &mut [f32; LANES]) {
        for (i, quarter) in x.into_iter().enumerate() {
            with!(vst1q_f32(to.as_mut_ptr().add(4 * i), quarter));
        }
    }

    #[inline(always)]
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        each!(i => vaddq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn sub(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        each!(i => vsubq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        each!(i => vmulq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn div(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        each!(i => vdivq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        each!(i => vfmaq_f32(c[i], a[i], b[i]))
    }

    #[inline(always)]
    fn max(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        each!(i => vmaxq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn minus_abs(self, x: Self::Floats) -> Self::Floats {
        each!(i => vnegq_f32(vabsq_f32(x[i])))
    }

    #[inline(always)]
    fn by_sign(self, of: Self::Floats, minus: Self::Floats, plus: Self::Floats) -> Self::Floats {
        each!(i => vbslq_f32(vcltzq_s32(vreinterpretq_s32_f32(of[i])), minus[i], plus[i]))
    }

    #[inline(always)]
    fn times_power_of_two(self, x: Self::Floats, k: Self::Floats) -> Self::Floats {
        each!(i => vreinterpretq_f32_s32(vaddq_s32(
            vreinterpretq_s32_f32(x[i]),
            vshlq_n_s32::<23>(vreinterpretq_s32_f32(k[i])),
        )))
    }

    #[inline(always)]
    fn sum(self, x: Self::Floats) -> f32 {
        with!({
            let four = vaddq_f32(vaddq_f32(x[0], x[2]), vaddq_f32(x[1], x[3]));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(vpadd_f32(two, two))
        })
    }

    #[inline(always)]
    fn largest(self, x: Self::Floats) -> f32 {
        with!(vmaxvq_f32(vmaxq_f32(
            vmaxq_f32(x[0], x[2]),
            vmaxq_f32(x[1], x[3])
        )))
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a prefetch is a hint: it reads nothing, and an address that is not there does no harm. The
        // instruction is written out because its intrinsic is not stable.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{}]", in(reg) at, options(nostack, readonly, preserves_flags));
        }
    }
}
