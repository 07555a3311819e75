//! A product as data: what is multiplied, and where its result goes.

use super::operands::{Dot, Operands};
use crate::kernels::Activation;
use crate::kernels::output::DisjointMut;

/// What happens to a product before it is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// Added to each row, (n).
    pub(crate) bias: Option<&'a [f32]>,
    /// Applied to the sum.
    pub(crate) activation: Activation,
    /// Added at the end, (rows, n).
    pub(crate) residual: Option<&'a [f32]>,
}

impl Epilogue<'_> {
    /// The bare product.
    pub(crate) const NONE: Self = Self {
        bias: None,
        activation: Activation::Identity,
        residual: None,
    };
}

/// Neighbouring columns of an output.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct OutputColumns<'a> {
    /// The output that they are a part of.
    pub(in crate::kernels) out: &'a DisjointMut<'a>,
    /// Index of the first row's first column in `out`.
    pub(in crate::kernels) first: usize,
    /// Floats of `out` from one row's start to the next.
    pub(in crate::kernels) stride: usize,
    /// Number of columns. Panels may have more.
    pub(in crate::kernels) width: usize,
}

/// A product inside a kernel: one task, one thread.
pub(in crate::kernels) struct GemmTask<'a, D: Dot> {
    /// What is multiplied.
    pub(in crate::kernels) operands: Operands<'a, D>,
    /// What happens to the product before it is stored.
    pub(in crate::kernels) epilogue: Epilogue<'a>,
    /// Where it is stored.
    pub(in crate::kernels) to: OutputColumns<'a>,
    /// Whether it is added to the output's contents, where [`Dot::ACCUMULATES`]. Not together with an activation or a
    /// residual.
    pub(in crate::kernels) accumulate: bool,
}

impl<'a, D: Dot> GemmTask<'a, D> {
    /// A product that is stored as it is.
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
