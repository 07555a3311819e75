//! Bytes become named, shape-checked tensors.
//!
//! [`Files`] is a model's folder, on disk or in memory. A [`Store`] opens the weights in it and checks their headers
//! once; [`Weights`] is a view of them from inside one module, which answers for a name and a shape with what a layer
//! computes with. Only this floor knows how tensors are stored and what each family calls them; it knows nothing of
//! what they are for.
//!
//! A packed file (`packed`) stands for a folder: `Files` finds the small files in it, and a `Store` the weights.

mod bytes;
mod checkpoint;
mod door;
mod files;
#[cfg(feature = "mmap")]
mod map;
mod names;
mod packed;
mod recent;
mod rows;
mod source;
mod tensor;

pub(crate) use bytes::{Bytes, Numbers};
pub(crate) use door::{Store, Weights, held};
pub use files::Files;
pub(crate) use files::{inside, packed_file};
#[cfg(feature = "mmap")]
pub(crate) use map::Unchanging;
#[cfg(feature = "train")]
pub(crate) use names::in_checkpoint;
pub(crate) use packed::{Container, Inputs, Part, Recorder, Samples, VOCABULARY, check_name};
pub use packed::{PackOptions, PackedMatrix, PackedSummary, Precision, Stored};
pub(crate) use rows::{Residence, Rows};

/// How weight files are opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Access {
    /// Each tensor is read when it is asked for.
    #[default]
    Read,
    /// The file is mapped; it stays as it is.
    #[cfg(feature = "mmap")]
    Map(Unchanging),
}
