//! Tests of the loop, with a network of one layer.

use std::collections::BTreeSet;
use std::fs;

use super::*;
use crate::kernels::{Cpu, Threads};
use crate::train::atomic::replace_bytes;
use crate::train::losses::mean_squared_error;
use crate::train::model::parameters::{ParamId, Parameter};
use crate::train::random::Random;
use crate::train::run::log::read_log;

const WIDTH: usize = 6;
const EXAMPLES: usize = 50;

/// Learns the weights of a sum, from examples with random noise.
struct Sum {
    parameters: Parameters,
    weight: ParamId,
    inputs: Vec<f32>,
    targets: Vec<f32>,
    /// Metric after each step; `None` for the loss.
    figures: Option<fn(u64) -> f64>,
    /// Fails instead of learning from this call on.
    fails: Option<u64>,
    calls: u64,
    /// Dropout keys of all calls.
    dropout_keys: Vec<u64>,
}

impl Sum {
    fn new() -> Self {
        let mut random = Random::new(4, 0);
        let mut numbers =
            |count: usize| -> Vec<f32> { (0..count).map(|_| random.normal() as f32).collect() };
        let (inputs, right) = (numbers(EXAMPLES * WIDTH), numbers(WIDTH));
        let rows = inputs.chunks_exact(WIDTH);
        let mut parameters = Parameters::default();
        let weight = parameters.add(Parameter {
            name: "weight".to_owned(),
            shape: vec![WIDTH],
            values: vec![0.0; WIDTH],
            decays: true,
        });
        Self {
            targets: rows.map(|row| sum(row, &right)).collect(),
            parameters,
            weight,
            inputs,
            figures: None,
            fails: None,
            calls: 0,
            dropout_keys: Vec::new(),
        }
    }

    fn row(&self, at: usize) -> &[f32] {
        &self.inputs[at * WIDTH..(at + 1) * WIDTH]
    }

    fn values(&self) -> Vec<u32> {
        let values = self.parameters.iter().flat_map(|p| &p.values);
        values.map(|x| x.to_bits()).collect()
    }
}

fn sum(row: &[f32], weights: &[f32]) -> f32 {
    row.iter().zip(weights).map(|(x, w)| x * w).sum()
}

impl Trainable for Sum {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn forward_backward(
        &mut self,
        _: &ExecContext,
        examples: &[usize],
        dropout_key: u64,
        weight: f64,
        gradients: &mut Gradients,
    ) -> Result<BatchLoss> {
        self.calls += 1;
        self.dropout_keys.push(dropout_key);
        if self.fails.is_some_and(|fails| self.calls > fails) {
            return Err(Error::input("killed"));
        }
        let weights = self.parameters.values(self.weight);
        let outputs: Vec<f32> = examples
            .iter()
            .map(|&at| sum(self.row(at), weights))
            .collect();
        let noise = Random::new(9, dropout_key).normal() as f32 * 0.1;
        let targets: Vec<f32> = examples
            .iter()
            .map(|&at| self.targets[at] + noise)
            .collect();
        let loss = mean_squared_error(&outputs, &targets).scaled(weight);
        let gradient = gradients.of_mut(self.weight);
        for (&at, slope) in examples.iter().zip(&loss.gradient) {
            for (gradient, x) in gradient.iter_mut().zip(self.row(at)) {
                *gradient += slope * x;
            }
        }
        Ok(BatchLoss {
            loss: loss.value / weight,
            tokens: examples.len(),
        })
    }

    fn evaluate(&mut self, _: &ExecContext) -> Result<Vec<(String, f64)>> {
        let weights = self.parameters.values(self.weight);
        let outputs: Vec<f32> = (0..EXAMPLES).map(|at| sum(self.row(at), weights)).collect();
        let figure = match self.figures {
            Some(figures) => figures(self.calls),
            None => -mean_squared_error(&outputs, &self.targets).value,
        };
        Ok(vec![("quality".to_owned(), figure)])
    }

    fn save(&self, folder: &Path) -> Result<()> {
        let bytes: Vec<u8> = self
            .values()
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect();
        replace_bytes(&folder.join("model"), &bytes)
    }
}

/// An observer that stops the run after a number of steps.
#[derive(Default)]
struct Watch {
    stop_at: Option<u64>,
    lines: Vec<Line>,
}

impl Observer for Watch {
    fn step(&mut self, at: At) -> bool {
        self.stop_at != Some(at.step)
    }

    fn line(&mut self, line: &Line) {
        self.lines.push(line.clone());
    }
}

