//! Normalisation of rows.

use crate::error::Result;
use crate::kernels::ExecContext;
use crate::kernels::layer_norm::{layer_norm, no_norm};
use crate::weights::Weights;

/// Layer normalisation, or what MobileBERT has in its place: scale and shift alone.
#[derive(Debug)]
pub(crate) struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Added to the variance; `None` where nothing is normalised, only scaled and shifted.
    eps: Option<f32>,
}

impl Norm {
    /// What torch's layer norm adds to the variance by default.
    pub(crate) const TORCH_EPS: f32 = 1e-5;

    /// `name.weight` and `name.bias`, (width).
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

    /// In place; `rows` is (rows, width).
    pub(crate) fn forward(&self, exec: &ExecContext, rows: &mut [f32]) {
        match self.eps {
            Some(eps) => layer_norm(exec, rows, &self.weight, &self.bias, eps),
            None => no_norm(exec, rows, &self.weight, &self.bias),
        }
    }
}
