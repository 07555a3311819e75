//! Matrices in a packed file: writing and opening them, by number type. A new type needs an arm in [`encode`] and one in
//! [`PackedFile::matrix`], and nothing else.
//!
//! | type | shape | opened |
//! |---|---|---|
//! | F32 | (n / 16, k, 16) | in place |
//! | F16 | (n / 16, k, 16) | widened to f32 |
//! | BF16 | (n / 16, k / 2, 16, 2), k padded with zeros | in place, or widened to f32 if the model computes in f32 |
//! | I8 | (n / 16, k / 4, 16, 4), k padded with zeros | in place |
//!
//! n is padded with zeros to whole panels. An I8 matrix has two more tensors with a value for each output channel: `.scale`,
//! F32, and `.sum`, I32, the sum of the channel's weights. It may have a third, `.smoothing`, F32, (k): factors by which the
//! channels of its input are multiplied before the product.

use safetensors::Dtype;

use super::entry::TensorEntry;
use super::open::PackedFile;
use super::weight_format::WeightFormat;
use crate::error::{Error, Result};
use crate::kernels::gemm::{self, Int8Panels, PANEL, PackedWeights, Packer, Panels};
use crate::kernels::memory::WeightBuf;

/// Number of adjacent weights of one channel in BF16.
const PAIR: usize = 2;
/// Number of adjacent weights of one channel in I8.
const QUAD: usize = 4;

/// Encodes a matrix as one tensor, or as several if it is in int8.
///
/// # Errors
/// `NonFinite` if a weight is too large for the type.
pub(super) fn encode(
    name: &str,
    matrix: &PackedWeights,
    precision: WeightFormat,
) -> Result<Vec<TensorEntry>> {
    let (panels, k) = (matrix.n().div_ceil(PANEL), matrix.k());
    let entry = match (matrix.panels(), precision.matrix_dtype()) {
        (Panels::Int8(int8), _) => return encode_int8(name, int8, panels, k),
        (Panels::Bf16(pairs), _) => encode_bf16(name, pairs, panels, k)?,
        (Panels::F32(_), Dtype::BF16) => {
            let rounded = PackedWeights::pack(gemm::Dtype::Bf16, &matrix.unpack(), matrix.n(), k);
            return encode(name, &rounded, precision);
        }
        (Panels::F32(floats), dtype) => {
            TensorEntry::floats(name, dtype, vec![panels, k, PANEL], floats)?
        }
    };
    Ok(vec![entry])
}

/// Encodes panels of bf16 pairs, each held in the bits of an f32.
fn encode_bf16(name: &str, pairs: &[f32], panels: usize, k: usize) -> Result<TensorEntry> {
    // The exponent of infinity and NaN.
    const NOT_FINITE: u16 = 0x7f80;
    let bits: &[u16] = bytemuck::cast_slice(pairs);
    if bits.iter().any(|bits| bits & NOT_FINITE == NOT_FINITE) {
        return Err(Error::NonFinite {
            what: format!("weight {name} in BF16"),
        });
    }
    let bytes = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let shape = vec![panels, k.div_ceil(PAIR), PANEL, PAIR];
    Ok(TensorEntry::new(name, Dtype::BF16, shape, bytes))
}

fn encode_int8(name: &str, int8: &Int8Panels, panels: usize, k: usize) -> Result<Vec<TensorEntry>> {
    let shape = vec![panels, k.div_ceil(QUAD), PANEL, QUAD];
    let channels = vec![panels * PANEL];
    let bytes = bytemuck::cast_slice(int8.bytes()).to_vec();
    let le_bytes = |values: &[u32]| values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let scales = le_bytes(bytemuck::cast_slice(int8.scales()));
    let sums = le_bytes(bytemuck::cast_slice(int8.channel_sums()));
    let mut entries = vec![
        TensorEntry::new(name, Dtype::I8, shape, bytes),
        TensorEntry::new(&scale_of(name), Dtype::F32, channels.clone(), scales),
        TensorEntry::new(&sum_of(name), Dtype::I32, channels, sums),
    ];
    if let Some(factors) = int8.input_factors() {
        let name = smoothing_of(name);
        entries.push(TensorEntry::floats(&name, Dtype::F32, vec![k], factors)?);
    }
    Ok(entries)
}