fn config(output: &Path) -> TrainConfig {
    TrainConfig {
        fingerprint: "toy".to_owned(),
        output: output.to_owned(),
        batching: Batching {
            size: 8,
            seed: 3,
            by_length: true,
        },
        epochs: 3,
        micro_batches: 2,
        adamw: Settings::default(),
        learning_rate: 0.1,
        warmup_ratio: 0.1,
        max_grad_norm: 1.0,
        eval_steps: Some(4),
        early_stopping_patience: None,
        save_steps: 3,
        logging_steps: 2,
    }
}

fn run(model: &mut Sum, config: &TrainConfig, watch: &mut Watch) -> Result<Outcome> {
    let engine = Engine::new(Cpu::detect(), Threads::default());
    let lengths: Vec<usize> = (0..EXAMPLES).map(|at| at % 7).collect();
    let train_set = TrainSet {
        lengths: &lengths,
        classes: None,
    };
    train(&engine, model, config, train_set, watch)
}

/// Everything that must not depend on interruptions: the last model, the best one, the state, the log.
fn results(model: &Sum, output: &Path) -> (Vec<u32>, Vec<u8>, SavedProgress, Vec<Line>) {
    let mut lines = read_log(&output.join("training/log.jsonl")).unwrap();
    for line in &mut lines {
        if let Line::Steps(steps) = line {
            steps.tokens_per_second = 0.0;
        }
    }
    let mut scratch = Sum::new();
    let mut adamw = AdamW::new(&scratch.parameters, Settings::default());
    let state = output.join("training/state.safetensors");
    let progress = state::load(&state, "toy", &mut scratch.parameters, &mut adamw).unwrap();
    // Throughput varies, and with it the length of the log.
    let progress = SavedProgress {
        log: 0,
        ..progress.unwrap()
    };
    let best = fs::read(output.join("model")).unwrap();
    (model.values(), best, progress, lines)
}

#[test]
fn it_learns_and_keeps_the_best() {
    let dir = tempfile::tempdir().unwrap();
    let (mut model, mut watch) = (Sum::new(), Watch::default());
    assert_eq!(
        run(&mut model, &config(dir.path()), &mut watch).unwrap(),
        Outcome::Over
    );
    // 7 batches an epoch, 21 steps: a line each 2 steps and a measurement each 4, and both at the end.
    let figures = watch.lines.iter().filter_map(|line| match line {
        Line::Figures(figures) => Some((figures.step, figures.figures[0].1, figures.best)),
        Line::Steps(_) => None,
    });
    let figures: Vec<_> = figures.collect();
    let steps: Vec<u64> = figures.iter().map(|figure| figure.0).collect();
    assert_eq!(steps, [4, 8, 12, 16, 20, 21]);
    assert_eq!(watch.lines.len(), 17);
    let (first, last) = (figures[0].1, figures[5].1);
    assert!(last > first * 0.5, "{first} {last}");
    let log = read_log(&dir.path().join("training/log.jsonl")).unwrap();
    assert_eq!(log.len(), watch.lines.len());
    // A completed run is not repeated.
    let again = run(&mut model, &config(dir.path()), &mut Watch::default());
    assert_eq!((again.unwrap(), model.calls), (Outcome::Over, 42));
}

#[test]
fn a_run_that_is_broken_off_at_any_step_ends_with_the_same_bits() {
    let whole = tempfile::tempdir().unwrap();
    let mut model = Sum::new();
    run(&mut model, &config(whole.path()), &mut Watch::default()).unwrap();
    let expected = results(&model, whole.path());
    // Before a state, with one, after it; at the end of an epoch; at the last step.
    for step in [1, 3, 5, 7, 8, 20, 21] {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let mut watch = Watch {
            stop_at: Some(step),
            ..Watch::default()
        };
        let outcome = run(&mut Sum::new(), &config, &mut watch).unwrap();
        assert_eq!(outcome, Outcome::Stopped);
        let mut model = Sum::new();
        assert_eq!(
            run(&mut model, &config, &mut Watch::default()).unwrap(),
            Outcome::Over
        );
        assert!(results(&model, dir.path()) == expected, "after step {step}");
    }
}

