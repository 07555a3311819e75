//! Products of int8: weights have a scale for each output channel, activations a scale for each row.
//!
//! A weight is stored as w = round(weight / scale), from -127 to 127 (symmetric). An activation is stored as a value q
//! of [`QuantizedRows`], with a zero point (asymmetric). Sums over k are integers and exact:
//!
//! `y = row scale * channel scale * (sum of (q - zero) w) + bias`
//!
//! The term with `zero` does not depend on k: it is `zero` times the sum of the channel's weights, which is stored
//! beside them. A tile's accumulators start from it. Since sums are exact, their order does not matter, and they are
//! equal on every processor.

mod activations;
mod dot;
mod layout;

pub(in crate::kernels) use activations::MIN_RANGE;
pub(crate) use activations::QuantizedRows;
pub(crate) use layout::Int8Panels;
pub(super) use layout::{Int8Group, MAX_K};

#[cfg(test)]
mod tests;
