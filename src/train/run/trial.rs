//! A training step on synthetic data, for benchmarks.

use super::adamw::{AdamW, Settings, clip_factor, norm};
use crate::batch::{Batch, Encoding};
use crate::config::{EncoderConfig, Family};
use crate::error::{Error, Result};
use crate::kernels::gemm::Rounding;
use crate::kernels::{Activation, Cpu, Engine, ExecContext, Threads};
use crate::train::losses::CrossEntropy;
use crate::train::model::network::{HeadKind, Init, Network, OutputGradients, Retain, Tape};
use crate::train::model::ops::dropout::Dropout;
use crate::train::model::parameters::{Gradients, Parameters};

/// Number of texts in a batch.
const TEXTS: usize = 32;
/// Number of labels of the classifier.
const LABELS: usize = 2;

/// A classifier of MiniLM-L6's shape (6 layers, 384 wide, 30,522 tokens) with random weights, and a batch of SST-2's mean size:
/// 32 texts, 426 tokens.
#[derive(Debug)]
pub struct Trial {
    engine: Engine,
    network: Network,
    parameters: Parameters,
    gradients: Gradients,
    adamw: AdamW,
    tape: Tape,
    batch: Batch,
    outputs: OutputGradients,
    steps: u64,
}

impl Trial {
    /// Creates a trial for the best instruction set of the processor and `threads` threads.
    ///
    /// # Errors
    /// `Threads` if the threads cannot be started.
    pub fn new(threads: usize) -> Result<Self> {
        let config = EncoderConfig {
            family: Family::Bert,
            vocab_size: 30_522,
            positions: 512,
            token_types: 2,
            embedding_size: 384,
            hidden_size: 384,
            intermediate_size: 1536,
            num_hidden_layers: 6,
            num_attention_heads: 12,
            hidden_act: Activation::Gelu,
            eps: 1e-12,
            mobile: None,
        };
        let kind = HeadKind::Sequence { labels: LABELS };
        let (network, parameters) = Network::build(&config, kind, &Init::fresh(1))?;
        let pool = Threads::new(threads).map_err(|cause| Error::Threads { threads, cause })?;
        let texts: Vec<Encoding> = (0..TEXTS).map(text).collect();
        Ok(Self {
            engine: Engine::new(Cpu::detect(), pool),
            gradients: parameters.gradients(),
            adamw: AdamW::new(&parameters, Settings::default()),
            network,
            parameters,
            tape: Tape::default(),
            batch: Batch::new(&texts),
            outputs: OutputGradients::default(),
            steps: 0,
        })
    }

    /// Rounds the operands of matrix products to bf16.
    #[must_use]
    pub fn in_bf16(mut self) -> Self {
        self.network.rounding = Rounding::Bf16;
        self
    }

    /// Number of tokens in a step.
    pub fn tokens(&self) -> usize {
        self.batch.rows()
    }

    /// Takes one step: forward and backward pass with a dropout of 0.1 everywhere, then AdamW with the clipped gradient.
    /// Returns the mean cross-entropy.
    ///
    /// # Errors
    /// None that the synthetic data can cause.
    pub fn step(&mut self) -> Result<f64> {
        let exec = self.engine.context();
        let loss = self.forward_backward(&exec)?;
        let factor = clip_factor(norm(&exec, &self.gradients), 1.0);
        self.adamw
            .step(&exec, &mut self.parameters, &self.gradients, 2e-5, factor);
        self.gradients.clear();
        Ok(loss)
    }

    /// Runs the forward and backward pass and returns the loss.
    fn forward_backward(&mut self, exec: &ExecContext) -> Result<f64> {
        let dropout = Dropout {
            seed: 1,
            step: self.steps,
            hidden: 0.1,
            attention: 0.1,
            head: 0.1,
        };
        self.steps += 1;
        let Self {
            network,
            parameters,
            gradients,
            tape,
            batch,
            outputs,
            ..
        } = self;
        network.forward(exec, parameters, batch, &dropout, Retain::Head, tape)?;
        let labels: Vec<_> = (0..TEXTS).map(|text| Some(text % LABELS)).collect();
        let loss = CrossEntropy::default().loss(tape.output(), &labels);
        outputs.head = loss.gradient;
        network.backward(exec, parameters, batch, tape, outputs, gradients);
        Ok(loss.value)
    }
}

/// Generates a text of 5 to 21 tokens.
fn text(index: usize) -> Encoding {
    let len = 6 + index / 2 - usize::from(index < 6);
    let id = |at: usize| ((index * 977 + at * 7919) % 30_522) as u32;
    Encoding::from_ids((0..len).map(id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_the_tokens_and_the_loss_of_fresh_weights() {
        let trial = || Trial::new(2).unwrap();
        let losses = [trial(), trial().in_bf16()].map(|mut trial| {
            assert_eq!(trial.tokens(), 426);
            let loss = trial.step().unwrap();
            assert!((loss - std::f64::consts::LN_2).abs() < 0.05, "{loss}");
            loss
        });
        assert_ne!(losses[0], losses[1]);
    }
}
