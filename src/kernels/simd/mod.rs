//! Vectors of sixteen floats, on every instruction set.
//!
//! A kernel is written once over [`Simd`] and compiled for each level (instruction set). Sixteen lanes are one AVX-512
//! register, two AVX2 registers or four NEON registers. Elsewhere they are an array, which the compiler vectorises.
//!
//! Each level is a file here and a token type. A value of that type proves that this processor has the level's
//! instructions: its constructor queries the processor. Only [`Cpu`](super::Cpu) calls it.
//!
//! Floats of different lanes are combined only by [`reduce_add`](Simd::reduce_add) and
//! [`reduce_max`](Simd::reduce_max). The order of additions is the same on every level.

use bytemuck::Pod;

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
pub(super) mod portable;

/// Number of lanes of a vector. A panel has one output channel per lane. Reductions add up blocks of this size, so
/// their order is the same on every level.
pub(crate) const LANES: usize = 16;

/// Addend that rounds, 1.5 * 2^23: added to a small float, it leaves the nearest integer (ties to even) in the lowest
/// bits of the sum.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// Cache level that a prefetch fills.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cache {
    /// First level.
    L1,
    /// Second level.
    L2,
}

/// Loop nest that is compiled once for each level.
///
/// `run` must be `#[inline(always)]`, and so must every hot function that it calls. Code inlined into a level's
/// [`vectorize`](Simd::vectorize) is compiled with the level's instructions. Code that is not inlined is compiled for
/// the oldest processor.
pub(crate) trait Kernel {
    /// Result of the kernel.
    type Output;

    /// Runs the kernel with the operations of a level.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Operations of a level on vectors of [`LANES`] floats.
///
/// Arithmetic is IEEE 754 single precision, rounded to nearest. NaN propagates through all operations but three: `max`
/// and `min` always return NaN if their second argument is NaN, but not on every level if only the first one is;
/// `reduce_max` may miss it.
pub(crate) trait Simd: Copy {
    /// Vector of sixteen f32.
    type F32: Copy;
    /// Vector of sixteen i32, which accumulate integer products.
    type I32: Copy;
    /// Four int8 activations of a row in memory, in the encoding that [`dot_i8x4`](Self::dot_i8x4) multiplies: four
    /// bytes, or four i16.
    type QuadI8: Pod;
    /// Vector of four int8 for each lane of [`I32`](Self::I32), or of the two that one substep multiplies.
    type QuadVec: Copy;
    /// Vector of two 16-bit values, i16 or bf16, for each lane.
    type PairVec: Copy;

    /// Number of rows of the tallest f32 tile whose accumulators stay in registers.
    const TILE_ROWS: usize;
    /// Number of panels of the widest tile whose accumulators stay in registers: 1 or 2.
    const TILE_PANELS: usize;
    /// Number of rows of the tallest int8 tile.
    const INT8_TILE_ROWS: usize;
    /// Number of rows of the tallest i16 tile.
    const I16_TILE_ROWS: usize;
    /// Number of rows of the tallest bf16 tile.
    const BF16_TILE_ROWS: usize;
    /// Offset of stored int8 activations: [`dot_i8x4`](Self::dot_i8x4) takes q, from -127 to 127, as q + `INT8_OFFSET`.
    /// It is 128 where the level's instruction multiplies unsigned by signed bytes, and 0 elsewhere.
    const INT8_OFFSET: i32;
    /// Number of substeps in which four int8 are multiplied: 1, or 2 where a level multiplies them as i16.
    const INT8_SUBSTEPS: usize = 1;

    /// Runs a kernel in a separate function that is compiled for this level.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output;

