//! AdamW and gradient clipping.

use std::sync::Mutex;

use crate::kernels::ExecContext;
use crate::kernels::simd::{Kernel, Simd};
use crate::train::model::parameters::{Gradients, Parameters, Touched};

/// Number of floats in a piece, which one thread updates at a time. Pieces do not depend on the number of threads, so neither
/// does any sum over them. Four arrays of this length fit into a core's second-level cache.
const PIECE: usize = 1 << 14;

/// AdamW (Loshchilov and Hutter 2019), step for step as `torch.optim.AdamW`.
#[derive(Clone, Debug)]
pub(crate) struct AdamW {
    pub(crate) settings: Settings,
    /// Number of steps taken so far.
    pub(crate) steps: u64,
    /// Moments of each parameter.
    pub(crate) moments: Vec<Moments>,
}

/// Hyperparameters of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) eps: f64,
    /// Weight decay: the fraction of a decaying parameter that a step subtracts, times the learning rate.
    pub(crate) weight_decay: f64,
}

impl Default for Settings {
    /// The defaults of PyTorch.
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
        }
    }
}

/// Running means of a parameter's gradient and of its square.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moments {
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
}

impl AdamW {
    /// Creates the optimizer before its first step.
    pub(crate) fn new(parameters: &Parameters, settings: Settings) -> Self {
        let zeros = |len: usize| Moments {
            first: vec![0.0; len],
            second: vec![0.0; len],
        };
        Self {
            settings,
            steps: 0,
            moments: parameters.iter().map(|p| zeros(p.values.len())).collect(),
        }
    }

    /// Takes one step with the gradients times `factor` (see [`clip_factor`]).
    pub(crate) fn step(
        &mut self,
        exec: &ExecContext,
        parameters: &mut Parameters,
        gradients: &Gradients,
        rate: f64,
        factor: f64,
    ) {
        self.steps += 1;
        let Settings {
            beta1,
            beta2,
            eps,
            weight_decay,
        } = self.settings;
        let bias = |beta: f64| 1.0 - beta.powf(self.steps as f64);
        let constants = |decays: bool| StepConstants {
            grad_scale: factor as f32,
            decay_factor: if decays {
                (1.0 - rate * weight_decay) as f32
            } else {
                1.0
            },
            one_minus_beta1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            one_minus_beta2: (1.0 - beta2) as f32,
            sqrt_bias_correction2: bias(beta2).sqrt() as f32,
            eps: eps as f32,
            step_size: (rate / bias(beta1)) as f32,
        };
        let mut pieces = Vec::new();
        let states = gradients.touched().zip(&mut self.moments);
        for (parameter, ((gradient, touched), moments)) in parameters.iter_mut().zip(states) {
            let constants = constants(parameter.decays);
            assert_eq!(gradient.len(), parameter.values.len(), "{}", parameter.name);
            // A piece of an embedding table is whole rows.
            let piece = touched.map_or(PIECE, |Touched { width, .. }| {
                (PIECE / width).max(1) * width
            });
            let values = parameter.values.chunks_mut(piece);
            let gradients = gradient.chunks(piece);
            let firsts = moments.first.chunks_mut(piece);
            let seconds = moments.second.chunks_mut(piece);
            let rest = gradients.zip(firsts.zip(seconds));
            for (at, (values, (gradient, (first, second)))) in values.zip(rest).enumerate() {
                let part = Part {
                    values,
                    gradient,
                    first,
                    second,
                };
                pieces.push(Mutex::new(Update {
                    part,
                    start: at * piece,
                    touched,
                    constants,
                }));
            }
        }
        let cpu = exec.cpu;
        exec.team.parallel_for(
            pieces.len(),
            || (),
            |(), index| {
                // The lock is never contended: each piece belongs to one task.
                let mut piece = pieces[index]
                    .lock()
                    .unwrap_or_else(|lock| lock.into_inner());
                cpu.run(&mut *piece);
            },
        );
    }
}

