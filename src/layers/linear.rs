//! Dense layers.

use crate::error::Result;
use crate::kernels::gemm::{Dtype, Epilogue, PackedWeights, gemm};
use crate::kernels::{Activation, Compute};
use crate::weights::{Smoothed, Weights};

/// `x W^T + b`.
#[derive(Debug)]
pub(crate) struct Linear {
    /// Name of the matrix in a packed file.
    name: Box<str>,
    weight: PackedWeights,
    bias: Option<Vec<f32>>,
    /// What each channel of the input is multiplied by ahead of the product, where the weights are divided by it.
    smoothing: Option<Box<[f32]>>,
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
            ..Self::of(weights.matrix_name(names), matrix)
        })
    }

    /// Several layers as one, for a caller that passes [`smoothed`](Self::smoothed) rows to `forward`.
    pub(crate) fn load_smoothed(
        weights: &Weights<'_>,
        names: &[&str],
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let Smoothed { matrix, factors } = weights.smoothed_matrix(names, outputs, inputs)?;
        Ok(Self {
            bias: Some(joined_bias(weights, names, outputs)?),
            smoothing: factors.map(Vec::into_boxed_slice),
            ..Self::of(weights.matrix_name(names), matrix)
        })
    }

    fn of(name: String, weight: PackedWeights) -> Self {
        Self {
            name: name.into(),
            weight,
            bias: None,
            smoothing: None,
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
        Ok(Self::of(weights.matrix_name(&[name]), matrix))
    }

    /// `tensor`, stored transposed as (inputs, outputs), without a bias.
    pub(crate) fn load_transposed(
        weights: &Weights<'_>,
        tensor: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let matrix = weights.matrix_transposed(tensor, outputs, inputs)?;
        Ok(Self::of(tensor.to_owned(), matrix))
    }

    /// Width of what comes out.
    pub(crate) fn outputs(&self) -> usize {
        self.weight.n()
    }

    /// Width of what goes in.
    pub(crate) fn inputs(&self) -> usize {
        self.weight.k()
    }

    /// What its products are computed in.
    pub(crate) fn dtype(&self) -> Dtype {
        self.weight.dtype()
    }

    /// The rows that go in for `x`: itself, or what it becomes in `room`, which is as large.
    pub(crate) fn smoothed<'a>(&self, x: &'a [f32], room: &'a mut [f32]) -> &'a [f32] {
        let Some(factors) = &self.smoothing else {
            return x;
        };
        let width = factors.len().max(1);
        for (row, out) in x.chunks_exact(width).zip(room.chunks_exact_mut(width)) {
            let numbers = out.iter_mut().zip(row.iter().zip(factors));
            numbers.for_each(|(out, (x, factor))| *out = x * factor);
        }
        room
    }

    /// `out = x W^T + b`; `x` is (rows, inputs), `out` (rows, outputs).
    pub(crate) fn forward(&self, compute: &Compute, x: &[f32], out: &mut [f32]) {
        self.forward_act(compute, x, Activation::Identity, out);
    }

    /// `out = activation(x W^T + b)`.
    pub(crate) fn forward_act(
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
    pub(crate) fn forward_residual(
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
        if let Some(observer) = &compute.observer {
            observer.observe(&self.name, self.inputs(), x);
        }
        gemm(compute, x, &self.weight, epilogue, out);
    }
}

/// The biases of layers side by side.
fn joined_bias(weights: &Weights<'_>, names: &[&str], outputs: usize) -> Result<Vec<f32>> {
    let mut bias = Vec::with_capacity(names.len() * outputs);
    for name in names {
        bias.extend(weights.scope(name).tensor("bias", &[outputs])?);
    }
    Ok(bias)
}
