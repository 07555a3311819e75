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
mod embedding_rows;
mod files;
#[cfg(feature = "mmap")]
mod map;
mod names;
mod packed;
mod row_cache;
mod source;
mod store;
mod tensor;

pub(crate) use bytes::{Bytes, PodBuf};
pub(crate) use embedding_rows::{EmbeddingRows, Residency};
pub use files::Files;
pub(crate) use files::{join_within, open_packed};
#[cfg(feature = "mmap")]
pub(crate) use map::Unchanging;
pub(crate) use names::TensorNames;
pub(crate) use packed::{
    Calibration, CalibrationSamples, Container, PackingWriter, TensorEntry, VOCABULARY, check_name,
};
pub use packed::{PackOptions, PackedMatrix, PackedSummary, Precision, Stored};
pub(crate) use source::Access;
pub(crate) use store::{Store, Weights, existing_tensors};