/// Values of a step that are common to all elements of a parameter; see the update in [`StepConstants::update`].
#[derive(Clone, Copy, Debug)]
struct StepConstants {
    grad_scale: f32,
    decay_factor: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    sqrt_bias_correction2: f32,
    eps: f32,
    step_size: f32,
}

/// A piece of a parameter.
struct Update<'a> {
    part: Part<'a>,
    /// Offset of the piece in the parameter.
    start: usize,
    /// Rows where the gradient is not zero, if the parameter is an embedding table.
    touched: Option<Touched<'a>>,
    constants: StepConstants,
}

/// Some elements of a parameter with their gradients and moments.
struct Part<'a> {
    values: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl Kernel for &mut Update<'_> {
    type Output = ();

    /// Updates the piece. A step is bound by memory, and most rows of a large embedding table are in no batch. So a gradient
    /// that is known to be zero is not read, and moments of rows that no batch has had yet, which are zero, too, are not
    /// written. The bits are those of a full update.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Update {
            part,
            start,
            touched,
            constants,
        } = self;
        let Some(touched) = *touched else {
            part.step(*constants);
            return;
        };
        let width = touched.width;
        let mut next = touched.among(*start..*start + part.values.len());
        let rows = part.values.chunks_exact_mut(width);
        let moments = part.first.chunks_exact_mut(width);
        let moments = moments.zip(part.second.chunks_exact_mut(width));
        let rest = part.gradient.chunks_exact(width).zip(moments);
        for (row, (values, (gradient, (first, second)))) in (*start / width..).zip(rows.zip(rest)) {
            let mut part = Part {
                values,
                gradient,
                first,
                second,
            };
            if next.first().is_some_and(|&next| next as usize == row) {
                next = &next[1..];
                part.step(*constants);
            } else if part.rests() {
                part.decay(*constants);
            } else {
                part.fade(*constants);
            }
        }
    }
}

// Plain floats, which the compiler vectorises for the instruction set. Nothing is fused, so all instruction sets agree.
impl Part<'_> {
    #[inline(always)]
    fn step(&mut self, c: StepConstants) {
        let moments = self.first.iter_mut().zip(self.second.iter_mut());
        let both = self.values.iter_mut().zip(self.gradient);
        for ((value, gradient), (first, second)) in both.zip(moments) {
            c.update(value, gradient * c.grad_scale, first, second);
        }
    }

    /// Updates elements whose gradient is zero.
    #[inline(always)]
    fn fade(&mut self, c: StepConstants) {
        let moments = self.first.iter_mut().zip(self.second.iter_mut());
        for (value, (first, second)) in self.values.iter_mut().zip(moments) {
            c.update(value, 0.0, first, second);
        }
    }

    /// Updates elements whose gradient and moments are zero.
    #[inline(always)]
    fn decay(&mut self, c: StepConstants) {
        if c.decay_factor != 1.0 {
            self.values
                .iter_mut()
                .for_each(|value| *value *= c.decay_factor);
        }
    }

    /// Returns whether all moments are zero.
    #[inline(always)]
    fn rests(&self) -> bool {
        let moments = self.first.iter().zip(&*self.second);
        let bits = moments.fold(0, |bits, (first, second)| {
            bits | first.to_bits() | second.to_bits()
        });
        bits == 0
    }
}

impl StepConstants {
    #[inline(always)]
    fn update(self, value: &mut f32, g: f32, first: &mut f32, second: &mut f32) {
        *first += self.one_minus_beta1 * (g - *first);
        *second = *second * self.beta2 + self.one_minus_beta2 * g * g;
        let length = second.sqrt() / self.sqrt_bias_correction2 + self.eps;
        *value = *value * self.decay_factor - self.step_size * (*first / length);
    }
}