#[test]
fn so_does_one_that_is_killed_again_and_again() {
    let whole = tempfile::tempdir().unwrap();
    let mut model = Sum::new();
    run(&mut model, &config(whole.path()), &mut Watch::default()).unwrap();
    let expected = results(&model, whole.path());
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let training = dir.path().join("training");
    for attempt in 0.. {
        assert!(attempt < 20, "no end");
        let mut model = Sum::new();
        // In the middle of a step, some steps after the last state.
        model.fails = Some(9);
        let outcome = run(&mut model, &config, &mut Watch::default());
        // What dies while it writes leaves this.
        fs::write(training.join(".state.safetensors.new"), b"half").unwrap();
        fs::write(dir.path().join(".model.new"), b"half").unwrap();
        if outcome.is_ok() {
            assert!(results(&model, dir.path()) == expected);
            break;
        }
    }
}

#[test]
fn parts_of_a_batch_add_up_to_it() {
    let values = |micro_batches| {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Sum::new();
        let config = TrainConfig {
            micro_batches,
            ..config(dir.path())
        };
        let mut watch = Watch {
            stop_at: Some(2),
            ..Watch::default()
        };
        run(&mut model, &config, &mut watch).unwrap();
        (model.calls, watch.lines)
    };
    let ((once, one), (thrice, three)) = (values(1), values(3));
    assert_eq!((once, thrice), (2, 6));
    let loss = |lines: &[Line]| match &lines[0] {
        Line::Steps(steps) => steps.loss,
        Line::Figures(_) => f64::NAN,
    };
    let (one, three) = (loss(&one), loss(&three));
    assert!((one / three - 1.0).abs() < 0.1, "{one} {three}");
}

#[test]
fn each_part_of_each_step_has_a_draw_of_its_own_and_has_it_again() {
    for micro_batches in [1, 2, 3] {
        let dropout_keys = |folder: &Path, stop_at| {
            let config = TrainConfig {
                micro_batches,
                ..config(folder)
            };
            let mut model = Sum::new();
            let mut watch = Watch {
                stop_at,
                ..Watch::default()
            };
            run(&mut model, &config, &mut watch).unwrap();
            model.dropout_keys
        };
        let [once, again, broken] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let all = dropout_keys(once.path(), None);
        // One batch of an epoch has two examples, and no third part.
        let parts = 3 * (6 * micro_batches + micro_batches.min(2));
        let different: BTreeSet<&u64> = all.iter().collect();
        assert_eq!((all.len(), different.len()), (parts, parts), "{all:?}");
        assert_eq!(dropout_keys(again.path(), None), all);
        // Stopped after step 5, gone on with from the state after step 4.
        let (first, rest) = (
            dropout_keys(broken.path(), Some(5)),
            dropout_keys(broken.path(), None),
        );
        assert!(first.len() + rest.len() > parts);
        assert!(all.starts_with(&first), "{first:?} {all:?}");
        assert!(all.ends_with(&rest), "{rest:?} {all:?}");
    }
}

#[test]
fn patience_ends_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Sum::new();
    // Two calls a step: better until step 8, then worse.
    model.figures = Some(|calls| if calls <= 16 { calls as f64 } else { 1.0 });
    let config = TrainConfig {
        early_stopping_patience: Some(2),
        ..config(dir.path())
    };
    let mut watch = Watch::default();
    assert_eq!(run(&mut model, &config, &mut watch).unwrap(), Outcome::Over);
    assert_eq!(model.calls, 32);
    let best = watch
        .lines
        .iter()
        .filter(|line| matches!(line, Line::Figures(figures) if figures.best));
    assert_eq!(best.count(), 2);
    let kept = fs::read(dir.path().join("model")).unwrap();
    let last: Vec<u8> = model
        .values()
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    assert_ne!(kept, last);
}

#[test]
fn of_equal_models_the_first_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Sum::new();
    model.figures = Some(|_| 1.0);
    let mut watch = Watch::default();
    run(&mut model, &config(dir.path()), &mut watch).unwrap();
    let best = watch.lines.iter().filter_map(|line| match line {
        Line::Figures(figures) if figures.best => Some(figures.step),
        _ => None,
    });
    assert_eq!(best.collect::<Vec<u64>>(), [4]);
}

#[test]
fn two_runs_cannot_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let _held = folder::open(dir.path()).unwrap();
    let error = run(&mut Sum::new(), &config(dir.path()), &mut Watch::default()).unwrap_err();
    assert!(
        error.to_string().contains("another run is at work"),
        "{error}"
    );
}

#[test]
fn a_gradient_that_is_not_finite_ends_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Sum::new();
    model.targets[7] = f32::NAN;
    let error = run(&mut model, &config(dir.path()), &mut Watch::default()).unwrap_err();
    assert!(
        error.to_string().starts_with("the gradient of step "),
        "{error}"
    );
    assert!(
        model
            .values()
            .iter()
            .all(|&bits| f32::from_bits(bits).is_finite())
    );
}
