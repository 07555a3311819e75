//! Matrix products with constant weights: `out = activation(x W^T + bias) + residual`.
//!
//! Weights are packed once ([`PackedWeights`]) into panels of 16 output channels, `[n / 16][k][16]`: sixteen floats are
//! one AVX-512 register, two of AVX2, four of NEON, so one layout serves every processor. Activations are read where
//! they lie. A tile of some rows by one or two panels stays in registers while k runs (Goto and van de Geijn 2008, with
//! the packing of the constant side done ahead).
//!
//! The same loops multiply numbers in bf16, in panels of `[n / 16][k / 2][16][2]`, and bytes, in panels of
//! `[n / 16][k / 4][16][4]`: the modules `bf16` and `int8` say how.
//!
//! Each output has one accumulator, and k runs upwards from 0 to the end whatever the tile's height: so a row's result
//! is the same bits in any company.

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
