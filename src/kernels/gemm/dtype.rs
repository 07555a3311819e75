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
    /// `int8`: weights with a scale for each output channel, activations with a scale for each token, exact sums. A
    /// quarter of the memory and several times as fast; what it costs in accuracy, `bertless evaluate` measures.
    Int8,
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        })
    }
}
