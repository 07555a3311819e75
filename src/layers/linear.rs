//! Dense layers.

use std::sync::Arc;

use crate::error::Result;
use crate::kernels::gemm::{Dtype, Epilogue, PackedWeights, gemm};
use crate::kernels::{Activation, Compute};
use crate::weights::{Inputs, Weights};

/// `x W^T + b`.
#[derive(Debug)]
pub(crate) struct Linear {
    weights: PackedWeights,
    bias: Option<Vec<f32>>,
    /// Gets what goes in, where a model is calibrated.
    inputs: Option<Arc<Inputs>>,
}

impl Linear {
    /// `name.weight`, (outputs, inputs), and `name.bias`, (outputs).
    pub(crate) fn load(
        weights: &Weights<'_>,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        Self::load_joined(weights, &[name], outputs, inputs)
    }

    /// Several layers of the same shape and input as one: their outputs stand side by side.
    pub(crate) fn load_joined(
        weights: &Weights<'_>,
        names: &[&str],
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let matrix = weights.matrix(names, outputs, inputs)?;
        Ok(Self {
            bias: Some(joined_bias(weights, names, outputs)?),
            inputs: weights.inputs(names, inputs),
            ..Self::of(matrix)
        })
    }

    fn of(weights: PackedWeights) -> Self {
        Self {
            weights,
            bias: None,
            inputs: None,
        }
    }

    /// `name.weight` alone.
    pub(crate) fn load_without_bias(
        weights: &Weights<'_>,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let matrix = weights.matrix(&[name], outputs, inputs)?;
        Ok(Self {
            inputs: weights.inputs(&[name], inputs),
            ..Self::of(matrix)
        })
    }

    /// `tensor` of (inputs, outputs), the other way round than `load` has it, without a bias.
    pub(crate) fn load_columns(
        weights: &Weights<'_>,
        tensor: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        weights.columns(tensor, outputs, inputs).map(Self::of)
    }

    /// Width of what comes out.
    pub(crate) fn outputs(&self) -> usize {
        self.weights.n()
    }

    /// Width of what goes in.
    pub(crate) fn inputs(&self) -> usize {
        self.weights.k()
    }

    /// What its products are computed in.
    pub(crate) fn dtype(&self) -> Dtype {
        self.weights.dtype()
    }

    /// Whether it shows to somebody what goes in.
    pub(crate) fn is_watched(&self) -> bool {
        self.inputs.is_some()
    }

    /// `out = x W^T + b`; `x` is (rows, inputs), `out` (rows, outputs).
    pub(crate) fn forward(&self, compute: &Compute, x: &[f32], out: &mut [f32]) {
        self.forward_through(compute, x, Activation::Identity, out);
    }

    /// `out = activation(x W^T + b)`.
    pub(crate) fn forward_through(
        &self,
        compute: &Compute,
        x: &[f32],
        activation: Activation,
        out: &mut [f32],
    ) {
        let epilogue = Epilogue {
            bias: self.bias.as_deref(),
            activation,
            residual: None,
        };
        self.multiply(compute, x, epilogue, out);
    }

    /// `out = x W^T + b + residual`; `residual` is (rows, outputs).
    pub(crate) fn forward_onto(
        &self,
        compute: &Compute,
        x: &[f32],
        residual: &[f32],
        out: &mut [f32],
    ) {
        let epilogue = Epilogue {
            bias: self.bias.as_deref(),
            activation: Activation::Identity,
            residual: Some(residual),
        };
        self.multiply(compute, x, epilogue, out);
    }

    fn multiply(&self, compute: &Compute, x: &[f32], epilogue: Epilogue<'_>, out: &mut [f32]) {
        if let Some(inputs) = &self.inputs {
            inputs.see(x);
        }
        gemm(compute, x, &self.weights, epilogue, out);
    }
}

/// The biases of layers side by side.
fn joined_bias(weights: &Weights<'_>, names: &[&str], outputs: usize) -> Result<Vec<f32>> {
    let mut bias = Vec::with_capacity(names.len() * outputs);
    for name in names {
        bias.extend(weights.at(name).tensor("bias", &[outputs])?);
    }
    Ok(bias)
}
