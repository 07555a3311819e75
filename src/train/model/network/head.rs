//! Heads of the trainable network.

use super::parts::{Dense, PassContext};
use super::scratch::NetworkScratch;
use super::tape::HeadTape;
use crate::kernels::Activation;
use crate::kernels::gemm::StoreMode;
use crate::train::model::ops::pooling::{self, Pool};
use crate::train::model::ops::{activation, dropout};
use crate::train::model::parameters::Gradients;

/// Dropout site of the head.
const SITE: u64 = u64::MAX;

/// Parameters of a head.
#[derive(Clone, Debug)]
pub(super) enum Head {
    /// No head: the output is the hidden states.
    None,
    /// First row of each text, a dense layer with activation, dropout, and a dense layer: (texts, labels).
    Sequence {
        inner: Dense,
        activation: Activation,
        classifier: Dense,
    },
    /// Dropout where the reference has it, and a dense layer: (tokens, labels).
    Tokens {
        classifier: Dense,
        has_dropout: bool,
    },
    /// Pooling, then scaling to length one where the model does so: (texts, hidden).
    Embedding { pool: Pool, normalize: bool },
}

impl Head {
    pub(super) fn outputs(&self, hidden: usize) -> usize {
        match self {
            Self::None => 0,
            Self::Sequence { classifier, .. } | Self::Tokens { classifier, .. } => {
                classifier.outputs
            }
            Self::Embedding { .. } => hidden,
        }
    }

    /// Returns whether the head reads only the first row of each text.
    pub(super) fn sees_firsts(&self) -> bool {
        matches!(
            self,
            Self::Sequence { .. }
                | Self::Embedding {
                    pool: Pool::Cls,
                    ..
                }
        )
    }

    /// Forward pass from the encoder's rows to `tape.out`.
    pub(super) fn forward(&self, pass: &PassContext<'_>, rows: &[f32], tape: &mut HeadTape) {
        let PassContext {
            exec,
            starts,
            dropout,
            ..
        } = *pass;
        let texts = pass.texts();
        let hidden = rows.len() / pass.rows().max(1);
        match self {
            Self::None => tape.len = 0,
            Self::Sequence {
                inner: dense,
                activation: function,
                classifier,
            } => {
                let len = texts * hidden;
                let input = tape.input.at_least(len);
                pooling::forward(exec, Pool::Cls, rows, starts, hidden, input);
                let inner = tape.inner.at_least(len);
                dense.forward(pass, input, inner);
                let last = tape.last.at_least(len);
                activation::forward(exec, *function, inner, last);
                dropout::apply(exec, dropout.mask(SITE, dropout.head), hidden, last);
                tape.len = texts * classifier.outputs;
                let out = tape.out.at_least(tape.len);
                classifier.forward(pass, last, out);
            }
            Self::Tokens {
                classifier,
                has_dropout,
            } => {
                let last = tape.last.at_least(rows.len());
                last.copy_from_slice(rows);
                if *has_dropout {
                    dropout::apply(exec, dropout.mask(SITE, dropout.head), hidden, last);
                }
                tape.len = pass.rows() * classifier.outputs;
                let out = tape.out.at_least(tape.len);
                classifier.forward(pass, last, out);
            }
            Self::Embedding { pool, normalize } => {
                tape.len = texts * hidden;
                let input = tape.input.at_least(tape.len);
                pooling::forward(exec, *pool, rows, starts, hidden, input);
                let out = tape.out.at_least(tape.len);
                if *normalize {
                    pooling::normalize(input, hidden, out)
                } else {
                    out.copy_from_slice(input)
                }
            }
        }
    }

    /// Backward pass: adds the gradient of the encoder's rows to `d_rows`, given that of `tape.out`. An empty gradient adds
    /// nothing.
    pub(super) fn backward(
        &self,
        pass: &PassContext<'_>,
        tape: &HeadTape,
        scratch: &mut NetworkScratch,
        d_out: &[f32],
        d_rows: &mut [f32],
        gradients: &mut Gradients,
    ) {
        if d_out.is_empty() {
            return;
        }
        assert_eq!(d_out.len(), tape.len, "the gradient of a head's output");
        let PassContext {
            exec,
            starts,
            dropout,
            ..
        } = *pass;
        let texts = pass.texts();
        let hidden = d_rows.len() / pass.rows().max(1);
        let NetworkScratch {
            transposed,
            d_branch,
            d_context,
            ..
        } = scratch;
        match self {
            Self::None => {}
            Self::Sequence {
                inner: dense,
                activation: function,
                classifier,
            } => {
                let len = texts * hidden;
                // out = W dropout(activation(inner))
                let last = &tape.last[..len];
                classifier.backward_parameters(pass, last, d_out, gradients, transposed);
                let d = d_branch.at_least(len);
                classifier.backward_input(pass, d_out, StoreMode::Overwrite, d);
                dropout::apply(exec, dropout.mask(SITE, dropout.head), hidden, d);
                let again = d_context.at_least(len);
                activation::backward(exec, *function, &tape.inner[..len], d, again);
                // inner = W input, where `input` holds the first rows.
                dense.backward_parameters(pass, &tape.input[..len], d, gradients, transposed);
                let d_input = again;
                dense.backward_input(pass, d, StoreMode::Overwrite, d_input);
                pooling::backward(exec, Pool::Cls, d_input, starts, hidden, d_rows);
            }
            Self::Tokens {
                classifier,
                has_dropout,
            } => {
                let last = &tape.last[..d_rows.len()];
                classifier.backward_parameters(pass, last, d_out, gradients, transposed);
                let d = d_branch.at_least(d_rows.len());
                classifier.backward_input(pass, d_out, StoreMode::Overwrite, d);
                if *has_dropout {
                    dropout::apply(exec, dropout.mask(SITE, dropout.head), hidden, d);
                }
                d_rows.iter_mut().zip(&*d).for_each(|(sum, d)| *sum += d);
            }
            Self::Embedding { pool, normalize } => {
                let d = d_branch.at_least(d_out.len());
                d.copy_from_slice(d_out);
                if *normalize {
                    pooling::normalize_backward(&tape.input[..d_out.len()], hidden, d);
                }
                pooling::backward(exec, *pool, d, starts, hidden, d_rows);
            }
        }
    }
}
