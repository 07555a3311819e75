//! Activation functions between two dense layers, applied element by element.

use crate::kernels::output::{OutputChunks, for_each_chunk};
use crate::kernels::simd::{Kernel, LANES, Simd};
use crate::kernels::{Activation, ExecContext, math};

/// Number of floats per task: its inputs and outputs stay in a core's second-level cache.
const PER_TASK: usize = 8 * 1024;

/// Computes `out = activation(x)`.
pub(crate) fn forward(exec: &ExecContext, activation: Activation, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len());
    let cpu = exec.cpu;
    let tasks = out.len().div_ceil(PER_TASK);
    for_each_chunk(
        exec,
        tasks,
        [OutputChunks::uniform(PER_TASK, out)],
        |_, task, [out]| {
            let x = &x[task * PER_TASK..][..out.len()];
            cpu.run(Forward { activation, x, out });
        },
    );
}

/// Backward pass: replaces the gradient of `activation(x)` in `d` by that of `x`. Recomputes `out = activation(x)`, so that it
/// need not be kept from the forward pass.
pub(crate) fn backward(
    exec: &ExecContext,
    activation: Activation,
    x: &[f32],
    d: &mut [f32],
    out: &mut [f32],
) {
    assert_eq!((x.len(), x.len()), (d.len(), out.len()));
    let cpu = exec.cpu;
    let tasks = out.len().div_ceil(PER_TASK);
    let outs = [
        OutputChunks::uniform(PER_TASK, d),
        OutputChunks::uniform(PER_TASK, out),
    ];
    for_each_chunk(exec, tasks, outs, |_, task, [d, out]| {
        let x = &x[task * PER_TASK..][..out.len()];
        cpu.run(Backward {
            activation,
            x,
            d,
            out,
        });
    });
}

/// Returns the activation and its derivative at x.
#[inline(always)]
fn value_and_derivative<S: Simd>(s: S, activation: Activation, x: S::F32) -> (S::F32, S::F32) {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    match activation {
        Activation::Identity => (x, one),
        Activation::Gelu => {
            // The derivative of x P(x) is P(x) + x p(x), with p(x) = exp(-x^2 / 2) / sqrt(2 pi).
            const HALF_LOG2_E: f32 = 0.5 * std::f32::consts::LOG2_E;
            const ONE_OVER_SQRT_2_PI: f32 = 0.398_942_3;
            let cdf = math::normal_cdf(s, x);
            let exponent = s.mul(s.mul(x, x), s.splat(-HALF_LOG2_E));
            let density = s.mul(math::exp2_clamped(s, exponent), s.splat(ONE_OVER_SQRT_2_PI));
            (s.mul(x, cdf), s.mul_add(x, density, cdf))
        }
        Activation::GeluTanh => {
            const SQRT_2_OVER_PI: f32 = 0.797_884_6;
            const CUBIC: f32 = 0.044_715;
            let square = s.mul(x, x);
            let inner = s.mul(x, s.mul_add(square, s.splat(CUBIC), one));
            let tanh = math::tanh(s, s.mul(inner, s.splat(SQRT_2_OVER_PI)));
            let half = s.mul(s.splat(0.5), s.add(one, tanh));
            let slope = s.mul_add(square, s.splat(3.0 * CUBIC), one);
            let slope = s.mul(slope, s.splat(0.5 * SQRT_2_OVER_PI));
            let slope = s.mul(slope, s.sub(one, s.mul(tanh, tanh)));
            (s.mul(x, half), s.mul_add(x, slope, half))
        }
        // The derivative at zero is zero, as in torch.
        Activation::Relu => (s.max(zero, x), s.select_by_sign(s.sub(zero, x), one, zero)),
        Activation::Tanh => {
            let tanh = math::tanh(s, x);
            (tanh, s.sub(one, s.mul(tanh, tanh)))
        }
    }
}

struct Forward<'a> {
    activation: Activation,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        // One loop per function, so that the choice is made once.
        match self.activation {
            Activation::Identity => self.out.copy_from_slice(self.x),
            Activation::Gelu => self.apply(s, Activation::Gelu),
            Activation::GeluTanh => self.apply(s, Activation::GeluTanh),
            Activation::Relu => self.apply(s, Activation::Relu),
            Activation::Tanh => self.apply(s, Activation::Tanh),
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn apply<S: Simd>(&mut self, s: S, activation: Activation) {
        for (x, out) in self.x.chunks(LANES).zip(self.out.chunks_mut(LANES)) {
            s.store_partial(activation.apply(s, s.load_partial(x, 0.0)), out);
        }
    }
}

struct Backward<'a> {
    activation: Activation,
    x: &'a [f32],
    d: &'a mut [f32],
    out: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        match self.activation {
            Activation::Identity => self.apply(s, Activation::Identity),
            Activation::Gelu => self.apply(s, Activation::Gelu),
            Activation::GeluTanh => self.apply(s, Activation::GeluTanh),
            Activation::Relu => self.apply(s, Activation::Relu),
            Activation::Tanh => self.apply(s, Activation::Tanh),
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn apply<S: Simd>(&mut self, s: S, activation: Activation) {
        let outs = self.d.chunks_mut(LANES).zip(self.out.chunks_mut(LANES));
        for (x, (d, out)) in self.x.chunks(LANES).zip(outs) {
            let (value, derivative) = value_and_derivative(s, activation, s.load_partial(x, 0.0));
            s.store_partial(value, out);
            s.store_partial(s.mul(s.load_partial(d, 0.0), derivative), d);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::oracle::{GradientCheck, random};
    use super::*;
    use crate::kernels::math::tests::gelu_oracle;
    use crate::kernels::{Cpu, Threads};

    #[test]
    fn both_passes_agree_with_differences_on_every_level() {
        type Function = fn(f64) -> f64;
        let functions: [(Activation, Function); 5] = [
            (Activation::Identity, |x| x),
            (Activation::Gelu, gelu_oracle),
            (Activation::GeluTanh, |x| {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }),
            (Activation::Relu, |x| x.max(0.0)),
            (Activation::Tanh, f64::tanh),
        ];
        let x: Vec<f32> = random(1, 3000).iter().map(|x| 9.0 * x + 1e-3).collect();
        let d_out = random(2, x.len());
        for cpu in Cpu::supported() {
            let exec = ExecContext::new(cpu, &Threads::new(2).unwrap());
            for (activation, function) in functions {
                let mut out = vec![0.0; x.len()];
                forward(&exec, activation, &x, &mut out);
                let check =
                    GradientCheck::of(&d_out, |[x]| x.iter().map(|&x| function(x)).collect());
                check.forward([&x], &out);
                let (mut d, mut again) = (d_out.clone(), vec![0.0; x.len()]);
                backward(&exec, activation, &x, &mut d, &mut again);
                check.backward([&x], [&d]);
                check.forward([&x], &again);
            }
        }
        let mut d = [1.0];
        backward(
            &ExecContext::serial(),
            Activation::Relu,
            &[0.0],
            &mut d,
            &mut [0.0],
        );
        assert_eq!(d, [0.0]);
    }
}
