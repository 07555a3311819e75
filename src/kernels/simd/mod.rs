//! Vectors of sixteen floats, on every instruction set.
//!
//! A kernel is written once over [`Simd`] and compiled for each level: sixteen lanes are one AVX-512 register, two of
//! AVX2, four of NEON, and an array that the compiler deals with anywhere else. Each level is a file here and a token:
//! a value of its type is proof that this processor has the level's instructions, since only the constructors that
//! [`Cpu`](super::Cpu) calls after asking the processor make one.
//!
//! Nothing here knows what the numbers are. Lanes never meet but in [`reduce_add`](Simd::reduce_add) and [`reduce_max`](Simd::reduce_max),
//! whose order is the same on every level.

use bytemuck::Pod;

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
pub(super) mod portable;

/// Lanes of a vector, output channels of a panel, and the grain in which every reduction is ordered.
pub(crate) const LANES: usize = 16;

/// 1.5 * 2^23: added to a small float, it leaves its nearest integer, half to even, in the lowest bits of the sum.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// How near something is to be brought.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cache {
    L1,
    L2,
}

/// A loop nest that is compiled once for each instruction set.
///
/// `run` must be `#[inline(always)]`, and so must everything hot that it calls: what is inlined into a level's entry is
/// compiled with the level's instructions, what is not is compiled for the oldest processor.
pub(crate) trait Kernel {
    /// What comes out.
    type Output;

    /// The work.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The operations of a level on vectors of [`LANES`] floats.
///
/// Products and sums are IEEE 754 single precision, rounded to nearest; NaN passes through all but `max`, whose second
/// argument alone is sure to let it pass, and `reduce_max`.
pub(crate) trait Simd: Copy {
    /// Sixteen floats.
    type F32: Copy;
    /// Sixteen 32-bit integers: sums of products of bytes.
    type I32: Copy;
    /// QuadI8 activations of a row in memory, as [`dot_i8x4`](Self::dot_i8x4) multiplies them: bytes, or words of 16 bits.
    type QuadI8: Pod;
    /// QuadI8 bytes for each lane of [`I32`](Self::I32), or the part of them that is multiplied at a time.
    type QuadVec: Copy;
    /// Sixteen times two words of 16 bits, integers or numbers in bf16, each two of them for one lane.
    type PairVec: Copy;

    /// Rows of the highest tile of a matrix product whose accumulators stay in registers.
    const TILE_ROWS: usize;
    /// Panels of the widest such tile: 1 or 2.
    const TILE_PANELS: usize;
    /// Rows of the highest tile of a product of bytes.
    const INT8_TILE_ROWS: usize;
    /// Rows of the highest tile of a product of words.
    const I16_TILE_ROWS: usize;
    /// Rows of the highest tile of a product of numbers in bf16.
    const BF16_TILE_ROWS: usize;
    /// What [`dot_i8x4`](Self::dot_i8x4) counts activations from: the number q, from -127 to 127, is the byte q + 128 where the
    /// level's instruction multiplies bytes without a sign by bytes with one, and q itself elsewhere.
    const INT8_OFFSET: i32;
    /// In how many parts four bytes are multiplied: 1, or 2 where a level multiplies them as words.
    const INT8_SUBSTEPS: usize = 1;

    /// Runs a kernel in a function of its own that is compiled for this level.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output;