/// Name of the factors of a matrix's input channels.
fn smoothing_of(name: &str) -> String {
    format!("{name}.smoothing")
}

/// Name of the scales of a matrix's channels.
fn scale_of(name: &str) -> String {
    format!("{name}.scale")
}

/// Name of the sums of each channel's weights.
fn sum_of(name: &str) -> String {
    format!("{name}.sum")
}

/// Matrix that a layer loads.
#[derive(Debug)]
pub(in crate::weights) struct MatrixRequest<'a> {
    /// Name in a packed file.
    pub(in crate::weights) name: &'a str,
    /// Number of output channels.
    pub(in crate::weights) n: usize,
    /// Number of input channels.
    pub(in crate::weights) k: usize,
    /// Number type to compute in, if the stored type leaves a choice.
    pub(in crate::weights) dtype: gemm::Dtype,
}

impl PackedFile {
    /// Opens a matrix, with the smoothing factors of its input if it has any.
    ///
    /// # Errors
    /// `WeightMissing`, `WeightShape`, `WeightType`, `WeightUnexpected`, `NonFinite`; `Io` if the file cannot be read.
    pub(in crate::weights) fn matrix(
        &self,
        packer: &Packer,
        request: &MatrixRequest<'_>,
    ) -> Result<PackedWeights> {
        let matrix = self.unsmoothed_matrix(packer, request)?;
        let smoothing = smoothing_of(request.name);
        if !self.has(&smoothing) {
            return Ok(matrix);
        }
        let factors = self.tensor(&smoothing, &[request.k])?;
        factors.check_type()?;
        let matrix = matrix.with_input_factors(factors.to_vec()?);
        matrix.ok_or_else(|| Error::WeightUnexpected {
            name: smoothing,
            reason: "only the input of a matrix in I8 can be smoothed".to_owned(),
        })
    }

    /// Opens a matrix without smoothing factors.
    fn unsmoothed_matrix(
        &self,
        packer: &Packer,
        request: &MatrixRequest<'_>,
    ) -> Result<PackedWeights> {
        let &MatrixRequest { name, n, k, dtype } = request;
        let panels = n.div_ceil(PANEL);
        match self.dtype_of(name)? {
            Dtype::F32 | Dtype::F16 => {
                let tensor = self.tensor(name, &[panels, k, PANEL])?;
                let memory = match tensor.f32_in_place() {
                    Some(floats) => WeightBuf::External(Box::new(floats)),
                    None => packer.panels(panels, PANEL * k, |first, out| {
                        tensor.read_unchecked(first * PANEL * k, out)
                    })?,
                };
                require_fit(name, PackedWeights::from_panels(n, k, Panels::F32(memory)))
            }
            Dtype::BF16 if dtype == gemm::Dtype::Bf16 => open_bf16(self, packer, request),
            Dtype::BF16 => {
                let tensor = self.tensor(name, &[panels, k.div_ceil(PAIR), PANEL, PAIR])?;
                let line = PANEL * k.next_multiple_of(PAIR);
                let memory = packer.panels(panels, PANEL * k, |first, out| {
                    let mut pairs = vec![0.0; line];
                    for (panel, out) in (first..).zip(out.chunks_exact_mut(PANEL * k)) {
                        tensor.read_unchecked(panel * line, &mut pairs)?;
                        deinterleave(&pairs, out);
                    }
                    Ok(())
                })?;
                require_fit(name, PackedWeights::from_panels(n, k, Panels::F32(memory)))
            }
            Dtype::I8 => open_int8(self, packer, request),
            other => Err(Error::WeightType {
                name: name.to_owned(),
                found: format!("{other:?}"),
            }),
        }
    }
}

/// Opens a BF16 matrix that computes in bf16.
fn open_bf16(
    file: &PackedFile,
    packer: &Packer,
    &MatrixRequest { name, n, k, .. }: &MatrixRequest<'_>,
) -> Result<PackedWeights> {
    let panels = n.div_ceil(PANEL);
    let tensor = file.tensor(name, &[panels, k.div_ceil(PAIR), PANEL, PAIR])?;
    let little_endian = cfg!(target_endian = "little");
    let memory = match tensor.pod_in_place().filter(|_| little_endian) {
        Some(pairs) => WeightBuf::External(Box::new(pairs)),
        None => {
            // A pair is as long as an f32.
            let pairs = k.div_ceil(PAIR) * PANEL;
            packer.panels(panels, pairs, |first, out| {
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(out);
                tensor.read_bytes(first * pairs * size_of::<f32>(), bytes)?;
                if !little_endian {
                    bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse);
                }
                Ok(())
            })?
        }
    };
    require_fit(name, PackedWeights::from_panels(n, k, Panels::Bf16(memory)))
}

