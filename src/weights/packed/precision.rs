//! Number types of the large weights in a packed file.

use safetensors::Dtype;

use crate::kernels::gemm;

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
    /// matrices that would lose too much ([`PackOptions`](crate::PackOptions)).
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

    /// The type that a model computes in while it is packed.
    pub(crate) fn compute_dtype(self) -> gemm::Dtype {
        match self {
            Self::F32 | Self::F16 => gemm::Dtype::F32,
            Self::Bf16 => gemm::Dtype::Bf16,
            Self::Int8 => gemm::Dtype::Int8,
        }
    }

    /// The type in which a matrix that is loaded as floats is stored.
    pub(super) fn matrix_dtype(self) -> Dtype {
        match self {
            // Those that become int8 are bytes when they are loaded already.
            Self::Int8 => Dtype::F32,
            other => other.table_dtype(),
        }
    }

    /// The type in which an embedding table is stored.
    pub(super) fn table_dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
            Self::Int8 => Dtype::I8,
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
