//! Matrix products with constant weights: `out = activation(x W^T + bias) + residual`.
//!
//! Weights are packed once ([`PackedWeights`]) into panels of 16 output channels, `[n / 16][k][16]`. Sixteen floats are
//! one AVX-512 register, two AVX2 registers or four NEON registers, so one layout serves every processor. Activations
//! are read from their row-major rows and are never packed. A tile of a few rows by one or two panels stays in
//! registers while k runs from 0 to its end (Goto and van de Geijn 2008, with the constant side packed ahead of time).
//!
//! The same loops multiply bf16, in panels of `[n / 16][k / 2][16][2]`, and int8, in panels of
//! `[n / 16][k / 4][16][4]`. The modules `bf16` and `int8` describe the arithmetic.
//!
//! Each output has one accumulator, and k is never blocked: it runs upwards from 0 to the end whatever the height of
//! the tile. So a row gives the same bits whatever other rows are multiplied with it.

mod bf16;
mod dense;
mod dtype;
mod f32;
mod grid;
mod i16;
#[cfg(feature = "train")]
mod inner;
mod int8;
mod operands;
mod packer;
mod panels;
mod product;
mod task;
mod tile;
#[cfg(feature = "train")]
mod transpose;
#[cfg(feature = "train")]
mod unpacked;
mod weights;

pub(crate) use bf16::RoundedRows;
pub(crate) use dense::gemm;
pub use dtype::Dtype;
pub(super) use f32::F32;
pub(super) use i16::I16;
#[cfg(feature = "train")]
pub(crate) use inner::Small;
pub(super) use int8::MIN_RANGE;
pub(crate) use int8::{Int8Panels, QuantizedRows};
pub(super) use operands::{Dot, Operands, RhsIn, RowsView};
pub(crate) use packer::Packer;
pub(crate) use panels::PANEL;
pub(super) use panels::{PAIR_STEP, pack, pack_columns};
pub(crate) use task::Epilogue;
pub(super) use task::{GemmTask, OutputColumns};
#[cfg(feature = "train")]
pub(crate) use unpacked::{
    Rounding, StoreMode, Transposed, Unpacked, gemm_transposed, gemm_unpacked,
};
pub(crate) use weights::{PackedWeights, Panels};

#[cfg(test)]
mod tests;
