//! Bytes become named, shape-checked tensors.
//!
//! [`Files`] is a model's folder, on disk or in memory. [`Checkpoint`] opens its safetensors files and checks their
//! headers once; [`Weights`] is a view of it from inside one module, which hands out a [`Tensor`] for a name and a shape;
//! its numbers, as `f32`, are read a piece at a time by whoever needs them. Only this floor knows how tensors are stored and what each family calls them; it knows nothing of what
//! they are for.

mod checkpoint;
mod files;
#[cfg(feature = "mmap")]
pub(crate) mod map;
mod names;
mod source;
mod tensor;

pub(crate) use checkpoint::{Checkpoint, Weights};
pub use files::Files;
pub(crate) use files::inside;
#[cfg(feature = "mmap")]
pub use map::MapContract;
pub(crate) use tensor::Tensor;

/// How weight files are opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Access {
    /// Each tensor is read when it is asked for.
    #[default]
    Read,
    /// The file is mapped; its owner has promised not to change it.
    #[cfg(feature = "mmap")]
    Map(MapContract),
}