    /// Copies `x` to all lanes.
    fn splat(self, x: f32) -> Self::F32;
    /// Loads sixteen floats.
    fn load(self, from: &[f32; LANES]) -> Self::F32;
    /// Stores sixteen floats.
    fn store(self, x: Self::F32, to: &mut [f32; LANES]);
    /// Returns `a + b`.
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Returns `a - b`.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Returns `a * b`.
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Returns `a / b`.
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Returns `a * b + c`, rounded once where the level has an instruction for it, else twice.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// Returns the greater value; of two zeros either one. NaN if `b` is NaN. If only `a` is NaN, the result is `b` on
    /// x86 and in portable code, and NaN on NEON. So pass the value that may be NaN second.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Returns the lesser value; of two zeros either one. NaN if `b` is NaN.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Returns `-|x|`.
    fn neg_abs(self, x: Self::F32) -> Self::F32;
    /// Returns `minus` in the lanes where the sign bit of `of` is set, `plus` in the others.
    fn select_by_sign(self, of: Self::F32, minus: Self::F32, plus: Self::F32) -> Self::F32;
    /// Splits `x` into its nearest integer, encoded as [`ldexp`](Self::ldexp) takes it, and the rest, from -1/2 to 1/2.
    #[inline(always)]
    fn round_and_frac(self, x: Self::F32) -> (Self::F32, Self::F32) {
        let shift = self.splat(ROUND);
        let shifted = self.add(x, shift);
        (shifted, self.sub(x, self.sub(shifted, shift)))
    }
    /// Splits `x` into an integer at or below it, encoded as [`ldexp`](Self::ldexp) takes it, and the rest, which is at
    /// least 0 and at most 1. Values below -126 may be taken for -126.
    #[inline(always)]
    fn floor_and_frac(self, x: Self::F32) -> (Self::F32, Self::F32) {
        let x = self.max(self.splat(-126.0), x); // in this order NaN propagates
        let half = self.splat(0.5);
        let (k, rest) = self.round_and_frac(self.sub(x, half));
        (k, self.add(rest, half))
    }
    /// Returns `x * 2^k`, where k is an integer from `round_and_frac` or `floor_and_frac`. `x` and the result must be
    /// normal numbers. NaN if `k` is NaN.
    fn ldexp(self, x: Self::F32, k: Self::F32) -> Self::F32;
    /// Returns the sum of all lanes, added in this order: lanes i and i + 8, then i and i + 4, i + 2, i + 1.
    fn reduce_add(self, x: Self::F32) -> f32;
    /// Returns the greatest lane; an unspecified one if a lane is NaN.
    fn reduce_max(self, x: Self::F32) -> f32;
    /// Returns `x`, and keeps the compiler from moving later loads ahead of it.
    ///
    /// The compiler moves loads of a loop's body as early as it can. Where nearly all registers are occupied, that
    /// spills accumulators. Pinning costs no instruction. Levels whose loops have no spills without it do nothing.
    #[inline(always)]
    fn pin(self, x: Self::F32) -> Self::F32 {
        x
    }
    /// Returns `x`, and keeps the compiler from moving later loads ahead of it ([`pin`](Self::pin) does so for floats).
    #[inline(always)]
    fn pin_i32(self, x: Self::I32) -> Self::I32 {
        x
    }
    /// Stores the lowest eight bits of each lane.
    fn store_u8_truncating(self, x: Self::F32, to: &mut [u8; LANES]);
    /// Stores the lowest bits of each lane as activations of [`dot_i8x4`](Self::dot_i8x4).
    fn store_quads(self, x: Self::F32, to: &mut [Self::QuadI8; LANES / 4]);

    /// Copies the integer `x` to all lanes.
    fn splat_i32(self, x: i32) -> Self::I32;
    /// Loads sixteen integers.
    fn load_i32(self, from: &[i32; LANES]) -> Self::I32;
    /// Returns the low 32 bits of `a * b`.
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Converts integers to the nearest floats.
    fn to_f32(self, x: Self::I32) -> Self::F32;
    /// Loads four weights for each lane, or the two of them that `substep` multiplies.
    fn load_quads(self, from: &[i8; 4 * LANES], substep: usize) -> Self::QuadVec;
    /// Copies four activations to all lanes, or the two of them that `substep` multiplies.
    fn splat_quad(self, x: Self::QuadI8, substep: usize) -> Self::QuadVec;
    /// Adds the products of one substep to `sum`. After all substeps each lane has the exact value of
    /// `sum + a0 w0 + a1 w1 + a2 w2 + a3 w3`.
    ///
    /// Weights are from -127 to 127. Activations come from [`splat_quad`](Self::splat_quad), so they are the same for
    /// all lanes. Each is stored as q + [`INT8_OFFSET`](Self::INT8_OFFSET), where q is from -127 to 127.
    fn dot_i8x4(
        self,
        sum: Self::I32,
        weights: Self::QuadVec,
        activations: Self::QuadVec,
    ) -> Self::I32;