/// Computes the norm of all gradients, taken as one vector. Squares are summed in f64 and in the order of the pieces, so that the
/// result does not depend on threads.
pub(crate) fn norm(exec: &ExecContext, gradients: &Gradients) -> f64 {
    let pieces = gradients.touched().flat_map(|(gradient, touched)| {
        // Zeros add nothing.
        let counts = move |&(at, _): &(usize, &[f32])| {
            let elements = at * PIECE..(at + 1) * PIECE;
            touched.is_none_or(|touched| !touched.among(elements).is_empty())
        };
        gradient.chunks(PIECE).enumerate().filter(counts)
    });
    let pieces: Vec<&[f32]> = pieces.map(|(_, piece)| piece).collect();
    let sums: Vec<Mutex<f64>> = pieces.iter().map(|_| Mutex::new(0.0)).collect();
    let cpu = exec.cpu;
    exec.team.parallel_for(
        pieces.len(),
        || (),
        |(), index| {
            let sum = cpu.run(Squares(pieces[index]));
            *sums[index].lock().unwrap_or_else(|lock| lock.into_inner()) = sum;
        },
    );
    let sums = sums
        .into_iter()
        .map(|sum| sum.into_inner().unwrap_or_else(|lock| lock.into_inner()));
    sums.sum::<f64>().sqrt()
}

/// Returns the factor that scales gradients of this norm down to at most `limit`, as `torch.nn.utils.clip_grad_norm_`.
pub(crate) fn clip_factor(norm: f64, limit: f64) -> f64 {
    (limit / (norm + 1e-6)).min(1.0)
}

struct Squares<'a>(&'a [f32]);

