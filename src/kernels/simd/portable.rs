//! Portable level: operations on arrays, which the compiler vectorises as it can.

use super::{Cache, Kernel, LANES, Simd};

/// Level that every processor has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

/// Applies `f` to the lanes of two vectors.
#[inline(always)]
fn map(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = f(a[lane], b[lane]);
    }
    out
}

/// Returns the bits of a pair in one u32, the second item in the upper half.
#[inline(always)]
fn pair_bits([first, second]: [i16; 2]) -> u32 {
    u32::from(second as u16) << 16 | u32::from(first as u16)
}

/// Converts the first bf16 number of a pair to f32.
#[inline(always)]
fn widen_first(pair: u32) -> f32 {
    f32::from_bits(pair << 16)
}

/// Converts the second bf16 number of a pair to f32.
#[inline(always)]
fn widen_second(pair: u32) -> f32 {
    f32::from_bits(pair & 0xffff_0000)
}

impl Simd for Portable {
    type F32 = [f32; LANES];
    type I32 = [i32; LANES];
    type QuadI8 = [u8; 4];
    type QuadVec = [[i8; 4]; LANES];
    type PairVec = [[i16; 2]; LANES];

    // 2 x 16 accumulators occupy 8 of SSE2's 16 registers. With a third row none would be left for the weights.
    const TILE_ROWS: usize = 2;
    const TILE_PANELS: usize = 1;
    const INT8_TILE_ROWS: usize = 2;
    const I16_TILE_ROWS: usize = 2;
    const BF16_TILE_ROWS: usize = 2;
    const INT8_OFFSET: i32 = 0;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        *from
    }

    #[inline(always)]
    fn store(self, x: Self::F32, to: &mut [f32; LANES]) {
        *to = x;
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        map(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        map(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        map(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        map(a, b, |a, b| a / b)
    }

    // Rounded twice: on processors without the instruction a fused multiply-add is a slow library call.
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        self.add(self.mul(a, b), c)
    }

    // Not `f32::max`, which drops a NaN.
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        map(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        map(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn neg_abs(self, x: Self::F32) -> Self::F32 {
        map(x, x, |x, _| -x.abs())
    }

    #[inline(always)]
    fn select_by_sign(self, of: Self::F32, minus: Self::F32, plus: Self::F32) -> Self::F32 {
        let mut out = plus;
        for lane in 0..LANES {
            out[lane] = if of[lane].is_sign_negative() {
                minus[lane]
            } else {
                plus[lane]
            };
        }
        out
    }

    #[inline(always)]
    fn ldexp(self, x: Self::F32, k: Self::F32) -> Self::F32 {
        let out = map(x, k, |x, k| {
            f32::from_bits(x.to_bits().wrapping_add(k.to_bits() << 23))
        });
        // Adding bits may turn a NaN into a number. `k * 0` is NaN for every NaN, so this addition restores it.
        self.mul_add(k, self.splat(0.0), out)
    }

    #[inline(always)]
    fn reduce_add(self, mut x: Self::F32) -> f32 {
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                x[lane] += x[lane + half];
            }
        }
        x[0]
    }

    #[inline(always)]
    fn reduce_max(self, mut x: Self::F32) -> f32 {
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                x[lane] = if x[lane] > x[lane + half] {
                    x[lane]
                } else {
                    x[lane + half]
                };
            }
        }
        x[0]
    }

    #[inline(always)]
    fn store_u8_truncating(self, x: Self::F32, to: &mut [u8; LANES]) {
        for lane in 0..LANES {
            to[lane] = x[lane].to_bits() as u8;
        }
    }

    #[inline(always)]
    fn store_quads(self, x: Self::F32, to: &mut [[u8; 4]; LANES / 4]) {
        self.store_u8_truncating(x, bytemuck::cast_mut(to));
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I32 {
        [x; LANES]
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> Self::I32 {
        *from
    }

    #[inline(always)]
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        std::array::from_fn(|lane| a[lane].wrapping_mul(b[lane]))
    }

    #[inline(always)]
    fn to_f32(self, x: Self::I32) -> Self::F32 {
        x.map(|x| x as f32)
    }

    #[inline(always)]
    fn load_quads(self, from: &[i8; 4 * LANES], _: usize) -> Self::QuadVec {
        std::array::from_fn(|lane| std::array::from_fn(|at| from[4 * lane + at]))
    }

    #[inline(always)]
    fn splat_quad(self, x: [u8; 4], _: usize) -> Self::QuadVec {
        [x.map(|byte| byte as i8); LANES]
    }

    #[inline(always)]
    fn dot_i8x4(
        self,
        sum: Self::I32,
        weights: Self::QuadVec,
        activations: Self::QuadVec,
    ) -> Self::I32 {
        let mut out = sum;
        for lane in 0..LANES {
            for at in 0..4 {
                let product = i32::from(weights[lane][at]) * i32::from(activations[lane][at]);
                out[lane] = out[lane].wrapping_add(product);
            }
        }
        out
    }

    #[inline(always)]
    fn store_i16_truncating(self, x: Self::F32, to: &mut [i16; LANES]) {
        *to = x.map(|x| x.to_bits() as i16);
    }

    #[inline(always)]
    fn pair_i16_truncating(self, even: Self::F32, odd: Self::F32) -> Self::PairVec {
        std::array::from_fn(|lane| [even[lane], odd[lane]].map(|x| x.to_bits() as i16))
    }

    #[inline(always)]
    fn store_pairs(self, pairs: Self::PairVec, to: &mut [i16; 2 * LANES]) {
        to.copy_from_slice(pairs.as_flattened());
    }

    #[inline(always)]
    fn load_pairs(self, from: &[i16; 2 * LANES]) -> Self::PairVec {
        std::array::from_fn(|lane| [from[2 * lane], from[2 * lane + 1]])
    }

    #[inline(always)]
    fn splat_pair(self, x: [i16; 2]) -> Self::PairVec {
        [x; LANES]
    }

    #[inline(always)]
    fn dot_i16x2(self, sum: Self::I32, a: Self::PairVec, b: Self::PairVec) -> Self::I32 {
        let mut out = sum;
        for lane in 0..LANES {
            for at in 0..2 {
                let product = i32::from(a[lane][at]) * i32::from(b[lane][at]);
                out[lane] = out[lane].wrapping_add(product);
            }
        }
        out
    }

    #[inline(always)]
    fn store_bf16(self, x: Self::F32, to: &mut [i16; LANES]) {
        for lane in 0..LANES {
            let bits = x[lane].to_bits();
            let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
            // Rounding may overflow a NaN's bits, or drop its payload and leave infinity. The quiet bit prevents both.
            let quiet = bits >> 16 | 0x40;
            to[lane] = if x[lane].is_nan() { quiet } else { rounded } as i16;
        }
    }

    #[inline(always)]
    fn dot_bf16(self, sum: Self::F32, a: Self::PairVec, b: Self::PairVec) -> Self::F32 {
        // Both items of a lane in one u32, so that the compiler can use 32-bit vector instructions.
        let (a, b) = (a.map(pair_bits), b.map(pair_bits));
        let mut out = sum;
        for lane in 0..LANES {
            out[lane] += widen_second(a[lane]) * widen_second(b[lane]);
        }
        for lane in 0..LANES {
            out[lane] += widen_first(a[lane]) * widen_first(b[lane]);
        }
        out
    }

    #[inline(always)]
    fn prefetch(self, _: *const f32, _: Cache) {}
}
