//! Products of bytes: weights with a scale for each output channel, activations with a scale for each row.
//!
//! A weight is w = round(weight / scale), from -127 to 127, symmetric; an activation is a byte of [`QuantizedRows`]. Sums
//! over k are integers and exact:
//!
//! `y = scale of the row * scale of the channel * (sum of (q - zero) w) + bias`
//!
//! where `zero` times the sum of a channel's weights, stored beside them, is what a tile's sums begin with. So the order
//! of summing is nobody's concern, and the sums are the same on every processor.

mod activations;
mod dot;
mod layout;

pub(in crate::kernels) use activations::MIN_RANGE;
pub(crate) use activations::QuantizedRows;
pub(crate) use layout::Int8Panels;
pub(super) use layout::{Int8Group, MAX_K};

#[cfg(test)]
mod tests;
