//! Products of numbers in bf16: the upper half of a single-precision number, 8 bits of precision and the same range.
//!
//! Constant weights are rounded once, all else as it comes ([`RoundedRows`]), to nearest; sums are in single precision:
//!
//! `y = (.. ((bias + x1 w1) + x0 w0) + x3 w3) + x2 w2 ..`
//!
//! A product of two such numbers is exact, and this is the order of `vdpbf16ps`, Intel's and AMD's. So a level that widens
//! both sides, and multiplies and adds one after the other, gets the same bits, fused or not; only numbers below 2^-126 are
//! zero in the one and not in the other.

mod activations;
mod dot;
mod layout;

#[cfg(feature = "train")]
pub(super) use activations::Round;
pub(crate) use activations::RoundedRows;
#[cfg(feature = "train")]
pub(super) use layout::pack_rounded_columns;
pub(super) use layout::{pack_rounded, steps, widened};

#[cfg(test)]
mod tests;
