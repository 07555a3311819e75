//! Scaled dot-product attention over ragged rows: the sequences of a batch are concatenated, without padding or masks.

mod f32;
mod head;
mod i16;
mod input;
mod kernel;

pub(crate) use head::attention;
pub(crate) use input::{Attention, Projection, RelativeBias};
pub(super) use kernel::Workspace;

#[cfg(test)]
mod tests;
