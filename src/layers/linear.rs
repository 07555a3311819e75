//! Dense layers.

use crate::error::Result;
use crate::kernels::gemm::{Dtype, Epilogue, PackedWeights, gemm};
use crate::kernels::{Activation, ExecContext};
use crate::weights::Weights;

/// Dense layer: `x W^T + b`.
#[derive(Debug)]
pub(crate) struct Linear {
    /// Name of the matrix in a packed file.
    name: Box<str>,
    weight: PackedWeights,
    bias: Option<Vec<f32>>,
}

impl Linear {
    /// Loads `name.weight`, (outputs, inputs), and `name.bias`, (outputs).
    pub(crate) fn load(
        weights: &Weights<'_>,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        Self::load_joined(weights, &[name], outputs, inputs)
    }

    /// Loads several layers of the same shape as one, which concatenates their outputs for each row.
    pub(crate) fn load_joined(
        weights: &Weights<'_>,
        names: &[&str],
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let matrix = weights.matrix(names, outputs, inputs)?;
        Ok(Self {
            bias: Some(joined_bias(weights, names, outputs)?),
            ..Self::without_bias(weights.matrix_name(names), matrix)
        })
    }

    fn without_bias(name: String, weight: PackedWeights) -> Self {
        Self {
            name: name.into(),
            weight,
            bias: None,
        }
    }

    /// Loads `name.weight`, (outputs, inputs), without a bias.
    pub(crate) fn load_without_bias(
        weights: &Weights<'_>,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let matrix = weights.matrix(&[name], outputs, inputs)?;
        Ok(Self::without_bias(weights.matrix_name(&[name]), matrix))
    }

    /// Loads `tensor`, which is stored transposed as (inputs, outputs), without a bias.
    pub(crate) fn load_transposed(
        weights: &Weights<'_>,
        tensor: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let matrix = weights.matrix_transposed(tensor, outputs, inputs)?;
        Ok(Self::without_bias(tensor.to_owned(), matrix))
    }

    /// Returns the width of the output.
    pub(crate) fn outputs(&self) -> usize {
        self.weight.n()
    }

    /// Returns the width of the input.
    pub(crate) fn inputs(&self) -> usize {
        self.weight.k()
    }

    /// Returns the number type in which the product is computed.
    pub(crate) fn dtype(&self) -> Dtype {
        self.weight.dtype()
    }

    /// Computes `out = x W^T + b`; `x` is (rows, inputs), `out` (rows, outputs).
    pub(crate) fn forward(&self, exec: &ExecContext, x: &[f32], out: &mut [f32]) {
        self.forward_act(exec, x, Activation::Identity, out);
    }

    /// Computes `out = activation(x W^T + b)`.
    pub(crate) fn forward_act(
        &self,
        exec: &ExecContext,
        x: &[f32],
        activation: Activation,
        out: &mut [f32],
    ) {
        let epilogue = Epilogue {
            bias: self.bias.as_deref(),
            activation,
            residual: None,
        };
        self.multiply(exec, x, epilogue, out);
    }

    /// Computes `out = x W^T + b + residual`; `residual` is (rows, outputs).
    pub(crate) fn forward_residual(
        &self,
        exec: &ExecContext,
        x: &[f32],
        residual: &[f32],
        out: &mut [f32],
    ) {
        let epilogue = Epilogue {
            bias: self.bias.as_deref(),
            activation: Activation::Identity,
            residual: Some(residual),
        };
        self.multiply(exec, x, epilogue, out);
    }

    fn multiply(&self, exec: &ExecContext, x: &[f32], epilogue: Epilogue<'_>, out: &mut [f32]) {
        if let Some(observer) = &exec.observer {
            observer.observe(&self.name, self.inputs(), x);
        }
        gemm(exec, x, &self.weight, epilogue, out);
    }
}

/// Loads the biases of several layers, concatenated.
fn joined_bias(weights: &Weights<'_>, names: &[&str], outputs: usize) -> Result<Vec<f32>> {
    let mut bias = Vec::with_capacity(names.len() * outputs);
    for name in names {
        bias.extend(weights.scope(name).tensor("bias", &[outputs])?);
    }
    Ok(bias)
}