impl Kernel for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        const CHAINS: usize = 16;
        let mut sums = [0.0; CHAINS];
        let (blocks, rest) = self.0.as_chunks::<CHAINS>();
        for block in blocks {
            for (sum, &x) in sums.iter_mut().zip(block) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        let rest: f64 = rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        sums.iter().sum::<f64>() + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Cpu, Threads};
    use crate::train::model::parameters::Parameter;
    use crate::train::run::schedule::Schedule;

    #[derive(serde::Deserialize)]
    struct Golden {
        start: Vec<Vec<f32>>,
        steps: Vec<GoldenStep>,
    }

    #[derive(serde::Deserialize)]
    struct GoldenStep {
        rate: f64,
        norm: f64,
        gradients: Vec<Vec<f32>>,
        parameters: Vec<Vec<f32>>,
    }

    fn parameters(values: &[Vec<f32>]) -> Parameters {
        let mut parameters = Parameters::default();
        for (at, values) in values.iter().enumerate() {
            parameters.add(Parameter {
                name: format!("p{at}"),
                shape: vec![values.len()],
                values: values.clone(),
                decays: at == 0,
            });
        }
        parameters
    }

    fn fill(gradients: &mut Gradients, from: &[Vec<f32>]) {
        for (gradient, from) in gradients.iter_mut().zip(from) {
            gradient.copy_from_slice(from);
        }
    }

    #[test]
    fn ten_steps_are_those_of_pytorch() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/train/optimizer.json");
        let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut parameters = parameters(&golden.start);
        let mut gradients = parameters.gradients();
        let settings = Settings {
            weight_decay: 0.1,
            ..Settings::default()
        };
        let mut adamw = AdamW::new(&parameters, settings);
        let schedule = Schedule {
            rate: 3e-2,
            warmup: 3,
            steps: 10,
        };
        let exec = ExecContext::serial();
        for (at, step) in golden.steps.iter().enumerate() {
            fill(&mut gradients, &step.gradients);
            let norm = norm(&exec, &gradients);
            assert!(
                (norm / step.norm - 1.0).abs() < 1e-6,
                "{norm} {}",
                step.norm
            );
            let rate = schedule.rate_at(at as u64);
            assert!((rate - step.rate).abs() < 1e-15, "{rate} {}", step.rate);
            adamw.step(
                &exec,
                &mut parameters,
                &gradients,
                rate,
                clip_factor(norm, 1.0),
            );
            for (parameter, expected) in parameters.iter().zip(&step.parameters) {
                for (found, expected) in parameter.values.iter().zip(expected) {
                    let error = (found - expected).abs() / expected.abs().max(0.1);
                    assert!(error < 1e-6, "step {at}: {found}, PyTorch has {expected}");
                }
            }
        }
    }

    #[test]
    fn neither_threads_nor_levels_change_a_bit() {
        let values = |seed: usize| -> Vec<Vec<f32>> {
            [3 * PIECE + 5, 7]
                .map(|len| {
                    (0..len)
                        .map(|i| ((i * 37 + seed) % 101) as f32 * 0.01 - 0.4)
                        .collect()
                })
                .to_vec()
        };
        let run = |exec: &ExecContext| {
            let mut parameters = parameters(&values(0));
            let mut gradients = parameters.gradients();
            let mut adamw = AdamW::new(&parameters, Settings::default());
            for step in 1..4 {
                fill(&mut gradients, &values(step));
                let factor = clip_factor(norm(exec, &gradients), 1.0);
                adamw.step(exec, &mut parameters, &gradients, 0.1, factor);
            }
            let values = parameters.iter().flat_map(|p| &p.values);
            values.map(|x| x.to_bits()).collect::<Vec<u32>>()
        };
        let expected = run(&ExecContext::serial());
        let threads = Threads::new(3).unwrap();
        for cpu in Cpu::supported() {
            assert!(run(&ExecContext::new(cpu, &threads)) == expected, "{cpu:?}");
        }
    }

    #[test]
    fn a_table_of_which_rows_are_known_changes_as_any_other_parameter() {
        const WIDTH: usize = 11;
        let rows = 2 * PIECE / WIDTH;
        let number = |at: usize| ((at * 37) % 101) as f32 * 0.01 - 0.4;
        let values: Vec<f32> = (0..rows * WIDTH).map(number).collect();
        let steps: [&[u32]; 4] = [
            &[1, 5, 7, rows as u32 - 1],
            &[5, 6, 2000],
            &[],
            &[0, 1, 2500],
        ];
        for decays in [0.0, 0.1] {
            let run = |known: bool| {
                let mut parameters = parameters(std::slice::from_ref(&values));
                let mut gradients = parameters.gradients();
                let settings = Settings {
                    weight_decay: decays,
                    ..Settings::default()
                };
                let mut adamw = AdamW::new(&parameters, settings);
                let exec = ExecContext::serial();
                for rows in steps {
                    let id = parameters.ids().next().unwrap();
                    if known {
                        gradients.begin_rows(id, rows, WIDTH);
                    }
                    let gradient = gradients.of_mut(id);
                    for &row in rows {
                        let row = &mut gradient[row as usize * WIDTH..][..WIDTH];
                        (0..).zip(row).for_each(|(at, x)| *x = number(at));
                    }
                    assert_eq!(gradients.touched().all(|(_, rows)| rows.is_some()), known);
                    let norm = norm(&exec, &gradients);
                    let factor = clip_factor(norm, 1.0);
                    adamw.step(&exec, &mut parameters, &gradients, 0.1, factor);
                    gradients.clear();
                }
                let Moments { first, second } = &adamw.moments[0];
                let values = &parameters.iter().next().unwrap().values;
                let all = values.iter().chain(first).chain(second);
                all.map(|x| x.to_bits()).collect::<Vec<u32>>()
            };
            assert!(run(true) == run(false), "weight decay {decays}");
        }
    }

    #[test]
    fn what_is_not_finite_shows_in_the_norm() {
        let parameters = parameters(&[vec![0.0; 20]]);
        let mut gradients = parameters.gradients();
        for bad in [f32::NAN, f32::INFINITY] {
            fill(&mut gradients, &[vec![bad; 20]]);
            assert!(!norm(&ExecContext::serial(), &gradients).is_finite());
        }
    }
}
