//! Exponential and normal distribution in single precision, in forms that vectorise: no table, no branch, no call.

use super::simd::Simd;

/// Computes 2^x for x from -126 to 127, to 2.5e-7 of its value (against f64; 2.3e-7 where the level has fused
/// multiply-add).
///
/// Writes x = k + r with an integer k and |r| <= 1/2, and computes 2^r by a polynomial of degree 5, whose own error is
/// 7.5e-8 (fitted to the relative error). NaN stays NaN.
#[inline(always)]
pub(crate) fn exp2<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (k, r) = s.round_and_frac(x);
    let p = polynomial(
        s,
        r,
        [
            1.327_646_6e-3,
            9.675_541e-3,
            5.550_713_5e-2,
            2.402_212_3e-1,
            6.931_469_4e-1,
            1.000_000_1,
        ],
    );
    s.ldexp(p, k)
}

/// Computes 2^x for x up to 127, as [`exp2`] does. For x below -126 the result stays at 1.2e-38.
#[inline(always)]
pub(crate) fn exp2_clamped<S: Simd>(s: S, x: S::F32) -> S::F32 {
    exp2(s, s.max(s.splat(-126.0), x)) // in this order NaN propagates
}

/// Cumulative distribution function of the standard normal distribution at x, to 1.3e-7 (against f64).
///
/// The lower tail at -|x| is 2 to the power of a polynomial of degree 8 (fitted to the absolute error of the tail,
/// 7.5e-9). This form keeps the sign and the scale of the tail where 1 + erf would cancel, and needs no division.
/// Beyond 6 the tail is negligible.
#[inline(always)]
pub(crate) fn normal_cdf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let p = polynomial(
        s,
        s.max(s.splat(-6.0), s.neg_abs(x)),
        [
            -2.772_003_2e-6,
            -3.862_026_6e-5,
            -1.825_456_3e-4,
            1.458_742_2e-4,
            7.075_476_5e-3,
            5.250_503e-2,
            -4.592_049e-1,
            1.151_105_8,
            -1.0,
        ],
    );
    let tail = exp2(s, p);
    s.select_by_sign(x, tail, s.sub(s.splat(1.0), tail))
}

/// Computes 2^x as [`exp2_clamped`] does, but only to 8e-5 of its value, by a polynomial of degree 3 of the fractional
/// part of x. Never exceeds 1 for x up to 0.
#[inline(always)]
pub(super) fn exp2_approx<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (k, r) = s.floor_and_frac(x);
    let p = polynomial(
        s,
        r,
        [7.802_452e-2, 2.260_671_6e-1, 6.958_335_4e-1, 9.999_252e-1],
    );
    s.ldexp(p, k)
}

/// Fast GELU: x times the cumulative normal distribution at x, to 1.4e-4 (against f64).
///
/// The difference from max(x, 0) is a function of |x| that is negligible from 3.8 on. It is computed by a polynomial of
/// degree 7 (fitted to the absolute error).
#[inline(always)]
pub(super) fn gelu_approx<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let below = s.max(s.splat(-3.8), s.neg_abs(x));
    let p = polynomial(
        s,
        below,
        [
            -7.022_407e-4,
            -1.068_615_1e-2,
            -6.142_71e-2,
            -1.496_131e-1,
            -5.510_435_6e-2,
            3.834_744_4e-1,
            4.989_748_3e-1,
        ],
    );
    s.mul_add(below, p, s.max(s.splat(0.0), x))
}

/// Hyperbolic tangent, to 1.5e-7 (against f64).
///
/// Computed as (1 - e) / (1 + e) with e = exp(-2|x|), which cannot overflow.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let e = exp2_clamped(
        s,
        s.mul(s.splat(2.0 * std::f32::consts::LOG2_E), s.neg_abs(x)),
    );
    let tanh = s.div(s.sub(one, e), s.add(one, e));
    s.select_by_sign(x, s.sub(s.splat(0.0), tanh), tanh)
}

