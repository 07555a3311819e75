//! One tensor of a checkpoint: numbers that are read when they are needed, as `f32`.

use std::sync::Arc;

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use safetensors::Dtype;

use super::bytes::{Bytes, Numbers};
use super::source::Source;
use crate::error::{Error, Result};

/// Bytes that are converted at once, on the stack.
const PIECE: usize = 8 * 1024;

/// Where a tensor's numbers are and how they are stored; keeps its file open.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    /// The name in the file.
    pub(super) name: String,
    pub(super) source: Arc<Source>,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// The first byte in the file.
    pub(super) start: usize,
}

impl Tensor {
    /// How many numbers it has. The header's check has multiplied the same.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// How many bytes they take in the file.
    pub(super) fn bytes(&self) -> usize {
        self.len() * self.dtype.bitsize() / 8
    }

    /// # Errors
    /// `WeightType` for a type whose numbers cannot be read.
    pub(super) fn check_type(&self) -> Result<()> {
        match self.dtype {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64 | Dtype::I64 => Ok(()),
            _ => Err(self.wrong_type()),
        }
    }

    /// Its numbers where they lie, if they are floats as they are computed with, and in memory.
    pub(super) fn in_place(&self) -> Option<Numbers<f32>> {
        if self.dtype != Dtype::F32 {
            return None;
        }
        let range = self.start..self.start + self.bytes();
        Numbers::stored(Bytes::of(&self.source, range)?)
    }

    /// All of its numbers.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn to_vec(&self) -> Result<Vec<f32>> {
        let mut numbers = vec![0.0; self.len()];
        self.read(0, &mut numbers)?;
        Ok(numbers)
    }

    /// The numbers from `first` on, as many as fit.
    ///
    /// # Errors
    /// `NonFinite` if one of them is no number, `Io` if the file cannot be read.
    pub(crate) fn read(&self, first: usize, out: &mut [f32]) -> Result<()> {
        match self.dtype {
            Dtype::F32 => self.read_whole(first, out)?,
            Dtype::F16 => self.widen(first, out)?,
            Dtype::BF16 => self.convert(first, out, |b| half::bf16::from_le_bytes(b).to_f32())?,
            Dtype::F64 => self.convert(first, out, |b| f64::from_le_bytes(b) as f32)?,
            Dtype::I64 => self.convert(first, out, |b| i64::from_le_bytes(b) as f32)?,
            Dtype::I8 => self.convert(first, out, |b| i8::from_le_bytes(b).into())?,
            _ => return Err(self.wrong_type()),
        }
        match all_finite(out) {
            true => Ok(()),
            false => Err(Error::NonFinite {
                what: format!("weight {}", self.name),
            }),
        }
    }

    fn read_whole(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let start = self.start + first * size_of::<f32>();
        self.source.read(start, bytemuck::cast_slice_mut(out))?;
        if cfg!(target_endian = "big") {
            out.iter_mut()
                .for_each(|x| *x = f32::from_bits(x.to_bits().swap_bytes()));
        }
        Ok(())
    }

    /// Numbers in F16, by the processor's own instruction where it has one.
    fn widen(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let mut buffer = [0u16; PIECE / size_of::<u16>()];
        let mut start = self.start + first * size_of::<u16>();
        for piece in out.chunks_mut(buffer.len()) {
            let halves = &mut buffer[..piece.len()];
            self.source.read(start, bytemuck::cast_slice_mut(halves))?;
            start += size_of_val(halves);
            halves
                .iter_mut()
                .for_each(|bits| *bits = u16::from_le(*bits));
            let halves: &[half::f16] = halves.reinterpret_cast();
            halves.convert_to_f32_slice(piece);
        }
        Ok(())
    }

    /// Numbers of N bytes each.
    fn convert<const N: usize>(
        &self,
        first: usize,
        out: &mut [f32],
        number: impl Fn([u8; N]) -> f32,
    ) -> Result<()> {
        let mut buffer = [0; PIECE];
        let mut start = self.start + first * N;
        for piece in out.chunks_mut(PIECE / N) {
            let bytes = &mut buffer[..piece.len() * N];
            self.source.read(start, bytes)?;
            start += bytes.len();
            for (x, &bytes) in piece.iter_mut().zip(bytes.as_chunks().0) {
                *x = number(bytes);
            }
        }
        Ok(())
    }

    fn wrong_type(&self) -> Error {
        Error::WeightType {
            name: self.name.clone(),
            found: format!("{:?}", self.dtype),
        }
    }
}

/// Whether all are numbers: the exponent of infinity and NaN is all ones. Without a way out in the middle, which would
/// keep the compiler from using vectors: 68 GB/s instead of 5.
fn all_finite(numbers: &[f32]) -> bool {
    let exponent = f32::INFINITY.to_bits();
    numbers
        .iter()
        .fold(true, |all, x| all & (x.to_bits() & exponent != exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_no_number_is_found_anywhere() {
        let numbers = [f32::MAX, f32::MIN, -0.0, 1e-45, 1.0];
        assert!(all_finite(&[]) && all_finite(&numbers));
        for wrong in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in 0..100 {
                let mut numbers: Vec<f32> = numbers.into_iter().cycle().take(100).collect();
                numbers[at] = wrong;
                assert!(!all_finite(&numbers), "{wrong} at {at}");
            }
        }
    }
}
