//! Options of packing, and the report on each matrix that could become int8.

use std::fmt;
use std::sync::Arc;

use super::precision::Precision;
use crate::error::{Error, Result};

/// Names that an error shows where none was matched.
const MAX_EXAMPLES: usize = 4;

/// How a model is packed: in which precision, and which matrices stay in f32 where that is [`Precision::Int8`].
///
/// ```
/// use bertless::{PackOptions, Precision};
/// let options = PackOptions::new(Precision::Int8).keep_f32("layer.0.*output.dense").max_error(0.01);
/// ```
#[derive(Debug, Clone)]
pub struct PackOptions {
    precision: Precision,
    keep_f32: Vec<String>,
    /// If another is chosen than [`MAX_ERROR`](Self::MAX_ERROR).
    max_error: Option<f64>,
    /// What to calibrate by, if that is asked for: texts and pairs.
    texts: Option<Vec<(String, Option<String>)>>,
    on_progress: Option<Progress>,
}

/// A callback that gets the number of matrices that have been calibrated, and of all.
#[derive(Clone)]
struct Progress(Arc<dyn Fn(usize, usize) + Send + Sync>);

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

impl PackOptions {
    /// The error above which a matrix is not quantised, unless another is chosen. It is that of channels whose greatest
    /// weight is 13 times their root mean square. Weights that are spread normally are at 0.008; the worst of
    /// all-MiniLM-L6-v2 is at 0.021 and of all-mpnet-base-v2 at 0.025, both in the second half of a feed-forward.
    pub const MAX_ERROR: f64 = 0.03;

    /// Every matrix in this precision whose error is not above [`MAX_ERROR`](Self::MAX_ERROR).
    pub fn new(precision: Precision) -> Self {
        Self {
            precision,
            keep_f32: Vec::new(),
            max_error: None,
            texts: None,
            on_progress: None,
        }
    }

    /// Leaves matrices in f32 whose names, as [`Packed::matrices`](crate::Packed::matrices) has them, contain this text;
    /// a `*` in it is any text. May be called again for others.
    #[must_use]
    pub fn keep_f32(mut self, pattern: impl Into<String>) -> Self {
        self.keep_f32.push(pattern.into());
        self
    }

    /// Leaves matrices in f32 whose [`error`](PackedMatrix::error) would be above this.
    #[must_use]
    pub fn max_error(mut self, error: f64) -> Self {
        self.max_error = Some(error);
        self
    }

    /// Of int8, quantises matrices by what goes into them when these texts are computed: numbers are rounded so that
    /// outputs stay near, inputs are made more even, and [`max_error`](Self::max_error) is that of outputs
    /// ([`PackedMatrix::output_error`]). May be called again for more.
    ///
    /// The texts should be of the kind that the model is for, and of all its kinds: 8,192 tokens are made use of, some 500
    /// sentences.
    ///
    /// ```no_run
    /// # fn main() -> bertless::Result<()> {
    /// use bertless::{Model, PackOptions, Precision};
    /// let texts = std::fs::read_to_string("texts.txt").unwrap_or_default();
    /// let options = PackOptions::new(Precision::Int8).calibrate(texts.lines());
    /// Model::pack_with("path/to/a/model", options)?.save("model.safetensors")?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn calibrate(mut self, texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let own = self.texts.get_or_insert_default();
        own.extend(texts.into_iter().map(|text| (text.into(), None)));
        self
    }

    /// Calibrates by pairs, for a model that reads pairs: a cross-encoder, a question answerer.
    #[must_use]
    pub fn calibrate_pairs(
        mut self,
        pairs: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        let own = self.texts.get_or_insert_default();
        let pairs = pairs.into_iter();
        own.extend(pairs.map(|(first, second)| (first.into(), Some(second.into()))));
        self
    }

    /// Calls this whenever a matrix has been calibrated, which may take seconds, with how many have been and of how many.
    #[must_use]
    pub fn watch(mut self, watch: impl Fn(usize, usize) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Progress(Arc::new(watch)));
        self
    }

    /// The texts to calibrate by, and what stands behind each in a pair.
    pub(crate) fn texts(&self) -> Option<&[(String, Option<String>)]> {
        self.texts.as_deref()
    }

    /// Reports that `done` of `total` matrices have been calibrated.
    pub(super) fn report(&self, done: usize, total: usize) {
        if let Some(Progress(report)) = &self.on_progress {
            report(done, total);
        }
    }

    /// Whether a pattern of [`keep_f32`](Self::keep_f32) matches this name.
    pub(super) fn keeps_f32(&self, name: &str) -> bool {
        self.keep_f32.iter().any(|pattern| matches(pattern, name))
    }

    /// The error above which a matrix stays in f32.
    pub(super) fn error_bound(&self) -> f64 {
        self.max_error.unwrap_or(Self::MAX_ERROR)
    }

    /// In what large weights are stored.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// # Errors
    /// `Option` for an error that is no number from 0 on, for no texts to calibrate by, for either in another precision
    /// than int8, and for an empty pattern, which would match everything.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |name, reason: String| Err(Error::Option { name, reason });
        let unused = || format!("in {} no matrix is quantised", self.precision);
        let is_int8 = self.precision == Precision::Int8;
        match self.max_error {
            Some(error) if error.is_nan() || error < 0.0 => {
                return wrong("max_error", format!("{error} is no number from 0 on"));
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

    /// # Errors
    /// `Option` for a pattern that matches none of these.
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

/// A matrix of the encoder that is a candidate for int8.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct PackedMatrix {
    /// The name of its tensor in the file.
    pub name: String,
    /// How far int8 moves its weights, whether it is stored so or not: the root mean square of the differences, as a share
    /// of that of the weights.
    pub error: f64,
    /// How far int8 moves what comes out of it, of a model that was [calibrated](PackOptions::calibrate): the same of its
    /// outputs for every eighth token, which it was not calibrated by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_error: Option<f64>,
    /// What it is stored as.
    pub stored: Stored,
}

/// What became of a matrix, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stored {
    /// Bytes, with a scale for each output channel.
    Int8,
    /// F32, since a pattern of [`PackOptions::keep_f32`] matches its name.
    F32AsAsked,
    /// F32, since its error is above [`PackOptions::max_error`].
    F32ForError,
    /// F32, since sums over so many input channels, above 65,536, may leave 32 bits.
    F32ForWidth,
}

/// Whether the name contains the pattern's parts between its stars, one behind the other.
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
    fn a_pattern_is_a_part_of_a_name_or_parts_in_order() {
        let matching = "layer.1. * 1*output encoder*.weight *dense*".split(' ');
        for pattern in matching.chain([NAME]) {
            assert!(matches(pattern, NAME), "{pattern}");
        }
        for pattern in "layer.11 output*attention dense*dense Dense weight*t".split(' ') {
            assert!(!matches(pattern, NAME), "{pattern}");
        }
    }
}
