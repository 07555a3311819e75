//! Number types of the large weights in a packed file.

use safetensors::Dtype;

use crate::kernels::gemm;
use crate::names::named;

/// Number type in which a packed model stores its large weights: matrices and embedding tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum WeightFormat {
    /// 32-bit floats. Answers equal those of the unpacked model, bit for bit.
    #[default]
    F32,
    /// 16-bit floats with 11 bits of precision, widened to f32 when the file is opened.
    F16,
    /// 16-bit floats with 8 bits of precision and f32's range. The encoder's matrices compute in bf16
    /// ([`Dtype::Bf16`](crate::Dtype::Bf16)) on every processor, or, if [`ModelOptions::dtype`](crate::ModelOptions::dtype)
    /// is set to f32, are widened when the file is opened. Heads compute in f32.
    Bf16,
    /// 8-bit integers, with a scale for each output channel of the encoder's matrices, which compute in int8
    /// ([`Dtype::Int8`](crate::Dtype::Int8)), and for each row of an embedding table. Heads, which are small, and matrices
    /// whose error would be too large ([`PackOptions`](crate::PackOptions)) stay in f32.
    Int8,
}

impl WeightFormat {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Int8];

    /// Name of the format, as `bertless pack --dtype` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// Number type that the encoder's matrices compute in.
    pub(crate) fn compute_dtype(self) -> gemm::Dtype {
        match self {
            Self::F32 | Self::F16 => gemm::Dtype::F32,
            Self::Bf16 => gemm::Dtype::Bf16,
            Self::Int8 => gemm::Dtype::Int8,
        }
    }

    /// Number type in which a matrix of floats is stored.
    pub(super) fn matrix_dtype(self) -> Dtype {
        match self {
            // Matrices that become int8 are quantised before, so this one stays in f32.
            Self::Int8 => Dtype::F32,
            other => other.table_dtype(),
        }
    }

    /// Number type in which an embedding table is stored.
    pub(super) fn table_dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
            Self::Int8 => Dtype::I8,
        }
    }
}

named!(WeightFormat, "dtype", F32 => "f32", F16 => "f16", Bf16 => "bf16", Int8 => "int8");
