//! Products of bf16: the upper half of an f32, with 8 bits of precision and the range of f32.
//!
//! Weights are rounded once, when they are packed; activations are rounded for each product ([`RoundedRows`]). Both are
//! rounded to nearest. Sums are f32, in this order:
//!
//! `y = (.. ((bias + x1 w1) + x0 w0) + x3 w3) + x2 w2 ..`
//!
//! A product of two bf16 values is exact in f32, and the order is that of `vdpbf16ps` on Intel's and AMD's processors.
//! So a level that widens both sides to f32 and multiplies and adds one pair after the other gets the same bits, with
//! fused operations or without. There is one exception: some levels treat values below 2^-126 as zero, others do not.

mod activations;
mod dot;
mod layout;

#[cfg(feature = "train")]
pub(super) use activations::Round;
pub(crate) use activations::RoundedRows;
#[cfg(feature = "train")]
pub(super) use layout::pack_rounded_columns;
pub(super) use layout::{pack_rounded, steps, to_f32};

#[cfg(test)]
mod tests;
