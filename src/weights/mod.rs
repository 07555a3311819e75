//! Weight files, read as named, shape-checked tensors.
//!
//! [`ModelFiles`] is a model's folder, on disk or in memory. A [`Store`] opens the weights in it and checks their headers once.
//! [`Weights`] is a view of a store from inside one module: given a name and a shape, it returns what a layer computes
//! with. Only this module knows how tensors are stored and what each family calls them ([`TensorNames`]). It does not know
//! what they are for.
//!
//! A packed file (`packed`) replaces a folder: `ModelFiles` finds the settings files in it, and a `Store` the weights.

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
pub use files::ModelFiles;
pub(crate) use files::{join_within, open_packed};
#[cfg(feature = "mmap")]
pub(crate) use map::Unchanging;
pub(crate) use names::TensorNames;
pub(crate) use packed::{
    Calibration, CalibrationSamples, Container, PackingWriter, TensorEntry, VOCABULARY, check_name,
};
pub use packed::{PackOptions, PackedMatrix, PackedSummary, QuantizationOutcome, WeightFormat};
pub(crate) use source::Access;
pub(crate) use store::{Store, Weights, existing_tensors};
