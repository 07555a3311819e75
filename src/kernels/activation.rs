//! Activation functions, element by element.

use super::{Arithmetic, math};
#[cfg(test)]
use super::{Cpu, Kernel};

/// The function between two dense layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x.
    Identity,
    /// x times the normal distribution at x: the exact form, by the error function (Hendrycks and Gimpel 2016).
    Gelu,
    /// The same by a hyperbolic tangent: `gelu_new` and `gelu_pytorch_tanh` of Hugging Face configurations.
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// The hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// Applies the function to each element, inside a kernel.
    #[inline(always)]
    pub(crate) fn apply<A: Arithmetic>(self, values: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Gelu => values.iter_mut().for_each(|x| *x = gelu::<A>(*x)),
            Self::GeluTanh => values.iter_mut().for_each(|x| *x = gelu_tanh::<A>(*x)),
            // Written so that NaN stays NaN.
            Self::Relu => values
                .iter_mut()
                .for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x }),
            Self::Tanh => values.iter_mut().for_each(|x| *x = math::tanh::<A>(*x)),
        }
    }

    /// Applies the function to each element.
    #[cfg(test)]
    fn apply_on(self, cpu: Cpu, values: &mut [f32]) {
        cpu.run(Apply(self, values));
    }
}

#[cfg(test)]
struct Apply<'a>(Activation, &'a mut [f32]);

#[cfg(test)]
impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        self.0.apply::<A>(self.1);
    }
}

/// To 2.3e-7 of max(|x|, 1e-6), against f64.
#[inline(always)]
fn gelu<A: Arithmetic>(x: f32) -> f32 {
    x * math::normal_cdf::<A>(x)
}

/// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), written as x times a logistic function.
#[inline(always)]
fn gelu_tanh<A: Arithmetic>(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    let inner = SQRT_2_OVER_PI * A::mul_add(0.044715 * x * x, x, x);
    0.5 * x * (1.0 + math::tanh::<A>(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep() -> Vec<f32> {
        (-120_000..=120_000).map(|i| i as f32 / 12_000.0).collect()
    }

    /// GELU in f64 by the error function's series and, beyond it, by the fact that nothing is left of the tail.
    fn gelu_oracle(x: f64) -> f64 {
        if x.abs() > 6.0 {
            return x.max(0.0);
        }
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-18 {
            n += 1.0;
            term *= -x * x * (2.0 * n - 1.0) / ((2.0 * n) * (2.0 * n + 1.0));
            sum += term;
        }
        x * (0.5 + sum / (2.0 * std::f64::consts::PI).sqrt())
    }

    fn gelu_tanh_oracle(x: f64) -> f64 {
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
        0.5 * x * (1.0 + inner.tanh())
    }

    #[test]
    fn both_forms_of_gelu_are_exact_on_every_level() {
        for cpu in Cpu::supported() {
            for (activation, oracle) in [
                (Activation::Gelu, gelu_oracle as fn(f64) -> f64),
                (Activation::GeluTanh, gelu_tanh_oracle),
            ] {
                let inputs = sweep();
                let mut outputs = inputs.clone();
                activation.apply_on(cpu, &mut outputs);
                for (&x, &y) in inputs.iter().zip(&outputs) {
                    let error = (f64::from(y) - oracle(x.into())).abs();
                    // Five units in the last place of x: x times a factor that is exact to 2.2e-7.
                    let bound = 3.0e-7 * f64::from(x.abs().max(1e-6));
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
    fn a_value_does_not_depend_on_its_place() {
        // The law of the floor: vector body and tail of a loop must round alike.
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
