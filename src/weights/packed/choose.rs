//! Decision which of the encoder's matrices are stored in int8.

use super::calibrate::{Calibration, calibrate, relative_error};
use super::matrix::MatrixRequest;
use super::options::{PackOptions, PackedMatrix, QuantizationOutcome};
use crate::kernels::gemm::{Dtype, PackedWeights, Panels};

/// Name suffixes of the matrices whose input is smoothed: those that follow a layer norm.
const SMOOTHED: [&str; 2] = [
    "self.query+self.key+self.value.weight",
    "intermediate.dense.weight",
];

/// Decides how a matrix of the encoder, loaded as floats, is stored. Returns the matrix to store and a report.
pub(super) fn choose(
    options: &PackOptions,
    calibration: Option<&Calibration>,
    request: &MatrixRequest<'_>,
    floats: PackedWeights,
) -> (PackedWeights, PackedMatrix) {
    let weights = floats.unpack();
    let (n, k) = (floats.n(), floats.k());
    let mut int8 = PackedWeights::pack(Dtype::Int8, &weights, n, k);
    let error = relative_error(&int8.unpack(), &weights);
    let smooth = SMOOTHED.iter().any(|end| request.name.ends_with(end));
    let mut output_error = None;
    if let (Panels::Int8(_), Some(Calibration { samples, engine })) = (int8.panels(), calibration)
        && let Some(rows) = samples.take(request.name)
        && let Some(calibrated) = calibrate(&engine.context(), &rows, &weights, k, smooth)
    {
        int8 = calibrated.matrix;
        output_error = Some(calibrated.error);
    }
    let stored = match int8.panels() {
        _ if options.keeps_f32(request.name) => QuantizationOutcome::F32Requested,
        Panels::F32(_) | Panels::Bf16(_) => QuantizationOutcome::F32ForWidth,
        Panels::Int8(_) if output_error.unwrap_or(error) > options.error_bound() => {
            QuantizationOutcome::F32ForError
        }
        Panels::Int8(_) => QuantizationOutcome::Int8,
    };
    let matrix = match stored {
        QuantizationOutcome::Int8 => int8,
        _ => floats,
    };
    let report = PackedMatrix {
        name: request.name.to_owned(),
        error,
        output_error,
        stored,
    };
    (matrix, report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::packed::weight_format::WeightFormat;

    const NAME: &str = "encoder.layer.1.attention.output.dense.weight";

    fn chosen(options: &PackOptions, weights: &[f32], k: usize) -> (PackedWeights, PackedMatrix) {
        let n = weights.len() / k;
        let request = MatrixRequest {
            name: NAME,
            n,
            k,
            dtype: Dtype::Int8,
        };
        let floats = PackedWeights::new(weights, n, k);
        choose(options, None, &request, floats)
    }

    #[test]
    fn the_error_is_that_of_the_weights() {
        // The rows have scales 1 and 2. The first is exact; in the second, 1 is between 0 and 2 and becomes 0.
        let (_, matrix) = chosen(
            &PackOptions::new(WeightFormat::Int8),
            &[127.0, -3.0, 254.0, 1.0],
            2,
        );
        let all: f64 = 127.0 * 127.0 + 9.0 + 254.0 * 254.0 + 1.0;
        assert!((matrix.error - (1.0 / all).sqrt()).abs() < 1e-12);
        let (_, zeros) = chosen(&PackOptions::new(WeightFormat::Int8), &[0.0; 6], 3);
        assert_eq!(
            (zeros.error, zeros.stored),
            (0.0, QuantizationOutcome::Int8)
        );
    }

    #[test]
    fn a_matrix_that_is_not_quantised_is_unchanged() {
        // One large weight turns all others into zeros.
        let mut weights = vec![0.38; 300];
        weights[0] = 100.0;
        let all = PackOptions::new(WeightFormat::Int8);
        let (stored, matrix) = chosen(&all, &weights, 300);
        assert!((0.065..0.066).contains(&matrix.error), "{}", matrix.error);
        assert_eq!(matrix.stored, QuantizationOutcome::F32ForError);
        assert_eq!(stored.unpack(), weights);
        let (stored, matrix) = chosen(&all.clone().max_error(0.07), &weights, 300);
        assert_eq!(matrix.stored, QuantizationOutcome::Int8);
        assert_eq!(stored.unpack()[..2], [100.0, 0.0]);
        // The error at the bound is not above it.
        let (_, same) = chosen(&all.clone().max_error(matrix.error), &weights, 300);
        assert_eq!(same.stored, QuantizationOutcome::Int8);
        let (stored, kept) = chosen(&all.clone().keep_f32("output"), &weights, 300);
        assert_eq!(
            (kept.error, kept.stored),
            (matrix.error, QuantizationOutcome::F32Requested)
        );
        assert_eq!(stored.unpack(), weights);
        let (_, wide) = chosen(&all, &vec![1.0; 65_537], 65_537);
        assert_eq!(
            (wide.error, wide.stored),
            (0.0, QuantizationOutcome::F32ForWidth)
        );
    }
}
