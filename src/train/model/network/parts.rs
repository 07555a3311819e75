//! What layers and heads are put together from: names of parameters, with the operations that they go into.

use crate::kernels::Compute;
use crate::kernels::gemm::{Rounding, StoreMode};
use crate::kernels::memory::AlignedFloats;
use crate::train::model::ops::dropout::Dropout;
use crate::train::model::ops::layer_norm::Norm;
use crate::train::model::ops::linear::{self, How};
use crate::train::model::parameters::{Gradients, Id, Parameters};

/// What is the same for all parts in one pass, on the way there and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass<'a> {
    pub(super) compute: &'a Compute,
    pub(super) parameters: &'a Parameters,
    /// Where each text of the batch starts, and the end.
    pub(super) starts: &'a [usize],
    /// 0, 1, 2 and so on, where only the first row of each text is to come out: rows of texts of one row.
    pub(super) firsts: Option<&'a [usize]>,
    pub(super) dropout: Dropout,
    /// Of the products of dense layers.
    pub(super) rounding: Rounding,
}

impl<'a> Pass<'a> {
    /// The same pass, of which only first rows are to come out if `narrow`.
    pub(super) fn firsts<'b>(self, narrow: bool, firsts: &'b [usize]) -> Pass<'b>
    where
        'a: 'b,
    {
        Pass {
            firsts: narrow.then_some(firsts),
            ..self
        }
    }

    /// What products are computed with, and how exactly.
    fn how(&self) -> How<'a> {
        (self.compute, self.rounding)
    }

    pub(super) fn texts(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn rows(&self) -> usize {
        self.starts[self.texts()]
    }

    /// Where each text starts among the rows that come out, and the end.
    pub(super) fn out_starts(&self) -> &'a [usize] {
        self.firsts.unwrap_or(self.starts)
    }

    /// How many rows come out.
    pub(super) fn out_rows(&self) -> usize {
        self.out_starts()[self.texts()]
    }
}

/// A dense layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dense {
    pub(super) weight: Id,
    pub(super) bias: Id,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl Dense {
    /// `out = x W^T + b`.
    pub(super) fn forward(&self, pass: &Pass<'_>, x: &[f32], out: &mut [f32]) {
        let [weight, bias] = [self.weight, self.bias].map(|id| pass.parameters.values(id));
        linear::forward(pass.how(), x, weight, bias, out);
    }

    /// `d_x = d_out W`, and what `sum` says.
    pub(super) fn backward_input(
        &self,
        pass: &Pass<'_>,
        d_out: &[f32],
        sum: StoreMode<'_>,
        d_x: &mut [f32],
    ) {
        let weight = pass.parameters.values(self.weight);
        linear::backward_input(pass.how(), d_out, weight, self.inputs, sum, d_x);
    }

    /// The gradients of weight and bias.
    pub(super) fn backward_parameters(
        &self,
        pass: &Pass<'_>,
        x: &[f32],
        d_out: &[f32],
        gradients: &mut Gradients,
        transposed: &mut AlignedFloats,
    ) {
        let accumulate = gradients.begin(self.weight);
        let [weight, bias] = gradients.many_mut([self.weight, self.bias]);
        let gradient = linear::Gradient {
            weight,
            accumulate,
            bias,
        };
        linear::backward_parameters(pass.how(), x, d_out, gradient, transposed);
    }
}

/// A layer norm.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormIds {
    pub(super) weight: Id,
    pub(super) bias: Id,
    pub(super) eps: f32,
}

impl NormIds {
    pub(super) fn of<'a>(&self, parameters: &'a Parameters) -> Norm<'a> {
        Norm {
            weight: parameters.values(self.weight),
            bias: parameters.values(self.bias),
            eps: self.eps,
        }
    }

    pub(super) fn ids(&self) -> [Id; 2] {
        [self.weight, self.bias]
    }
}
