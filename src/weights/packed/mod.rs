//! Packed files: a model in one safetensors file, whose weights are used in place.
//!
//! ```text
//! header      length, then JSON padded with spaces to a multiple of 64; `__metadata__` starts with the preamble
//! settings    the model's small files under their own names, as tensors of bytes
//! vocabulary  the tokenizer's arrays, as `tokenizer` builds them
//! numbers     biases and norms, in F32
//! matrices    in panels, as `kernels::gemm` reads them ([`matrix`])
//! tables      row by row, last because they are not read whole ([`table`])
//! ```
//!
//! Every tensor starts at an offset that is a multiple of 64. A tensor whose length is not a multiple of 64 is followed by
//! a tensor `padding/..`, because safetensors allows no gaps. The preamble holds the format's version and a digest (XXH3, 64 bits) of all bytes up to the
//! end of the vocabulary, which is checked whenever the file is opened. The weights have a separate digest for
//! [`PackedFile::verify`].
//!
//! [`PackingWriter`] collects the sections of a file while a model is loaded: the writer keeps each tensor that the model
//! requests, under the requested name. So the file holds every tensor that loading it needs.

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
mod table;
mod weight_format;

pub(crate) use calibrate::Calibration;
pub(crate) use calibration_samples::CalibrationSamples;
pub(crate) use container::Container;
pub(crate) use entry::TensorEntry;
pub(super) use format::is_packed;
pub(crate) use format::{VOCABULARY, check_name};
pub(super) use matrix::MatrixRequest;
pub(crate) use open::PackedFile;
pub use open::PackedSummary;
pub use options::{PackOptions, PackedMatrix, QuantizationOutcome};
pub(crate) use packing_writer::PackingWriter;
pub(super) use preamble::begins_packed;
pub use weight_format::WeightFormat;
