//! A product as data: what is multiplied, and where its result goes.

use super::operands::Operands;
use crate::kernels::Activation;
use crate::kernels::disjoint::Disjoint;

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

/// A product inside a kernel: one task, one thread.
pub(in crate::kernels) struct Product<'a, X> {
    pub(in crate::kernels) operands: X,
    pub(in crate::kernels) epilogue: Epilogue<'a>,
    pub(in crate::kernels) out: &'a Disjoint<'a>,
    /// Where the first row's output starts in `out`,
    pub(in crate::kernels) first: usize,
    /// how far it is from one row's output to the next,
    pub(in crate::kernels) stride: usize,
    /// and how many columns it has; the panels may have more.
    pub(in crate::kernels) width: usize,
    /// Whether it is added to what is there, where the operands allow it; not together with an activation or a residual.
    pub(in crate::kernels) accumulate: bool,
}

impl<'a, X: Operands> Product<'a, X> {
    /// With nothing added and nothing applied; rows of the output begin at `start`, `stride` apart.
    #[inline(always)]
    pub(in crate::kernels) fn bare(
        operands: X,
        out: &'a Disjoint<'a>,
        (start, stride): (usize, usize),
        width: usize,
    ) -> Self {
        Self {
            operands,
            epilogue: Epilogue::NONE,
            out,
            first: start,
            stride,
            width,
            accumulate: false,
        }
    }
}