    /// Stores the lowest sixteen bits of each lane.
    fn store_i16_truncating(self, x: Self::F32, to: &mut [i16; LANES]);
    /// Returns pairs of the lowest sixteen bits of each lane: first that of `even`, second that of `odd`.
    fn pair_i16_truncating(self, even: Self::F32, odd: Self::F32) -> Self::PairVec;
    /// Stores the pairs of all lanes.
    fn store_pairs(self, pairs: Self::PairVec, to: &mut [i16; 2 * LANES]);
    /// Transposes a 16 x 16 matrix and leaves the bits of its items as they are.
    #[inline(always)]
    fn transpose(self, from: &[[f32; LANES]; LANES], to: &mut [[f32; LANES]; LANES]) {
        for (lane, to) in to.iter_mut().enumerate() {
            for (from, to) in from.iter().zip(to) {
                *to = from[lane];
            }
        }
    }
    /// Loads a pair for each lane.
    fn load_pairs(self, from: &[i16; 2 * LANES]) -> Self::PairVec;
    /// Copies a pair to all lanes.
    fn splat_pair(self, x: [i16; 2]) -> Self::PairVec;
    /// Returns the low 32 bits of `sum + a0 b0 + a1 b1` in each lane. No i16 may be -32768.
    fn dot_i16x2(self, sum: Self::I32, a: Self::PairVec, b: Self::PairVec) -> Self::I32;

    /// Stores each lane rounded to bf16, ties to even. NaN stays NaN. Magnitudes below 2^-126 may become 0.
    fn store_bf16(self, x: Self::F32, to: &mut [i16; LANES]);
    /// Returns `(sum + a1 b1) + a0 b0` of bf16 pairs in each lane. Products are exact and each sum is rounded to
    /// nearest, so the bits are the same on every level, unless a magnitude is below 2^-126, which may be taken for 0.
    fn dot_bf16(self, sum: Self::F32, a: Self::PairVec, b: Self::PairVec) -> Self::F32;

    /// Prefetches the cache line at an address. Any address is allowed.
    fn prefetch(self, at: *const f32, into: Cache);

    /// Loads a slice of at most sixteen floats. The remaining lanes are `fill`.
    #[inline(always)]
    fn load_partial(self, from: &[f32], fill: f32) -> Self::F32 {
        match from.first_chunk() {
            Some(whole) => self.load(whole),
            None => {
                let mut lanes = [fill; LANES];
                lanes[..from.len()].copy_from_slice(from);
                self.load(&lanes)
            }
        }
    }

