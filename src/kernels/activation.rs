//! Activation functions, applied element by element.

#[cfg(test)]
use super::Cpu;
use super::math;
use super::simd::Simd;
#[cfg(test)]
use super::simd::{Kernel, LANES};

/// Activation function between two dense layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Identity: x.
    Identity,
    /// Exact GELU: x times the cumulative normal distribution at x, as defined by the error function (Hendrycks and
    /// Gimpel 2016).
    Gelu,
    /// GELU approximated by a hyperbolic tangent: `gelu_new` and `gelu_pytorch_tanh` of Hugging Face configurations.
    GeluTanh,
    /// ReLU: max(x, 0).
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// Applies the function to each lane.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        match self {
            Self::Identity => x,
            Self::Gelu => gelu(s, x),
            Self::GeluTanh => gelu_tanh(s, x),
            Self::Relu => s.max(s.splat(0.0), x), // in this order NaN propagates
            Self::Tanh => math::tanh(s, x),
        }
    }

    /// Applies the function to each lane with an absolute error of up to 1.4e-4. For inputs that are no more exact, such as
    /// the sums of int8 products.
    #[inline(always)]
    pub(crate) fn apply_approx<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        match self {
            Self::Gelu => math::gelu_approx(s, x),
            _ => self.apply(s, x),
        }
    }

    /// Applies the function to each element.
    #[cfg(test)]
    fn apply_on(self, cpu: Cpu, values: &mut [f32]) {
        cpu.run(ApplyActivation(self, values));
    }
}

#[cfg(test)]
struct ApplyActivation<'a>(Activation, &'a mut [f32]);

#[cfg(test)]
impl Kernel for ApplyActivation<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for some in self.1.chunks_mut(LANES) {
            let x = s.load_partial(some, 0.0);
            s.store_partial(self.0.apply(s, x), some);
        }
    }
}

/// Exact GELU, to 1.5e-7 of max(|x|, 1e-6), against f64.
#[inline(always)]
fn gelu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.mul(x, math::normal_cdf(s, x))
}

/// Approximate GELU, x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), to 1.5e-7 of max(|x|, 1e-6), against f64.
#[inline(always)]
fn gelu_tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    let cubic = s.mul_add(s.mul(s.mul(s.splat(0.044715), x), x), x, x);
    let tanh = math::tanh(s, s.mul(s.splat(SQRT_2_OVER_PI), cubic));
    s.mul(s.mul(s.splat(0.5), x), s.add(s.splat(1.0), tanh))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::math::tests::gelu_oracle;

    fn sweep() -> Vec<f32> {
        (-30_000..=30_000).map(|i| i as f32 / 3_000.0).collect()
    }

    fn gelu_tanh_oracle(x: f64) -> f64 {
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
        0.5 * x * (1.0 + inner.tanh())
    }

    #[test]
    fn both_forms_of_gelu_are_exact_on_every_level() {
        let inputs = sweep();
        for (activation, oracle) in [
            (Activation::Gelu, gelu_oracle as fn(f64) -> f64),
            (Activation::GeluTanh, gelu_tanh_oracle),
        ] {
            let expected: Vec<f64> = inputs.iter().map(|&x| oracle(x.into())).collect();
            for cpu in Cpu::supported() {
                let mut outputs = inputs.clone();
                activation.apply_on(cpu, &mut outputs);
                for ((&x, &y), expected) in inputs.iter().zip(&outputs).zip(&expected) {
                    let error = (f64::from(y) - expected).abs();
                    let bound = 1.5e-7 * f64::from(x.abs().max(1e-6));
                    assert!(
                        error <= bound,
                        "{activation:?} on {cpu:?} at {x}: {error:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn gelu_keeps_the_sign_and_never_exceeds_its_argument() {
        for cpu in Cpu::supported() {
            let inputs = sweep();
            let mut outputs = inputs.clone();
            Activation::Gelu.apply_on(cpu, &mut outputs);
            for (&x, &y) in inputs.iter().zip(&outputs) {
                assert!(y.abs() <= x.abs() && y * x >= 0.0, "gelu({x}) = {y}");
            }
        }
    }

    #[test]
    fn relu_and_identity() {
        let mut values = [-1.0, -0.0, 2.0];
        Activation::Relu.apply_on(Cpu::detect(), &mut values);
        assert_eq!(values, [0.0, 0.0, 2.0]);
        let mut nan = [f32::NAN];
        Activation::Relu.apply_on(Cpu::detect(), &mut nan);
        assert!(nan[0].is_nan());
        Activation::Identity.apply_on(Cpu::detect(), &mut values);
        assert_eq!(values, [0.0, 0.0, 2.0]);
    }

    #[test]
    fn a_value_does_not_depend_on_its_position() {
        // The vector body and the tail of a loop must round alike.
        let inputs = sweep();
        for cpu in Cpu::supported() {
            let mut whole = inputs.clone();
            Activation::Gelu.apply_on(cpu, &mut whole);
            for start in 0..40 {
                let mut part = inputs[start..start + 37].to_vec();
                Activation::Gelu.apply_on(cpu, &mut part);
                assert_eq!(part, whole[start..start + 37]);
            }
        }
    }
}
