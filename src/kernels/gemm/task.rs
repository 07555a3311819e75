//! A product as data: operands, epilogue and destination.

use super::operands::{Dot, Operands};
use crate::kernels::Activation;
use crate::kernels::output::DisjointMut;

/// Operations on a product before it is stored, in the order of the fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// Bias added to each row, (n).
    pub(crate) bias: Option<&'a [f32]>,
    /// Activation applied to the sum.
    pub(crate) activation: Activation,
    /// Residual added last, (rows, n).
    pub(crate) residual: Option<&'a [f32]>,
}

impl Epilogue<'_> {
    /// No operations: the product is stored as it is.
    pub(crate) const NONE: Self = Self {
        bias: None,
        activation: Activation::Identity,
        residual: None,
    };
}

/// Consecutive columns of an output, which a product is written to.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct OutputColumns<'a> {
    /// The whole output.
    pub(in crate::kernels) out: &'a DisjointMut<'a>,
    /// Index of the first row's first column in `out`.
    pub(in crate::kernels) first: usize,
    /// Floats of `out` from one row's start to the next.
    pub(in crate::kernels) stride: usize,
    /// Number of columns. The last panel may have more.
    pub(in crate::kernels) width: usize,
}

/// A product that kernels compute, in whole or in blocks: operands, epilogue and destination.
pub(in crate::kernels) struct GemmTask<'a, D: Dot> {
    /// The left and right sides.
    pub(in crate::kernels) operands: Operands<'a, D>,
    /// Operations before the product is stored.
    pub(in crate::kernels) epilogue: Epilogue<'a>,
    /// Destination.
    pub(in crate::kernels) to: OutputColumns<'a>,
    /// Whether the product is added to the output's contents. Only for types with [`Dot::ACCUMULATES`], and not
    /// together with an activation or a residual.
    pub(in crate::kernels) accumulate: bool,
}

impl<'a, D: Dot> GemmTask<'a, D> {
    /// Creates a product that is stored as it is.
    #[inline(always)]
    pub(in crate::kernels) fn without_epilogue(
        operands: Operands<'a, D>,
        to: OutputColumns<'a>,
    ) -> Self {
        Self {
            operands,
            epilogue: Epilogue::NONE,
            to,
            accumulate: false,
        }
    }
}
