//! Dense layers.

use crate::error::Result;
use crate::kernels::gemm::{Dtype, Epilogue, PackedWeights, gemm};
use crate::kernels::{Activation, Compute};
use crate::weights::{Tensor, Weights};

/// `x W^T + b`.
#[derive(Debug)]
pub(crate) struct Linear {
    weights: PackedWeights,
    bias: Option<Vec<f32>>,
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
        let mut bias = Vec::with_capacity(names.len() * outputs);
        let mut matrices = Vec::with_capacity(names.len());
        for name in names {
            let layer = weights.at(name);
            matrices.push(layer.find("weight", &[outputs, inputs])?);
            bias.extend(layer.tensor("bias", &[outputs])?);
        }
        // One product is of one kind: of bytes if each of its layers is.
        let int8 = names.iter().all(|name| weights.dtype(name) == Dtype::Int8);
        let dtype = if int8 { Dtype::Int8 } else { Dtype::F32 };
        Self::pack(weights, &matrices, (outputs, inputs), dtype, Some(bias))
    }

    /// `name.weight` alone.
    pub(crate) fn load_without_bias(
        weights: &Weights<'_>,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let matrix = weights.at(name).find("weight", &[outputs, inputs])?;
        let shape = (outputs, inputs);
        Self::pack(weights, &[matrix], shape, weights.dtype(name), None)
    }

    /// `tensor` of (inputs, outputs), the other way round than `load` has it, without a bias.
    pub(crate) fn load_columns(
        weights: &Weights<'_>,
        tensor: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let matrix = weights.find(tensor, &[inputs, outputs])?;
        let packer = weights.packer();
        Ok(Self {
            weights: packer.columns(outputs, inputs, |row, out| matrix.read(row * outputs, out))?,
            bias: None,
        })
    }

    /// Matrices of (outputs, inputs), one below the other.
    fn pack(
        weights: &Weights<'_>,
        matrices: &[Tensor],
        (outputs, inputs): (usize, usize),
        dtype: Dtype,
        bias: Option<Vec<f32>>,
    ) -> Result<Self> {
        let shape = (matrices.len() * outputs, inputs);
        let packer = weights.packer();
        let weights = packer.rows(dtype, shape, |mut rows, mut out| {
            // Some rows may be the end of one matrix and the start of the next.
            while !rows.is_empty() {
                let (matrix, row) = (rows.start / outputs, rows.start % outputs);
                let count = rows.len().min(outputs - row);
                let part;
                (part, out) = out.split_at_mut(count * inputs);
                matrices[matrix].read(row * inputs, part)?;
                rows.start += count;
            }
            Ok(())
        })?;
        Ok(Self { weights, bias })
    }

    /// Width of what comes out.
    pub(crate) fn outputs(&self) -> usize {
        self.weights.n()
    }

    /// Width of what goes in.
    pub(crate) fn inputs(&self) -> usize {
        self.weights.k()
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
        gemm(compute, x, &self.weights, epilogue, out);
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
        gemm(compute, x, &self.weights, epilogue, out);
    }
}
