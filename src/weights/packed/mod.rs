//! The deployable file: a model in one safetensors file, ready to be used where it lies.
//!
//! ```text
//! header      length, then JSON padded with spaces up to a multiple of 64; `__metadata__` starts with the preamble
//! settings    the model's small files under their own names, tensors of bytes
//! vocabulary  the tokenizer's arrays, as `tokenizer` has them after building
//! numbers     biases, norms: F32
//! matrices    in panels, as `kernels::gemm` reads them ([`matrix`])
//! tables      row by row, last because they are not read whole ([`table`])
//! ```
//!
//! Every tensor starts at a multiple of 64 bytes; where one is no multiple long, a tensor `padding/..` follows, since
//! safetensors allows no holes. The preamble holds the format's version and a digest (XXH3, 64 bits) of all bytes up to
//! the end of the vocabulary, which is checked whenever the file is opened; the weights have a digest of their own, for
//! [`PackedFile::verify`].
//!
//! [`PackingWriter`] makes the parts of a file while a model is loaded: it keeps each tensor that the model asks for, under
//! the name that it asks by. So opening the file later finds every tensor that loading needs.

mod calibrate;
mod calibration_samples;
mod choose;
mod container;
mod entry;
mod format;
mod matrix;
mod open;
mod options;
mod packing_writer;
mod preamble;
mod precision;
mod table;

pub(crate) use calibrate::Calibration;
pub(crate) use calibration_samples::CalibrationSamples;
pub(crate) use container::Container;
pub(crate) use entry::TensorEntry;
pub(super) use format::is_packed;
pub(crate) use format::{VOCABULARY, check_name};
pub(super) use matrix::MatrixRequest;
pub(crate) use open::PackedFile;
pub use open::PackedSummary;
pub use options::{PackOptions, PackedMatrix, Stored};
pub(crate) use packing_writer::PackingWriter;
pub use precision::Precision;
