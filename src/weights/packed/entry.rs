//! A tensor of a packed file in its final encoding.

use safetensors::Dtype;

use super::format::{PADDING, VOCABULARY};
use crate::error::{Error, Result};

/// A tensor of a packed file: name, type, shape and bytes.
#[derive(Debug)]
pub(crate) struct TensorEntry {
    pub(crate) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: Vec<u8>,
}

impl TensorEntry {
    /// Creates an entry.
    ///
    /// # Panics
    /// If `bytes` is not as long as type and shape say.
    pub(super) fn new(name: &str, dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) -> Self {
        let len: usize = shape.iter().product();
        assert_eq!(bytes.len(), len * dtype.bitsize() / 8, "{name}");
        Self {
            name: name.to_owned(),
            dtype,
            shape,
            bytes,
        }
    }

    /// Creates an entry of floats that are converted to `dtype`.
    ///
    /// # Errors
    /// `NonFinite` if a float is too large for the type.
    pub(super) fn floats(
        name: &str,
        dtype: Dtype,
        shape: Vec<usize>,
        floats: &[f32],
    ) -> Result<Self> {
        let bytes = encode(floats, dtype).ok_or_else(|| Error::NonFinite {
            what: format!("weight {name} in {dtype:?}"),
        })?;
        Ok(Self::new(name, dtype, shape, bytes))
    }

    /// Creates an entry of bytes.
    pub(crate) fn bytes(name: &str, bytes: Vec<u8>) -> Self {
        Self::new(name, Dtype::U8, vec![bytes.len()], bytes)
    }

    /// Creates an entry of 32-bit unsigned integers.
    pub(crate) fn u32s(name: &str, shape: Vec<usize>, values: &[u32]) -> Self {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self::new(name, Dtype::U32, shape, bytes)
    }

    /// Creates an entry of 16-bit unsigned integers, given in little-endian bytes.
    pub(crate) fn u16s(name: &str, values: &[[u8; 2]]) -> Self {
        let bytes = values.as_flattened().to_vec();
        Self::new(name, Dtype::U16, vec![values.len()], bytes)
    }

    /// Kind of the tensor. `in_prefix` tells whether it comes before the weights.
    pub(super) fn kind(&self, in_prefix: bool) -> &'static str {
        match self.shape.len() {
            _ if self.name.starts_with(PADDING) => "padding",
            _ if self.name.starts_with(VOCABULARY) => "vocabulary",
            _ if in_prefix => "settings",
            0 | 1 => "numbers",
            2 => "tables",
            _ => "matrices",
        }
    }
}

/// Converts floats to little-endian bytes of a type. Returns `None` if a float is not finite in that type.
fn encode(floats: &[f32], dtype: Dtype) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(floats.len() * dtype.bitsize() / 8);
    let mut finite = true;
    match dtype {
        Dtype::F16 => floats.iter().for_each(|&x| {
            let x = half::f16::from_f32(x);
            finite &= x.is_finite();
            bytes.extend(x.to_le_bytes());
        }),
        Dtype::BF16 => floats.iter().for_each(|&x| {
            let x = half::bf16::from_f32(x);
            finite &= x.is_finite();
            bytes.extend(x.to_le_bytes());
        }),
        _ => floats.iter().for_each(|x| bytes.extend(x.to_le_bytes())),
    }
    finite.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_that_is_too_large_for_the_type_is_refused_wherever_it_stands() {
        for (dtype, large) in [(Dtype::F16, 1e5), (Dtype::BF16, f32::MAX)] {
            assert_eq!(encode(&[1.0, -2.0], dtype).unwrap().len(), 4);
            for floats in [[large, 1.0], [1.0, large], [-large, 1.0]] {
                assert!(encode(&floats, dtype).is_none(), "{dtype:?} {floats:?}");
            }
        }
    }
}
