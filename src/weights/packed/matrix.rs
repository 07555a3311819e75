//! Matrices in a packed file: how each type of number is written and how it is opened. A further type has its place in
//! [`encode`] and [`open`], and nowhere else.
//!
//! | type | shape | opened |
//! |---|---|---|
//! | F32 | (n / 16, k, 16) | in place |
//! | F16 | (n / 16, k, 16) | widened to f32 |
//! | BF16 | (n / 16, k / 2, 16, 2), k padded with zeros | widened to f32 |
//!
//! n is padded with zeros to whole panels.

use safetensors::Dtype;

use super::{PackedFile, Part, Precision};
use crate::error::{Error, Result};
use crate::kernels::gemm::{PANEL, PackedWeights, Packer};
use crate::weights::tensor::Tensor;

/// Numbers of one channel that stand side by side in BF16.
const PAIR: usize = 2;

/// What a matrix becomes.
///
/// # Errors
/// `NonFinite` if a number is too large for the type.
pub(super) fn encode(
    name: &str,
    matrix: &PackedWeights,
    precision: Precision,
) -> Result<Vec<Part>> {
    let (panels, k) = (matrix.n().div_ceil(PANEL), matrix.k());
    let dtype = precision.of_matrix();
    let part = match dtype {
        Dtype::BF16 => {
            let shape = vec![panels, k.div_ceil(PAIR), PANEL, PAIR];
            Part::numbers(name, dtype, shape, &paired(matrix.panels(), k))?
        }
        _ => Part::numbers(name, dtype, vec![panels, k, PANEL], matrix.panels())?,
    };
    Ok(vec![part])
}

/// A matrix of (n, k).
///
/// # Errors
/// `WeightMissing`, `WeightShape`, `WeightType`, `NonFinite`, and `Io` where it is read from disk.
pub(super) fn open(
    file: &PackedFile,
    packer: &Packer,
    name: &str,
    n: usize,
    k: usize,
) -> Result<PackedWeights> {
    let panels = n.div_ceil(PANEL);
    match file.dtype_of(name)? {
        Dtype::F32 => {
            let tensor = file.tensor(name, &[panels, k, PANEL])?;
            let held = tensor
                .in_place()
                .and_then(|panels| PackedWeights::held(n, k, panels));
            match held {
                Some(matrix) => Ok(matrix),
                None => read(packer, &tensor, n, k),
            }
        }
        Dtype::F16 => {
            let tensor = file.tensor(name, &[panels, k, PANEL])?;
            read(packer, &tensor, n, k)
        }
        Dtype::BF16 => {
            let tensor = file.tensor(name, &[panels, k.div_ceil(PAIR), PANEL, PAIR])?;
            let line = PANEL * k.next_multiple_of(PAIR);
            packer.panels(n, k, |first, out| {
                let mut pairs = vec![0.0; line];
                for (panel, out) in (first..).zip(out.chunks_exact_mut(PANEL * k)) {
                    tensor.read(panel * line, &mut pairs)?;
                    part(&pairs, out);
                }
                Ok(())
            })
        }
        other => Err(Error::WeightType {
            name: name.to_owned(),
            found: format!("{other:?}"),
        }),
    }
}

/// Panels that are stored in the order in which they are used.
fn read(packer: &Packer, tensor: &Tensor, n: usize, k: usize) -> Result<PackedWeights> {
    packer.panels(n, k, |first, out| tensor.read(first * PANEL * k, out))
}

/// Panels `[k][16]` as `[k / 2][16][2]`.
fn paired(panels: &[f32], k: usize) -> Vec<f32> {
    let mut paired = Vec::with_capacity(panels.len() + panels.len() / k.max(1));
    for panel in panels.chunks_exact((PANEL * k).max(1)) {
        for lines in panel.chunks(PAIR * PANEL) {
            let (first, second) = lines.split_at(PANEL);
            for (channel, &x) in first.iter().enumerate() {
                paired.extend([x, second.get(channel).copied().unwrap_or_default()]);
            }
        }
    }
    paired
}

/// One panel `[k / 2][16][2]` as `[k][16]`.
fn part(pairs: &[f32], panel: &mut [f32]) {
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
    fn pairs_are_parted_again() {
        for k in 1..6 {
            let panel: Vec<f32> = (0..PANEL * k).map(|x| x as f32 + 1.0).collect();
            let pairs = paired(&panel, k);
            assert_eq!(pairs.len(), PANEL * k.next_multiple_of(2));
            let second = if k > 1 { PANEL as f32 + 1.0 } else { 0.0 };
            assert_eq!(pairs[..2], [1.0, second]);
            let mut back = vec![0.0; panel.len()];
            part(&pairs, &mut back);
            assert_eq!(back, panel);
        }
    }
}
