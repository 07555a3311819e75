//! Normalisation of rows.

use crate::error::Result;
use crate::kernels::ExecContext;
use crate::kernels::layer_norm::{layer_norm, no_norm};
use crate::weights::Weights;

/// Layer normalisation, or MobileBERT's replacement for it, which only scales and shifts.
#[derive(Debug)]
pub(crate) struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Constant added to the variance; `None` to only scale and shift.
    eps: Option<f32>,
}

impl Norm {
    /// Default constant that torch's layer norm adds to the variance.
    pub(crate) const TORCH_EPS: f32 = 1e-5;

    /// Loads `name.weight` and `name.bias`, (width).
    pub(crate) fn load(
        weights: &Weights<'_>,
        name: &str,
        width: usize,
        eps: Option<f32>,
    ) -> Result<Self> {
        let norm = weights.scope(name);
        Ok(Self {
            weight: norm.tensor("weight", &[width])?,
            bias: norm.tensor("bias", &[width])?,
            eps,
        })
    }

    /// Normalises rows in place; `rows` is (rows, width).
    pub(crate) fn forward(&self, exec: &ExecContext, rows: &mut [f32]) {
        match self.eps {
            Some(eps) => layer_norm(exec, rows, &self.weight, &self.bias, eps),
            None => no_norm(exec, rows, &self.weight, &self.bias),
        }
    }
}
