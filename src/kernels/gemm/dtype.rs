//! Number types of matrix products.

use std::fmt;

/// Number type in which the dense layers of an encoder compute.
///
/// ```
/// # fn main() -> bertless::Result<()> {
/// let dtype: bertless::Dtype = "int8".parse()?;
/// assert_eq!(dtype, bertless::Dtype::Int8);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// Single precision, `f32`. Results agree with those of the model in Python.
    #[default]
    F32,
    /// Brain floating point, `bf16`: weights and activations are rounded to 8 bits of precision, sums are `f32`. Takes
    /// half the memory. Nearly twice as fast as `f32` on processors with instructions for it (AVX512-BF16). Others
    /// compute the same sums, more slowly than `f32` except where reading weights takes most of the time.
    Bf16,
    /// Eight-bit integers, `int8`: weights have a scale for each output channel, activations a scale for each token,
    /// and sums are exact. Takes a quarter of the memory and is several times as fast. Use `bertless evaluate` to
    /// measure the cost in accuracy.
    Int8,
}

impl Dtype {
    /// Returns the bytes of a packed weight.
    pub(crate) fn bytes_per_weight(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
            Self::Int8 => 1,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}
