//! Losses, gradients and ten steps compared with torch: `fixtures/train`, which `fixtures/train_goldens.py` writes.

use safetensors::SafeTensors;

use super::adamw::{AdamW, Settings};
use crate::batch::Batch;
use crate::kernels::{ExecContext, Threads};
use crate::train::fixture;
use crate::train::losses::{CrossEntropy, mean_squared_error};
use crate::train::model::network::{Network, OutputGradients, Retain, Tape};
use crate::train::model::ops::dropout::Dropout;
use crate::train::model::parameters::{Gradients, Parameters};
use crate::weights::{Access, ModelFiles};

/// Reads a tensor of a golden file, whose elements have four or eight bytes.
fn read_tensor<const N: usize, T>(
    file: &SafeTensors<'_>,
    name: &str,
    of: fn([u8; N]) -> T,
) -> Vec<T> {
    let tensor = file.tensor(name).unwrap();
    let bytes = tensor.data().as_chunks::<N>().0;
    bytes.iter().map(|bytes| of(*bytes)).collect()
}

fn integers(file: &SafeTensors<'_>, name: &str) -> Vec<usize> {
    let all = read_tensor(file, name, i64::from_le_bytes);
    all.into_iter().map(|x| x.try_into().unwrap()).collect()
}

const MODELS: [&str; 4] = [
    "bert-classify",
    "bert-tokens",
    "distilbert-classify",
    "sentence-mean",
];

/// A model of the fixtures, and the batch that torch used.
struct Model {
    name: &'static str,
    network: Network,
    parameters: Parameters,
    batch: Batch,
    tape: Tape,
}

impl Model {
    fn load(name: &'static str, golden: &SafeTensors<'_>) -> Self {
        let files = ModelFiles::open(&fixture(name), Access::Read).unwrap();
        let (network, parameters) = Network::load(&files, None, 1, &Threads::default()).unwrap();
        let narrow = |name| {
            let all = integers(golden, name).into_iter();
            all.map(|id| id as u32).collect()
        };
        Self {
            name,
            network,
            parameters,
            batch: Batch {
                ids: narrow("ids"),
                type_ids: narrow("type_ids"),
                starts: integers(golden, "starts"),
            },
            tape: Tape::default(),
        }
    }

    /// Computes the loss and adds its gradients.
    fn forward_backward(
        &mut self,
        exec: &ExecContext,
        golden: &SafeTensors<'_>,
        gradients: &mut Gradients,
    ) -> f64 {
        let Self {
            network,
            parameters,
            batch,
            tape,
            ..
        } = self;
        network
            .forward(exec, parameters, batch, &Dropout::NONE, Retain::Head, tape)
            .unwrap();
        let loss = if self.name.starts_with("sentence") {
            let targets = read_tensor(golden, "labels", f32::from_le_bytes);
            mean_squared_error(tape.output(), &targets)
        } else {
            let labels: Vec<_> = integers(golden, "labels").into_iter().map(Some).collect();
            CrossEntropy::default().loss(tape.output(), &labels)
        };
        let outputs = OutputGradients {
            head: loss.gradient,
            ..Default::default()
        };
        network.backward(exec, parameters, batch, tape, &outputs, gradients);
        loss.value
    }
}

/// Reads torch's values for a model.
fn golden(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/train");
    std::fs::read(format!("{folder}/{name}.safetensors")).unwrap()
}

#[test]
fn losses_and_gradients_are_those_of_torch() {
    for name in MODELS {
        let bytes = golden(name);
        let golden = SafeTensors::deserialize(&bytes).unwrap();
        let mut model = Model::load(name, &golden);
        let mut gradients = model.parameters.gradients();
        let loss = model.forward_backward(&ExecContext::serial(), &golden, &mut gradients);
        let expected = read_tensor(&golden, "loss", f64::from_le_bytes)[0];
        assert!(
            (loss - expected).abs() < 1e-6,
            "{name}: {loss}, torch has {expected}"
        );

        let mut worst: (f64, &str) = (0.0, "");
        for (parameter, found) in model.parameters.iter().zip(gradients.iter()) {
            let tensor = format!("gradient.{}", parameter.name);
            let expected = read_tensor(&golden, &tensor, f32::from_le_bytes);
            let square = |x: f64| x * x;
            let length: f64 = expected.iter().map(|&x| square(x.into())).sum();
            let pairs = found.iter().zip(&expected);
            let error: f64 = pairs
                .map(|(&a, &b)| square(f64::from(a) - f64::from(b)))
                .sum();
            // A key's bias shifts all scores of a query alike, so its gradient is nothing but rounding error.
            let relative = if length.sqrt() < 1e-9 {
                error.sqrt()
            } else {
                (error / length).sqrt()
            };
            if relative > worst.0 {
                worst = (relative, &parameter.name);
            }
            assert!(relative < 2e-5, "{name}, {}: {relative:e}", parameter.name);
        }
        println!("{name}: at worst {:e}, of {}", worst.0, worst.1);
    }
}

#[test]
fn ten_steps_of_adamw_are_those_of_torch() {
    for name in MODELS {
        let bytes = golden(name);
        let golden = SafeTensors::deserialize(&bytes).unwrap();
        let mut model = Model::load(name, &golden);
        let mut gradients = model.parameters.gradients();
        let mut adamw = AdamW::new(&model.parameters, Settings::default());
        let exec = ExecContext::serial();
        let losses = read_tensor(&golden, "losses", f64::from_le_bytes);
        assert_eq!(losses.len(), 10);
        // Torch's own steps lower the loss by far more than this tolerance.
        assert!(losses[9] < losses[0] - 0.01, "{name}: {losses:?}");
        let mut worst = 0.0f64;
        for (step, expected) in losses.iter().enumerate() {
            let loss = model.forward_backward(&exec, &golden, &mut gradients);
            let error = (loss - expected).abs();
            assert!(
                error < 1e-4,
                "{name}, step {step}: {loss}, torch has {expected}"
            );
            worst = worst.max(error);
            adamw.step(&exec, &mut model.parameters, &gradients, 1e-3, 1.0);
            gradients.clear();
        }
        println!("{name}: at worst {worst:e}");
    }
}
