//! Options of packing, and the report on each matrix that int8 applies to.

use std::fmt;
use std::sync::Arc;

use super::weight_format::WeightFormat;
use crate::error::{Error, Result};

/// Number of matrix names that the error for an unmatched pattern lists.
const MAX_EXAMPLES: usize = 4;

/// Options of packing: the precision and, for [`WeightFormat::Int8`], which matrices stay in f32 and what calibrates the others.
///
/// ```
/// use bertless::{PackOptions, WeightFormat};
/// let options = PackOptions::new(WeightFormat::Int8).keep_f32("layer.0.*output.dense").max_error(0.01);
/// ```
#[derive(Debug, Clone)]
pub struct PackOptions {
    precision: WeightFormat,
    keep_f32: Vec<String>,
    /// Maximum error, if it is not [`MAX_ERROR`](Self::MAX_ERROR).
    max_error: Option<f64>,
    /// Calibration texts and, in pairs, their second texts; `None` without calibration.
    texts: Option<Vec<(String, Option<String>)>>,
    on_progress: Option<ProgressCallback>,
}

/// Callback that gets the number of matrices calibrated so far and the number of all.
#[derive(Clone)]
struct ProgressCallback(Arc<dyn Fn(usize, usize) + Send + Sync>);

impl fmt::Debug for ProgressCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

impl PackOptions {
    /// Default of [`max_error`](Self::max_error): the error of channels whose largest weight is 13 times their root mean
    /// square. Normally distributed weights have an error of 0.008. The worst matrix of all-MiniLM-L6-v2 has 0.021 and that of
    /// all-mpnet-base-v2 0.025; both are the second matrix of a feed-forward network.
    pub const MAX_ERROR: f64 = 0.03;

    /// Creates options for a precision, with the default maximum error and without calibration.
    pub fn new(precision: WeightFormat) -> Self {
        Self {
            precision,
            keep_f32: Vec::new(),
            max_error: None,
            texts: None,
            on_progress: None,
        }
    }

    /// Keeps matrices in f32 whose names, as [`Packed::matrices`](crate::Packed::matrices) lists them, contain `pattern`. A `*`
    /// in it stands for any text. Further calls add patterns.
    #[must_use]
    pub fn keep_f32(mut self, pattern: impl Into<String>) -> Self {
        self.keep_f32.push(pattern.into());
        self
    }

    /// Keeps matrices in f32 whose [`error`](PackedMatrix::error), or, if the model is calibrated,
    /// [`output_error`](PackedMatrix::output_error), would be above this.
    #[must_use]
    pub fn max_error(mut self, error: f64) -> Self {
        self.max_error = Some(error);
        self
    }