    /// Stores the first lanes to a slice of at most sixteen floats.
    #[inline(always)]
    fn store_partial(self, x: Self::F32, to: &mut [f32]) {
        match to.first_chunk_mut() {
            Some(whole) => self.store(x, whole),
            None => {
                let mut lanes = [0.0; LANES];
                self.store(x, &mut lanes);
                to.copy_from_slice(&lanes[..to.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Cpu;

    const A: [f32; LANES] = [
        0.0, -1.5, 2.25, -3.0, 4.0, 5.5, -6.0, 7.0, 8.0, -9.25, 10.0, 11.0, -12.5, 13.0, 14.0, 15.0,
    ];
    const B: [f32; LANES] = [
        1.0, 2.0, -2.0, 4.0, -0.5, 3.0, 7.0, -8.0, 0.25, 9.0, -1.0, 2.5, 6.0, -4.0, 1.5, -3.0,
    ];

    struct Operations;

    impl Kernel for Operations {
        type Output = Vec<[f32; LANES]>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let (a, b) = (s.load(&A), s.load(&B));
            let mut out = Vec::new();
            for x in [
                s.add(a, b),
                s.sub(a, b),
                s.mul(a, b),
                s.div(a, b),
                s.mul_add(a, b, s.splat(0.5)),
                s.max(a, b),
                s.min(a, b),
                s.neg_abs(a),
                s.select_by_sign(a, b, s.splat(2.0)),
                s.ldexp(b, s.round_and_frac(s.splat(-3.25)).0),
                s.round_and_frac(s.splat(-3.25)).1,
                s.ldexp(b, s.floor_and_frac(s.splat(-3.25)).0),
                s.floor_and_frac(s.splat(-3.25)).1,
                s.splat(s.reduce_add(a)),
                s.splat(s.reduce_max(a)),
                s.load_partial(&A[..5], 7.0),
                s.load_partial(&A, 7.0),
            ] {
                let mut lanes = [f32::NAN; LANES];
                s.store_partial(x, &mut lanes);
                out.push(lanes);
            }
            let mut lanes = [9.0; LANES];
            s.store_partial(a, &mut lanes[..3]);
            out.push(lanes);
            s.prefetch(std::ptr::null(), Cache::L1);
            s.prefetch(std::ptr::null(), Cache::L2);
            out
        }
    }

    #[test]
    fn every_level_does_what_its_operations_say() {
        let by = |f: fn(f32, f32) -> f32| -> [f32; LANES] {
            std::array::from_fn(|lane| f(A[lane], B[lane]))
        };
        // All results are exact in single precision, so neither fusing nor the order of additions changes them.
        let mut expected = vec![
            by(|a, b| a + b),
            by(|a, b| a - b),
            by(|a, b| a * b),
            by(|a, b| a / b),
            by(|a, b| a * b + 0.5),
            by(f32::max),
            by(f32::min),
            by(|a, _| -a.abs()),
            by(|a, b| if a.is_sign_negative() { b } else { 2.0 }),
            by(|_, b| b / 8.0),
            [-0.25; LANES],
            by(|_, b| b / 16.0),
            [0.75; LANES],
            [A.iter().sum(); LANES],
            [15.0; LANES],
        ];
        let mut some = [7.0; LANES];
        some[..5].copy_from_slice(&A[..5]);
        let mut stored = [9.0; LANES];
        stored[..3].copy_from_slice(&A[..3]);
        expected.extend([some, A, stored]);
        for cpu in Cpu::supported() {
            assert_eq!(cpu.run(Operations), expected, "{cpu:?}");
        }
    }

    struct NanBounds;

    impl Kernel for NanBounds {
        type Output = [[f32; LANES]; 3];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let mut out = [[0.0; LANES]; 3];
            let (one, nan) = (s.splat(1.0), s.splat(f32::NAN));
            s.store(s.max(one, nan), &mut out[0]);
            s.store(s.max(nan, one), &mut out[1]);
            s.store(s.min(one, nan), &mut out[2]);
            out
        }
    }

    #[test]
    fn a_bound_lets_nan_through() {
        for cpu in Cpu::supported() {
            let [second, first, least] = cpu.run(NanBounds);
            assert!(second.iter().all(|x| x.is_nan()), "{cpu:?}");
            assert!(least.iter().all(|x| x.is_nan()), "{cpu:?}");
            if cpu.name().starts_with("neon") {
                assert!(first.iter().all(|x| x.is_nan()), "{cpu:?}")
            } else {
                assert_eq!(first, [1.0; LANES], "{cpu:?}")
            }
        }
    }

    struct Transpose;

    impl Kernel for Transpose {
        type Output = [[f32; LANES]; LANES];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let from = std::array::from_fn(|row| std::array::from_fn(|lane| bits(row, lane)));
            let mut to = [[0.0; LANES]; LANES];
            s.transpose(&from, &mut to);
            to
        }
    }

    /// Returns a float of different bits for each position. Some are NaN.
    fn bits(row: usize, lane: usize) -> f32 {
        f32::from_bits(0xff70_0000 + ((row << 16) + lane) as u32)
    }

    #[test]
    fn every_level_transposes_bits() {
        for cpu in Cpu::supported() {
            let transposed = cpu.run(Transpose);
            for (row, lanes) in transposed.iter().enumerate() {
                for (lane, x) in lanes.iter().enumerate() {
                    assert_eq!(x.to_bits(), bits(lane, row).to_bits(), "{cpu:?}");
                }
            }
        }
    }

    struct I16Pairs;

    impl Kernel for I16Pairs {
        type Output = ([i16; LANES], [i16; 2 * LANES], [f32; LANES]);

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let low = |of: [f32; LANES]| s.add(s.load(&of), s.splat(ROUND));
            let (even, odd) = (low(EVEN), low(ODD));
            let (mut i16s, mut pairs, mut sums) = ([0; LANES], [0; 2 * LANES], [0.0; LANES]);
            s.store_i16_truncating(even, &mut i16s);
            s.store_pairs(s.pair_i16_truncating(even, odd), &mut pairs);
            let sum = s.dot_i16x2(
                s.splat_i32(5),
                s.load_pairs(&pairs),
                s.splat_pair([i16::MAX, -3]),
            );
            s.store(s.to_f32(sum), &mut sums);
            (i16s, pairs, sums)
        }
    }

    const EVEN: [f32; LANES] = [
        0.0, 1.0, -1.0, 255.0, 256.0, -256.0, 32767.0, -32767.0, 9.0, -9.0, 77.0, 128.0, -129.0,
        5.0, 6.0, 7.0,
    ];
    const ODD: [f32; LANES] = [
        -32767.0, 32767.0, 3.0, 0.0, -1.0, 2.0, 32767.0, -32767.0, 1.0, 8.0, -8.0, 15.0, 16.0,
        17.0, -18.0, 300.0,
    ];

    #[test]
    fn every_level_multiplies_i16_exactly() {
        let i16s = EVEN.map(|x| x as i16);
        let pairs = std::array::from_fn(|at| [EVEN, ODD][at % 2][at / 2] as i16);
        let sums = std::array::from_fn(|lane| {
            (5 + EVEN[lane] as i32 * 32767 - 3 * ODD[lane] as i32) as f32
        });
        for cpu in Cpu::supported() {
            assert_eq!(cpu.run(I16Pairs), (i16s, pairs, sums), "{cpu:?}");
            assert_eq!(cpu.run_int8(I16Pairs), (i16s, pairs, sums), "{cpu:?}");
        }
    }

    /// Rounds floats to bf16, and multiplies bf16.
    struct Bf16Pairs<'a>(&'a [[f32; LANES]]);

