//! Embedding tables in a packed file, stored row by row. In int8 a row has integers from -127 to 127 and a scale.

use safetensors::Dtype;

use super::entry::TensorEntry;
use super::open::PackedFile;
use super::weight_format::WeightFormat;
use crate::error::{Error, Result};
use crate::weights::embedding_rows::{EmbeddingRows, Residency};

/// Minimum number of rows of a table that is stored in int8. Smaller ones stay in f32, as int8 would save little.
const MIN_INT8_ROWS: usize = 64;
/// Largest magnitude of a row in int8. -128 is not used, so a row and its negative are stored alike.
const I8_MAX: f32 = 127.0;

/// Encodes a table, (rows, width), as one tensor, or as two with scales.
///
/// # Errors
/// `NonFinite` if a value is too large for the type.
pub(super) fn encode(
    name: &str,
    table: &[f32],
    shape: [usize; 2],
    precision: WeightFormat,
) -> Result<Vec<TensorEntry>> {
    let [rows, width] = shape;
    let shape = shape.to_vec();
    match precision.table_dtype() {
        Dtype::I8 if rows >= MIN_INT8_ROWS => {
            let (values, scales) = quantize(table, width);
            let bytes = bytemuck::cast_slice(&values).to_vec();
            Ok(vec![
                TensorEntry::new(name, Dtype::I8, shape, bytes),
                TensorEntry::floats(&scale_of(name), Dtype::F32, vec![rows], &scales)?,
            ])
        }
        Dtype::I8 => Ok(vec![TensorEntry::floats(name, Dtype::F32, shape, table)?]),
        dtype => Ok(vec![TensorEntry::floats(name, dtype, shape, table)?]),
    }
}

impl PackedFile {
    /// Opens an embedding table, (rows, width).
    ///
    /// # Errors
    /// `WeightMissing`, `WeightShape`, `WeightType`, `NonFinite`; `Io` if the file cannot be read.
    pub(in crate::weights) fn table(
        &self,
        name: &str,
        shape: [usize; 2],
        residency: Residency,
    ) -> Result<EmbeddingRows> {
        let [rows, width] = shape;
        let tensor = self.tensor(name, &shape)?;
        if tensor.dtype == Dtype::I8 {
            let scales = self.tensor(&scale_of(name), &[rows])?;
            scales.check_type()?;
            let scales = match scales.f32_in_place() {
                Some(scales) => scales,
                None => scales.to_vec()?.into(),
            };
            if let Some(at) = scales.iter().position(|scale| !scale.is_finite()) {
                return Err(Error::NonFinite {
                    what: format!("the scale of row {at} of {name}"),
                });
            }
            return EmbeddingRows::from_int8(tensor, scales, width, residency);
        }
        tensor.check_type()?;
        match tensor.f32_in_place() {
            Some(values) => Ok(EmbeddingRows::in_memory(values, width)),
            None => EmbeddingRows::from_tensor(tensor, width, residency),
        }
    }
}

/// Name of the scales of a table's rows.
fn scale_of(name: &str) -> String {
    format!("{name}.scale")
}

/// Quantises rows to int8: `x ~ value * scale` with `scale = max |x| / 127` of the row. The error is at most half a scale.
fn quantize(table: &[f32], width: usize) -> (Vec<i8>, Vec<f32>) {
    let mut values = Vec::with_capacity(table.len());
    let mut scales = Vec::new();
    for row in table.chunks_exact(width.max(1)) {
        let abs_max = row.iter().fold(0f32, |max, x| max.max(x.abs()));
        let scale = abs_max / I8_MAX;
        // A row of zeros, or of values too small to divide by, becomes zeros.
        let scale = if scale.is_normal() { scale } else { 0.0 };
        let quantized = |&x: &f32| match scale {
            0.0 => 0,
            scale => (x / scale).round_ties_even().clamp(-I8_MAX, I8_MAX) as i8,
        };
        values.extend(row.iter().map(quantized));
        scales.push(scale);
    }
    (values, scales)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_in_int8_is_half_a_scale_away_at_most() {
        let table = [
            1.0, -0.5, 0.003, -1e-9, 0.0, 0.0, 1e-44, 0.0, -300.0, 299.0, 1.0, 2.0,
        ];
        let (values, scales) = quantize(&table, 4);
        assert_eq!(scales, [1.0 / 127.0, 0.0, 300.0 / 127.0]);
        assert_eq!(values[..4], [127, -64, 0, 0]);
        assert_eq!(values[4..], [0, 0, 0, 0, -127, 127, 0, 1]);
        for (index, (&x, &value)) in table.iter().zip(&values).enumerate() {
            let scale = scales[index / 4];
            let error = (x - f32::from(value) * scale).abs();
            assert!(error <= scale * 0.500_001 + 1e-40, "{x}");
        }
    }
}