    /// Calibrates int8 by the matrix inputs that these texts lead to: weights are rounded so that outputs change least, input
    /// channels are smoothed, and [`max_error`](Self::max_error) bounds the error of outputs
    /// ([`PackedMatrix::output_error`]). Further calls add texts.
    ///
    /// The texts should represent all kinds of texts that the model will read. The first 8,192 tokens are used, some 500
    /// sentences.
    ///
    /// ```no_run
    /// # fn main() -> bertless::Result<()> {
    /// use bertless::{Model, PackOptions, WeightFormat};
    /// let texts = std::fs::read_to_string("texts.txt").unwrap_or_default();
    /// let options = PackOptions::new(WeightFormat::Int8).calibrate(texts.lines());
    /// Model::pack_with("path/to/a/model", options)?.save("model.safetensors")?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn calibrate(mut self, texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let all = self.texts.get_or_insert_default();
        all.extend(texts.into_iter().map(|text| (text.into(), None)));
        self
    }

    /// Calibrates int8 by pairs of texts, as [`calibrate`](Self::calibrate) does by single ones: for a cross-encoder or a
    /// question answerer.
    #[must_use]
    pub fn calibrate_pairs(
        mut self,
        pairs: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        let all = self.texts.get_or_insert_default();
        let pairs = pairs.into_iter();
        all.extend(pairs.map(|(first, second)| (first.into(), Some(second.into()))));
        self
    }

    /// Sets a callback for progress: `watch(done, total)` is called after each calibrated matrix, which may take seconds.
    #[must_use]
    pub fn watch(mut self, watch: impl Fn(usize, usize) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(ProgressCallback(Arc::new(watch)));
        self
    }

    /// Calibration texts and, in pairs, their second texts; `None` without calibration.
    pub(crate) fn texts(&self) -> Option<&[(String, Option<String>)]> {
        self.texts.as_deref()
    }

    /// Reports that `done` of `total` matrices have been calibrated.
    pub(super) fn report(&self, done: usize, total: usize) {
        if let Some(ProgressCallback(report)) = &self.on_progress {
            report(done, total);
        }
    }

    /// Whether a pattern of [`keep_f32`](Self::keep_f32) matches a name.
    pub(super) fn keeps_f32(&self, name: &str) -> bool {
        self.keep_f32.iter().any(|pattern| matches(pattern, name))
    }

    /// Maximum error of a matrix in int8.
    pub(super) fn error_bound(&self) -> f64 {
        self.max_error.unwrap_or(Self::MAX_ERROR)
    }

    /// Number type in which large weights are stored.
    pub fn precision(&self) -> WeightFormat {
        self.precision
    }

    /// Checks that the options are valid and fit the precision.
    ///
    /// # Errors
    /// `Option` for a maximum error that is NaN or negative, an empty set of calibration texts, either of these in another
    /// precision than int8, and an empty pattern, which would match everything.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |name, reason: String| Err(Error::Option { name, reason });
        let unused = || format!("in {} no matrix is quantised", self.precision);
        let is_int8 = self.precision == WeightFormat::Int8;
        match self.max_error {
            Some(error) if error.is_nan() || error < 0.0 => {
                return wrong("max_error", format!("{error} is not a number from 0 on"));
            }
            Some(_) if !is_int8 => return wrong("max_error", unused()),
            _ => {}
        }
        match &self.texts {
            Some(_) if !is_int8 => return wrong("calibrate", unused()),
            Some(texts) if texts.is_empty() => {
                return wrong("calibrate", "there is no text to calibrate by".to_owned());
            }
            _ => {}
        }
        if self.keep_f32.iter().any(String::is_empty) {
            return wrong("keep_f32", "a pattern is empty".to_owned());
        }
        Ok(())
    }

    /// Checks that every pattern of [`keep_f32`](Self::keep_f32) matches a matrix.
    ///
    /// # Errors
    /// `Option` for a pattern that matches none.
    pub(super) fn check_matched(&self, matrices: &[PackedMatrix]) -> Result<()> {
        let unmatched = |pattern: &&String| !matrices.iter().any(|m| matches(pattern, &m.name));
        let Some(pattern) = self.keep_f32.iter().find(unmatched) else {
            return Ok(());
        };
        let names = matrices.iter().take(MAX_EXAMPLES).map(|m| m.name.as_str());
        let examples = names.collect::<Vec<_>>().join(", ");
        let known = match examples.as_str() {
            "" => format!("in {} none is quantised", self.precision),
            examples => format!("there are {}: {examples}, ..", matrices.len()),
        };
        Err(Error::Option {
            name: "keep_f32",
            reason: format!("{pattern:?} matches no matrix that is quantised; {known}"),
        })
    }
}

/// Report on a matrix of the encoder that int8 applies to.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct PackedMatrix {
    /// Name of the matrix's tensor in the file.
    pub name: String,
    /// Relative error of its weights in int8, even if it stays in f32: root mean square of the differences, divided by that of
    /// the weights. Calibration does not change it.
    pub error: f64,
    /// Relative error of its outputs in int8, measured on every eighth calibration token, which is left out of calibration.
    /// `None` unless the model was [calibrated](PackOptions::calibrate).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_error: Option<f64>,
    /// Number type in which it is stored, and the reason.
    pub stored: QuantizationOutcome,
}

/// Number type in which a matrix is stored, and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QuantizationOutcome {
    /// Int8, with a scale for each output channel.
    Int8,
    /// F32, because a pattern of [`PackOptions::keep_f32`] matches its name.
    F32Requested,
    /// F32, because its error is above [`PackOptions::max_error`].
    F32ForError,
    /// F32, because it has more than 65,536 input channels, over which sums of int8 products may overflow 32 bits.
    F32ForWidth,
}

/// Whether the name contains the parts of the pattern between its stars, in order and without overlap.
fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = Some(name);
    for part in pattern.split('*') {
        rest = rest
            .and_then(|rest| rest.split_once(part))
            .map(|(_, rest)| rest);
    }
    rest.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "encoder.layer.1.attention.output.dense.weight";

    #[test]
    fn a_pattern_matches_parts_of_a_name_in_order() {
        let matching = "layer.1. * 1*output encoder*.weight *dense*".split(' ');
        for pattern in matching.chain([NAME]) {
            assert!(matches(pattern, NAME), "{pattern}");
        }
        for pattern in "layer.11 output*attention dense*dense Dense weight*t".split(' ') {
            assert!(!matches(pattern, NAME), "{pattern}");
        }
    }
}