/// Opens an I8 matrix with its scales and sums.
fn open_int8(
    file: &PackedFile,
    packer: &Packer,
    &MatrixRequest { name, n, k, .. }: &MatrixRequest<'_>,
) -> Result<PackedWeights> {
    let panels = n.div_ceil(PANEL);
    let tensor = file.tensor(name, &[panels, k.div_ceil(QUAD), PANEL, QUAD])?;
    let memory = match tensor.pod_in_place() {
        Some(bytes) => WeightBuf::External(Box::new(bytes)),
        None => {
            let panel = Int8Panels::panel_bytes(k);
            packer.panels(panels, panel / size_of::<f32>(), |first, out| {
                tensor.read_bytes(first * panel, bytemuck::cast_slice_mut(out))
            })?
        }
    };
    let scales = file.tensor(&scale_of(name), &[panels * PANEL])?;
    let sums = file.tensor(&sum_of(name), &[panels * PANEL])?;
    for (tensor, dtype) in [(&scales, Dtype::F32), (&sums, Dtype::I32)] {
        if tensor.dtype != dtype {
            return Err(Error::WeightType {
                name: tensor.name.clone(),
                found: format!("{:?}", tensor.dtype),
            });
        }
    }
    let mut channels = vec![[0; 4]; panels * PANEL];
    sums.read_bytes(0, channels.as_flattened_mut())?;
    let sums: Vec<i32> = channels.into_iter().map(i32::from_le_bytes).collect();
    let int8 = Int8Panels::new(memory, &scales.to_vec()?, &sums);
    let weights = require_fit(
        name,
        int8.and_then(|int8| PackedWeights::from_panels(n, k, Panels::Int8(Box::new(int8)))),
    )?;
    // In release builds only `PackedFile::verify` would find wrong sums.
    if cfg!(debug_assertions)
        && let Panels::Int8(panels) = weights.panels()
        && !panels.channel_sums_hold()
    {
        return Err(Error::WeightUnexpected {
            name: sum_of(name),
            reason: "these are not the sums of the matrix's bytes".to_owned(),
        });
    }
    Ok(weights)
}

/// Turns `None` (panels of the wrong size for the matrix) into an error. Only a damaged or forged file causes it.
fn require_fit(name: &str, weights: Option<PackedWeights>) -> Result<PackedWeights> {
    weights.ok_or_else(|| Error::WeightUnexpected {
        name: name.to_owned(),
        reason: "its panels are not those of a matrix of this size".to_owned(),
    })
}

/// Rearranges a panel `[k / 2][16][2]` to `[k][16]`.
fn deinterleave(pairs: &[f32], panel: &mut [f32]) {
    let lines = panel.chunks_mut(PAIR * PANEL);
    for (lines, pairs) in lines.zip(pairs.chunks_exact(PAIR * PANEL)) {
        let (first, second) = lines.split_at_mut(PANEL);
        let pairs = pairs.as_chunks::<PAIR>().0;
        first
            .iter_mut()
            .zip(pairs)
            .for_each(|(x, pair)| *x = pair[0]);
        second
            .iter_mut()
            .zip(pairs)
            .for_each(|(x, pair)| *x = pair[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_deinterleaved_again() {
        for k in 1..6 {
            let panel: Vec<f32> = (0..PANEL * k).map(|x| x as f32 + 1.0).collect();
            let weight = |step: usize, channel: usize| {
                if step < k {
                    panel[step * PANEL + channel]
                } else {
                    0.0
                }
            };
            let pairs: Vec<f32> = (0..PANEL * k.next_multiple_of(2))
                .map(|at| weight(at / (2 * PANEL) * 2 + at % 2, at / 2 % PANEL))
                .collect();
            let mut back = vec![0.0; panel.len()];
            deinterleave(&pairs, &mut back);
            assert_eq!(back, panel);
        }
    }
}