/// Evaluates a polynomial by Horner's rule, its coefficients from the highest power down.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F32, coefficients: [f32; N]) -> S::F32 {
    let mut sum = s.splat(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        sum = s.mul_add(sum, x, s.splat(coefficient));
    }
    sum
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kernels::Cpu;
    use crate::kernels::simd::{Kernel, LANES};

    struct Map<'a>(&'a mut [f32], Function);

    #[derive(Clone, Copy)]
    enum Function {
        Exp2,
        Exp2Roughly,
        NormalCdf,
        GeluRoughly,
        Tanh,
    }

    impl Kernel for Map<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for some in self.0.chunks_mut(LANES) {
                let x = s.load_partial(some, 0.0);
                let y = match self.1 {
                    Function::Exp2 => exp2_clamped(s, x),
                    Function::Exp2Roughly => exp2_approx(s, x),
                    Function::GeluRoughly => gelu_approx(s, x),
                    Function::NormalCdf => normal_cdf(s, x),
                    Function::Tanh => tanh(s, x),
                };
                s.store_partial(y, some);
            }
        }
    }

    /// Returns the largest error over evenly spaced arguments, on every instruction set of this processor. `error`
    /// compares the result of `oracle` with that of the kernel.
    fn worst(
        range: std::ops::RangeInclusive<f32>,
        function: Function,
        oracle: impl Fn(f64) -> f64,
        error: impl Fn(f64, f64) -> f64,
    ) -> f64 {
        let steps = 100_000;
        let (low, high) = range.into_inner();
        let inputs: Vec<f32> = (0..=steps)
            .map(|i| low + (high - low) * (i as f32 / steps as f32))
            .collect();
        let expected: Vec<f64> = inputs.iter().map(|&x| oracle(x.into())).collect();
        let mut worst = 0.0f64;
        for cpu in Cpu::supported() {
            let mut outputs = inputs.clone();
            cpu.run(Map(&mut outputs, function));
            for (&expected, &y) in expected.iter().zip(&outputs) {
                worst = worst.max(error(expected, y.into()));
            }
        }
        worst
    }

    fn absolute(expected: f64, y: f64) -> f64 {
        (y - expected).abs()
    }

    /// Cumulative normal distribution in f64 by its Taylor series about zero: slow, and good to 1e-15 up to |x| = 6.
    fn normal_cdf_oracle(x: f64) -> f64 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-18 {
            n += 1.0;
            term *= -x * x * (2.0 * n - 1.0) / ((2.0 * n) * (2.0 * n + 1.0));
            sum += term;
        }
        0.5 + sum / (2.0 * std::f64::consts::PI).sqrt()
    }

    /// GELU in f64.
    pub(crate) fn gelu_oracle(x: f64) -> f64 {
        if x.abs() > 6.0 {
            x.max(0.0)
        } else {
            x * normal_cdf_oracle(x)
        }
    }

    #[test]
    fn exp2_is_as_exact_as_documented() {
        let error = worst(-125.9..=126.9, Function::Exp2, f64::exp2, |expected, y| {
            (y / expected - 1.0).abs()
        });
        assert!(error < 2.5e-7, "{error:e}");
    }

    #[test]
    fn approximations_are_as_exact_as_documented() {
        let error = worst(
            -125.9..=126.9,
            Function::Exp2Roughly,
            f64::exp2,
            |expected, y| (y / expected - 1.0).abs(),
        );
        assert!(error < 8e-5, "{error:e}");
        // Beyond 6, GELU is max(x, 0) to rounding.
        for range in [-6.0..=6.0, -1e4..=1e4] {
            let error = worst(range, Function::GeluRoughly, gelu_oracle, |expected, y| {
                (y - expected).abs() - 1.2e-7 * expected.abs()
            });
            assert!(error < 1.4e-4, "{error:e}");
        }
        let mut nan = [f32::NAN];
        for cpu in Cpu::supported() {
            for function in [Function::Exp2Roughly, Function::GeluRoughly] {
                cpu.run(Map(&mut nan, function));
                assert!(nan[0].is_nan());
            }
        }
    }

    #[test]
    fn exp2_at_the_edges() {
        // The default NaN, one with the smallest payload and one with the largest.
        let nan = [f32::NAN.to_bits(), 0x7fc0_0001, 0xffff_ffff].map(f32::from_bits);
        for cpu in Cpu::supported() {
            let mut values = [0.0, -1000.0, f32::NEG_INFINITY, nan[0], nan[1], nan[2]];
            cpu.run(Map(&mut values, Function::Exp2));
            assert!((values[0] - 1.0).abs() < 1.3e-7);
            assert!(values[1] > 0.0 && values[1] < 1.3e-38);
            assert_eq!(values[2], values[1]);
            assert!(
                values[3..].iter().all(|x| x.is_nan()),
                "{cpu:?}: {values:?}"
            );
        }
    }

    #[test]
    fn normal_cdf_is_as_exact_as_documented() {
        let error = worst(-5.5..=5.5, Function::NormalCdf, normal_cdf_oracle, absolute);
        assert!(error < 1.3e-7, "{error:e}");
    }

    #[test]
    fn normal_cdf_stays_between_0_and_1() {
        let error = worst(
            -40.0..=40.0,
            Function::NormalCdf,
            |_| 0.0,
            |_, y| f64::from(!(0.0..=1.0).contains(&y)),
        );
        assert_eq!(error, 0.0);
    }

    #[test]
    fn tanh_is_as_exact_as_documented_and_odd() {
        let error = worst(-12.0..=12.0, Function::Tanh, f64::tanh, absolute);
        assert!(error < 1.5e-7, "{error:e}");
        let mut pair = [0.7, -0.7];
        Cpu::detect().run(Map(&mut pair, Function::Tanh));
        assert_eq!(pair[0], -pair[1]);
    }
}