    /// Copies `x` to all lanes.
    fn splat(self, x: f32) -> Self::F32;
    /// Sixteen floats from memory.
    fn load(self, from: &[f32; LANES]) -> Self::F32;
    /// Sixteen floats to memory.
    fn store(self, x: Self::F32, to: &mut [f32; LANES]);
    /// `a + b`.
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`.
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`.
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once where the level has an instruction for it, else twice.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// The greater of both, of two zeros either. NaN where `b` is NaN; where `a` alone is NaN, that is `b` on x86 and in
    /// portable code, and NaN on NEON: what may be NaN comes second.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The lesser of both; NaN where `b` is NaN.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `-|x|`.
    fn neg_abs(self, x: Self::F32) -> Self::F32;
    /// `minus` in the lanes where `of` has a minus sign, `plus` in the others.
    fn select_by_sign(self, of: Self::F32, minus: Self::F32, plus: Self::F32) -> Self::F32;
    /// The whole number nearest to `x`, in the form that `ldexp` takes, and what is left of `x`.
    #[inline(always)]
    fn round_and_frac(self, x: Self::F32) -> (Self::F32, Self::F32) {
        let shift = self.splat(ROUND);
        let shifted = self.add(x, shift);
        (shifted, self.sub(x, self.sub(shifted, shift)))
    }
    /// The whole number at or below `x`, or -126 if that is more, and what is left of `x`, from 0 to 1.
    #[inline(always)]
    fn floor_and_frac(self, x: Self::F32) -> (Self::F32, Self::F32) {
        let x = self.max(self.splat(-126.0), x); // in this order NaN stays NaN
        let half = self.splat(0.5);
        let (k, rest) = self.round_and_frac(self.sub(x, half));
        (k, self.add(rest, half))
    }
    /// `x * 2^k` for a whole number k of `round_and_frac` or `floor_and_frac`, as long as x and the result are normal numbers; NaN where k is.
    fn ldexp(self, x: Self::F32, k: Self::F32) -> Self::F32;
    /// The sum of all lanes: lane i and lane i + 8, then i + 4, i + 2, i + 1.
    fn reduce_add(self, x: Self::F32) -> f32;
    /// The greatest lane; which, if one is NaN, is not said.
    fn reduce_max(self, x: Self::F32) -> f32;
    /// `x`, computed before anything that stands behind in the program is begun.
    ///
    /// A compiler fetches what a loop's body needs as early as it can; where nearly all registers are taken, that
    /// throws the others out. This costs no instruction; levels whose compiler does well without it do nothing.
    #[inline(always)]
    fn pin(self, x: Self::F32) -> Self::F32 {
        x
    }
    /// Keeps the compiler from moving later loads ahead of these integers ([`pin`](Self::pin) does it for floats).
    #[inline(always)]
    fn pin_i32(self, x: Self::I32) -> Self::I32 {
        x
    }
    /// The lowest eight of each lane's bits.
    fn store_u8_truncating(self, x: Self::F32, to: &mut [u8; LANES]);
    /// The lowest bits of each lane, as activations for [`dot_i8x4`](Self::dot_i8x4).
    fn store_quads(self, x: Self::F32, to: &mut [Self::QuadI8; LANES / 4]);

    /// Copies the integer `x` to all lanes.
    fn splat_i32(self, x: i32) -> Self::I32;
    /// Sixteen integers from memory.
    fn load_i32(self, from: &[i32; LANES]) -> Self::I32;
    /// `a * b`, of which the low 32 bits are kept.
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// The nearest floats.
    fn to_f32(self, x: Self::I32) -> Self::F32;
    /// A part of four bytes for each lane, from memory.
    fn load_quads(self, from: &[i8; 4 * LANES], substep: usize) -> Self::QuadVec;
    /// A part of the same four activations for all lanes.
    fn splat_quad(self, x: Self::QuadI8, substep: usize) -> Self::QuadVec;
    /// In each lane `sum + a0 w0 + a1 w1 + a2 w2 + a3 w3`, exactly, when it is done for each part, for weights from -127
    /// to 127 and activations, the same for all lanes, of [`splat_quad`](Self::splat_quad), which stand for numbers q
    /// from -127 to 127 as q + [`INT8_OFFSET`](Self::INT8_OFFSET).
    fn dot_i8x4(
        self,
        sum: Self::I32,
        weights: Self::QuadVec,
        activations: Self::QuadVec,
    ) -> Self::I32;

    /// The lowest sixteen of each lane's bits.
    fn store_i16_truncating(self, x: Self::F32, to: &mut [i16; LANES]);
    /// The lowest sixteen of each lane's bits, of `even` as the first word of a pair and of `odd` as the second.
    fn pair_i16_truncating(self, even: Self::F32, odd: Self::F32) -> Self::PairVec;
    fn store_pairs(self, pairs: Self::PairVec, to: &mut [i16; 2 * LANES]);
    /// The lanes of sixteen vectors turned round, bits as they are: number i of vector j becomes number j of vector i.
    #[inline(always)]
    fn transpose(self, from: &[[f32; LANES]; LANES], to: &mut [[f32; LANES]; LANES]) {
        for (lane, to) in to.iter_mut().enumerate() {
            for (from, to) in from.iter().zip(to) {
                *to = from[lane];
            }
        }
    }
    /// Two words for each lane, from memory.
    fn load_pairs(self, from: &[i16; 2 * LANES]) -> Self::PairVec;
    /// Copies two 16-bit integers to the pairs of all lanes.
    fn splat_pair(self, x: [i16; 2]) -> Self::PairVec;
    /// In each lane `sum + a0 b0 + a1 b1`, of which the low 32 bits are kept; no word may be -32768.
    fn dot_i16x2(self, sum: Self::I32, a: Self::PairVec, b: Self::PairVec) -> Self::I32;

    /// The nearest numbers in bf16, of two that are equally near the even one; NaN stays NaN. Whether numbers below 2^-126
    /// become 0 is not said.
    fn store_bf16(self, x: Self::F32, to: &mut [i16; LANES]);
    /// In each lane `(sum + a1 b1) + a0 b0` of numbers in bf16: products are exact, each sum is rounded to nearest, so it
    /// is the same bits on every level, but for numbers below 2^-126, which may be taken for 0.
    fn dot_bf16(self, sum: Self::F32, a: Self::PairVec, b: Self::PairVec) -> Self::F32;

    /// Asks for the cache line at an address to be brought near. Any address will do.
    fn prefetch(self, at: *const f32, into: Cache);