    impl Kernel for Bf16Pairs<'_> {
        type Output = (Vec<[i16; LANES]>, [f32; LANES]);

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let rounded = self.0.iter().map(|x| {
                let mut bf16s = [0; LANES];
                s.store_bf16(s.load(x), &mut bf16s);
                bf16s
            });
            let pairs: [i16; 2 * LANES] = std::array::from_fn(|at| {
                let x = [EVEN, ODD][at % 2][at / 2] * 1.0001;
                half::bf16::from_f32(x).to_bits() as i16
            });
            let factors = [1.5, -0.062_5].map(|x| half::bf16::from_f32(x).to_bits() as i16);
            let sum = s.dot_bf16(
                s.splat(1.0 / 3.0),
                s.load_pairs(&pairs),
                s.splat_pair(factors),
            );
            let mut sums = [0.0; LANES];
            s.store(sum, &mut sums);
            (rounded.collect(), sums)
        }
    }

    #[test]
    fn every_level_rounds_to_bf16_and_adds_in_the_same_order() {
        // Every bf16 number of magnitude 2^-126 or more, followed by low bits that are zero, less than half a unit,
        // half, more, or all set.
        let low_bits = [0u32, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        let highs = (0..=u32::from(u16::MAX)).filter(|high| high & 0x7fff >= 0x80);
        let numbers: Vec<f32> = highs
            .flat_map(|high| low_bits.map(|low| f32::from_bits(high << 16 | low)))
            .chain([0.0, -0.0])
            .collect();
        let mut blocks: Vec<[f32; LANES]> = numbers.as_chunks().0.to_vec();
        blocks.extend(numbers.last_chunk::<LANES>());
        let widen = |bf16: i16| f32::from_bits(u32::from(bf16 as u16) << 16);
        for cpu in Cpu::supported() {
            for with_bf16_level in [true, false] {
                let (rounded, sums) = if with_bf16_level {
                    cpu.run_bf16(Bf16Pairs(&blocks))
                } else {
                    cpu.run(Bf16Pairs(&blocks))
                };
                for (x, bf16) in blocks.iter().flatten().zip(rounded.iter().flatten()) {
                    let expected = half::bf16::from_f32(*x);
                    if x.is_nan() {
                        assert!(widen(*bf16).is_nan(), "{cpu:?} {:x}", x.to_bits())
                    } else {
                        assert_eq!(*bf16 as u16, expected.to_bits(), "{cpu:?} {x:e}")
                    }
                }
                for (lane, sum) in sums.iter().enumerate() {
                    let number = |x: f32| half::bf16::from_f32(x * 1.0001).to_f32();
                    let second = 1.0 / 3.0 + number(ODD[lane]) * -0.062_5;
                    let expected = second + number(EVEN[lane]) * 1.5;
                    assert_eq!(sum.to_bits(), expected.to_bits(), "{cpu:?} {lane}");
                }
            }
        }
    }
}
