//! The deployable file: a model in one safetensors file, ready to be used where it lies.
//!
//! ```text
//! header      length, then JSON padded with spaces up to a multiple of 64; `__metadata__` starts with the stamp
//! settings    the model's small files under their own names, tensors of bytes
//! vocabulary  the tokenizer's arrays, as `tokenizer` has them after building
//! numbers     biases, norms: F32
//! matrices    in panels, as `kernels::gemm` reads them ([`matrix`])
//! tables      row by row, last because they are not read whole ([`table`])
//! ```
//!
//! Every tensor starts at a multiple of 64 bytes; where one is no multiple long, a tensor `padding/..` follows, since
//! safetensors allows no holes. The stamp holds the format's version and a digest (XXH3, 64 bits) of all bytes up to
//! the end of the vocabulary, which is checked whenever the file is opened; the weights have a digest of their own, for
//! [`PackedFile::verify`].
//!
//! A file is written by [`Recorder`], which has watched a model being loaded and kept each answer that it got; so what
//! is opened later is what was asked for then.

mod calibrate;
mod matrix;
mod open;
mod quantize;
mod record;
mod samples;
mod stamp;
mod table;
mod write;

pub(crate) use open::PackedFile;
pub use open::PackedSummary;
pub use quantize::{PackOptions, PackedMatrix, Stored};
pub(crate) use record::Recorder;
pub(crate) use samples::{Inputs, Samples};
pub(crate) use write::{Container, Part};

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::error::{Error, Result};
use crate::kernels::gemm;

/// The version that is written, and the only one that is read.
pub(crate) const VERSION: u32 = 1;
/// Every tensor starts at a multiple of this.
const ALIGNMENT: usize = 64;
/// What the names of the vocabulary's arrays start with.
pub(crate) const VOCABULARY: &str = "vocabulary/";
const PADDING: &str = "padding/";
/// What the header's `format` is.
const FORMAT: &str = "bertless";

/// How the large weights of a packed model are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// As they are computed with: answers are those of the unpacked model, bit for bit.
    #[default]
    F32,
    /// Two bytes a number, 11 bits of precision; computed in f32.
    F16,
    /// Two bytes a number, 8 bits of precision and f32's range. The encoder's matrices are computed with as they are
    /// ([`Dtype::Bf16`](crate::Dtype::Bf16)), on every processor; in f32, widened when they are opened, if
    /// [`ModelOptions::dtype`](crate::ModelOptions::dtype) says so. Heads are computed in f32.
    Bf16,
    /// One byte a number, with a scale for each output channel of the encoder's matrices, which are computed with as they
    /// are ([`Dtype::Int8`](crate::Dtype::Int8)), and for each row of its tables. Heads are small and stay in f32, and so do
    /// matrices that would lose too much ([`PackOptions`]).
    Int8,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Int8];

    /// Its name, as `bertless pack --dtype` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// What a model is loaded as to be packed.
    pub(crate) fn computed_in(self) -> gemm::Dtype {
        match self {
            Self::F32 | Self::F16 => gemm::Dtype::F32,
            Self::Bf16 => gemm::Dtype::Bf16,
            Self::Int8 => gemm::Dtype::Int8,
        }
    }

    /// The type of the numbers of a matrix that is loaded as floats.
    fn of_matrix(self) -> Dtype {
        match self {
            // Those that become int8 are bytes when they are loaded already.
            Self::F32 | Self::Int8 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    /// The type of a table's numbers.
    fn of_table(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
            Self::Int8 => Dtype::I8,
        }
    }
}

/// Whether a safetensors file's header is that of a packed file, of whatever version.
pub(super) fn is_packed(header: &Metadata) -> bool {
    let facts = header.metadata().as_ref();
    let format = facts.and_then(|facts| facts.get("format"));
    format.is_some_and(|format| format == FORMAT)
}

/// # Errors
/// `Config` for a folder of the model whose name a packed file needs for itself; modules.json alone names folders.
pub(crate) fn check_name(name: &str) -> Result<()> {
    match [VOCABULARY, PADDING]
        .iter()
        .find(|own| name.starts_with(**own))
    {
        None => Ok(()),
        Some(own) => Err(Error::Config {
            file: "modules.json".to_owned(),
            key: "path".to_owned(),
            reason: format!("{name}: a packed file has its own parts under {own}"),
        }),
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Numbers as little-endian bytes of a type; `None` if one of them has no finite value in it.
fn encode(numbers: &[f32], dtype: Dtype) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(numbers.len() * dtype.bitsize() / 8);
    let mut finite = true;
    match dtype {
        Dtype::F16 => numbers.iter().for_each(|&x| {
            let x = half::f16::from_f32(x);
            finite &= x.is_finite();
            bytes.extend(x.to_le_bytes());
        }),
        Dtype::BF16 => numbers.iter().for_each(|&x| {
            let x = half::bf16::from_f32(x);
            finite &= x.is_finite();
            bytes.extend(x.to_le_bytes());
        }),
        _ => numbers.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
    }
    finite.then_some(bytes)
}