    /// The floats of a slice of at most sixteen, and `fill` in the lanes that it does not have.
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

    /// As many lanes as a slice of at most sixteen has room for.
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
        // All exact in single precision, so fused or not, in any order, they are these numbers.
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

    struct NotNumbers;

    impl Kernel for NotNumbers {
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
            let [second, first, least] = cpu.run(NotNumbers);
            assert!(second.iter().all(|x| x.is_nan()), "{cpu:?}");
            assert!(least.iter().all(|x| x.is_nan()), "{cpu:?}");
            if cpu.name().starts_with("neon") {
                assert!(first.iter().all(|x| x.is_nan()), "{cpu:?}")
            } else {
                assert_eq!(first, [1.0; LANES], "{cpu:?}")
            }
        }
    }

    struct Turned;

    impl Kernel for Turned {
        type Output = [[f32; LANES]; LANES];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let from = std::array::from_fn(|row| std::array::from_fn(|lane| bits(row, lane)));
            let mut to = [[0.0; LANES]; LANES];
            s.transpose(&from, &mut to);
            to
        }
    }

    /// No two the same, and some that are no numbers.
    fn bits(row: usize, lane: usize) -> f32 {
        f32::from_bits(0xff70_0000 + ((row << 16) + lane) as u32)
    }

    #[test]
    fn every_level_turns_bits_round() {
        for cpu in Cpu::supported() {
            let turned = cpu.run(Turned);
            for (row, lanes) in turned.iter().enumerate() {
                for (lane, x) in lanes.iter().enumerate() {
                    assert_eq!(x.to_bits(), bits(lane, row).to_bits(), "{cpu:?}");
                }
            }
        }
    }

    struct Pairs;

    impl Kernel for Pairs {
        type Output = ([i16; LANES], [i16; 2 * LANES], [f32; LANES]);

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let low = |of: [f32; LANES]| s.add(s.load(&of), s.splat(ROUND));
            let (even, odd) = (low(EVEN), low(ODD));
            let (mut words, mut pairs, mut sums) = ([0; LANES], [0; 2 * LANES], [0.0; LANES]);
            s.store_i16_truncating(even, &mut words);
            s.store_pairs(s.pair_i16_truncating(even, odd), &mut pairs);
            let sum = s.dot_i16x2(
                s.splat_i32(5),
                s.load_pairs(&pairs),
                s.splat_pair([i16::MAX, -3]),
            );
            s.store(s.to_f32(sum), &mut sums);
            (words, pairs, sums)
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
    fn every_level_multiplies_words_exactly() {
        let words = EVEN.map(|x| x as i16);
        let pairs = std::array::from_fn(|at| [EVEN, ODD][at % 2][at / 2] as i16);
        let sums = std::array::from_fn(|lane| {
            (5 + EVEN[lane] as i32 * 32767 - 3 * ODD[lane] as i32) as f32
        });
        for cpu in Cpu::supported() {
            assert_eq!(cpu.run(Pairs), (words, pairs, sums), "{cpu:?}");
            assert_eq!(cpu.run_int8(Pairs), (words, pairs, sums), "{cpu:?}");
        }
    }

    /// Rounds to bf16 and multiplies what came of it.
    struct Halves<'a>(&'a [[f32; LANES]]);

    impl Kernel for Halves<'_> {
        type Output = (Vec<[i16; LANES]>, [f32; LANES]);

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let rounded = self.0.iter().map(|x| {
                let mut words = [0; LANES];
                s.store_bf16(s.load(x), &mut words);
                words
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
        // Every number in bf16 from 2^-126 on with what comes behind it: nothing, less than a half, half, more, and all.
        let behind = [0u32, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        let words = (0..=u32::from(u16::MAX)).filter(|word| word & 0x7fff >= 0x80);
        let numbers: Vec<f32> = words
            .flat_map(|word| behind.map(|low| f32::from_bits(word << 16 | low)))
            .chain([0.0, -0.0])
            .collect();
        let mut blocks: Vec<[f32; LANES]> = numbers.as_chunks().0.to_vec();
        blocks.extend(numbers.last_chunk::<LANES>());
        let widened = |word: i16| f32::from_bits(u32::from(word as u16) << 16);
        for cpu in Cpu::supported() {
            for by_bf16 in [true, false] {
                let (rounded, sums) = if by_bf16 {
                    cpu.run_bf16(Halves(&blocks))
                } else {
                    cpu.run(Halves(&blocks))
                };
                for (x, word) in blocks.iter().flatten().zip(rounded.iter().flatten()) {
                    let expected = half::bf16::from_f32(*x);
                    if x.is_nan() {
                        assert!(widened(*word).is_nan(), "{cpu:?} {:x}", x.to_bits())
                    } else {
                        assert_eq!(*word as u16, expected.to_bits(), "{cpu:?} {x:e}")
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
