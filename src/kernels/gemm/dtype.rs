//! The kinds of numbers that are multiplied.

use std::fmt;

/// What the dense layers of an encoder compute in.
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
    /// `f32`, single precision: answers are those of the model in Python.
    #[default]
    F32,
    /// `bf16`: weights and activations rounded to 8 bits of precision, sums in `f32`. Half the memory, and nearly twice as
    /// fast where the processor has instructions for it (AVX512-BF16); elsewhere the sums are the same, and slower than
    /// those of `f32` but where reading weights takes most of the time.
    Bf16,
    /// `int8`: weights with a scale for each output channel, activations with a scale for each token, exact sums. A
    /// quarter of the memory and several times as fast; what it costs in accuracy, `bertless evaluate` measures.
    Int8,
}

impl Dtype {
    /// Bytes of a packed weight.
    pub(crate) fn bytes_of_weight(self) -> usize {
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
