//! Building blocks of layers and heads: parameter ids with the operations that use them.

use crate::kernels::ExecContext;
use crate::kernels::gemm::{Rounding, StoreMode};
use crate::kernels::memory::AlignedFloats;
use crate::train::model::ops::dropout::Dropout;
use crate::train::model::ops::layer_norm::Norm;
use crate::train::model::ops::linear;
use crate::train::model::parameters::{Gradients, ParamId, Parameters};

/// Context of a forward or backward pass, common to all its operations.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassContext<'a> {
    pub(super) exec: &'a ExecContext,
    pub(super) parameters: &'a Parameters,
    /// Row offset of each text in the batch, and the total.
    pub(super) starts: &'a [usize],
    /// If set, only the first row of each text is computed: the offsets 0, 1, 2 and so on, of texts with one row each.
    pub(super) firsts: Option<&'a [usize]>,
    pub(super) dropout: Dropout,
    /// Rounding of the operands of the dense layers' products.
    pub(super) rounding: Rounding,
}

impl<'a> PassContext<'a> {
    /// Returns the pass with only first rows as its output if `narrow`, else with all rows.
    pub(super) fn firsts<'b>(self, narrow: bool, firsts: &'b [usize]) -> PassContext<'b>
    where
        'a: 'b,
    {
        PassContext {
            firsts: narrow.then_some(firsts),
            ..self
        }
    }

    pub(super) fn texts(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn rows(&self) -> usize {
        self.starts[self.texts()]
    }

    /// Row offset of each text in the output, and the total.
    pub(super) fn out_starts(&self) -> &'a [usize] {
        self.firsts.unwrap_or(self.starts)
    }

    /// Number of rows in the output.
    pub(super) fn out_rows(&self) -> usize {
        self.out_starts()[self.texts()]
    }
}

/// Parameters of a dense layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dense {
    pub(super) weight: ParamId,
    pub(super) bias: ParamId,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl Dense {
    /// Computes `out = x W^T + b`.
    pub(super) fn forward(&self, pass: &PassContext<'_>, x: &[f32], out: &mut [f32]) {
        let [weight, bias] = [self.weight, self.bias].map(|id| pass.parameters.values(id));
        linear::forward(pass.exec, pass.rounding, x, weight, bias, out);
    }

    /// Computes `d_x = d_out W`; `sum` says whether it is stored or added.
    pub(super) fn backward_input(
        &self,
        pass: &PassContext<'_>,
        d_out: &[f32],
        sum: StoreMode<'_>,
        d_x: &mut [f32],
    ) {
        let weight = pass.parameters.values(self.weight);
        linear::backward_input(
            pass.exec,
            pass.rounding,
            d_out,
            weight,
            self.inputs,
            sum,
            d_x,
        );
    }

    /// Adds the gradients of weight and bias.
    pub(super) fn backward_parameters(
        &self,
        pass: &PassContext<'_>,
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
        linear::backward_parameters(pass.exec, pass.rounding, x, d_out, gradient, transposed);
    }
}

/// Parameters of a layer norm.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormIds {
    pub(super) weight: ParamId,
    pub(super) bias: ParamId,
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

    pub(super) fn ids(&self) -> [ParamId; 2] {
        [self.weight, self.bias]
    }
}
