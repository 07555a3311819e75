//! Which of the encoder's matrices become bytes, and how far that moves their weights.

use std::fmt;
use std::sync::Arc;

use super::Precision;
use super::calibrate::calibrate;
use crate::error::{Error, Result};
use crate::kernels::gemm::{Dtype, PackedWeights, Panels};

/// Ends of the names of matrices whose input is smoothed: what goes into them comes out of a norm.
const SMOOTHED: [&str; 2] = [
    "self.query+self.key+self.value.weight",
    "intermediate.dense.weight",
];

/// Names that an error shows where none was matched.
const EXAMPLES: usize = 4;

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
    watch: Option<Watch>,
}

/// Somebody who is told how many matrices have been calibrated, and of how many.
#[derive(Clone)]
struct Watch(Arc<dyn Fn(usize, usize) + Send + Sync>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
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
            watch: None,
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

    /// The same of pairs, for a model that reads pairs: a cross-encoder, a question answerer.
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
        self.watch = Some(Watch(Arc::new(watch)));
        self
    }

    /// The texts to calibrate by, and what stands behind each in a pair.
    pub(crate) fn texts(&self) -> Option<&[(String, Option<String>)]> {
        self.texts.as_deref()
    }

    /// Says that so many matrices of so many have been calibrated.
    pub(super) fn tell(&self, done: usize, of: usize) {
        if let Some(Watch(watch)) = &self.watch {
            watch(done, of);
        }
    }

    /// In what large weights are stored.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// # Errors
    /// `Option` for an error that is no number from 0 on, for no texts to calibrate by, for either in another precision
    /// than int8, and for an empty pattern, which would match everything.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(error) = self.max_error {
            let reason = match self.precision {
                _ if error.is_nan() || error < 0.0 => format!("{error} is no number from 0 on"),
                Precision::Int8 => String::new(),
                other => format!("in {other} no matrix is quantised"),
            };
            if !reason.is_empty() {
                return Err(Error::Option {
                    name: "max_error",
                    reason,
                });
            }
        }
        if let Some(texts) = &self.texts {
            let reason = match self.precision {
                Precision::Int8 if !texts.is_empty() => String::new(),
                Precision::Int8 => "there is no text to calibrate by".to_owned(),
                other => format!("in {other} no matrix is quantised"),
            };
            if !reason.is_empty() {
                return Err(Error::Option {
                    name: "calibrate",
                    reason,
                });
            }
        }
        match self.keep_f32.iter().any(String::is_empty) {
            true => Err(Error::Option {
                name: "keep_f32",
                reason: "a pattern is empty".to_owned(),
            }),
            false => Ok(()),
        }
    }

    /// # Errors
    /// `Option` for a pattern that matches none of these.
    pub(super) fn check_matched(&self, matrices: &[PackedMatrix]) -> Result<()> {
        let unmatched = |pattern: &&String| !matrices.iter().any(|m| matches(pattern, &m.name));
        let Some(pattern) = self.keep_f32.iter().find(unmatched) else {
            return Ok(());
        };
        let names = matrices.iter().take(EXAMPLES).map(|m| m.name.as_str());
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

/// What a matrix of the encoder, loaded as floats, is stored as; `rows` are some that went into it.
pub(super) fn choose(
    options: &PackOptions,
    name: &str,
    floats: PackedWeights,
    rows: Option<&[f32]>,
) -> (PackedWeights, PackedMatrix) {
    let weights = floats.unpack();
    let (n, k) = (floats.n(), floats.k());
    let mut bytes = PackedWeights::pack(Dtype::Int8, &weights, n, k);
    let error = relative_error(&bytes.unpack(), &weights);
    let smooth = SMOOTHED.iter().any(|end| name.ends_with(end));
    let mut output_error = None;
    if let (Panels::Int8(_), Some(rows)) = (bytes.panels(), rows)
        && let Some(calibrated) = calibrate(rows, &weights, (n, k), smooth)
    {
        bytes = calibrated.matrix;
        output_error = Some(calibrated.error);
    }
    let asked = |pattern: &String| matches(pattern, name);
    let bound = options.max_error.unwrap_or(PackOptions::MAX_ERROR);
    let stored = match bytes.panels() {
        _ if options.keep_f32.iter().any(asked) => Stored::F32AsAsked,
        Panels::F32(_) | Panels::Bf16(_) => Stored::F32ForWidth,
        Panels::Int8(_) if output_error.unwrap_or(error) > bound => Stored::F32ForError,
        Panels::Int8(_) => Stored::Int8,
    };
    let answer = match stored {
        Stored::Int8 => bytes,
        _ => floats,
    };
    let report = PackedMatrix {
        name: name.to_owned(),
        error,
        output_error,
        stored,
    };
    (answer, report)
}

/// `|found - exact| / |exact|`, in the Euclidean norm; 0 if both are zeros.
pub(super) fn relative_error(found: &[f32], exact: &[f32]) -> f64 {
    let pairs = found.iter().zip(exact);
    let (off, all) = pairs.fold((0.0, 0.0), |(off, all), (&found, &exact)| {
        let (found, exact) = (f64::from(found), f64::from(exact));
        (off + (found - exact).powi(2), all + exact.powi(2))
    });
    match off {
        0.0 => 0.0,
        off => (off / all).sqrt(),
    }
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

    fn chosen(options: &PackOptions, weights: &[f32], k: usize) -> (PackedWeights, PackedMatrix) {
        let floats = PackedWeights::new(weights, weights.len() / k, k);
        choose(options, NAME, floats, None)
    }

    #[test]
    fn a_pattern_is_a_part_of_a_name_or_parts_in_order() {
        for pattern in [
            "layer.1.",
            "*",
            "1*output",
            "encoder*.weight",
            "*dense*",
            NAME,
        ] {
            assert!(matches(pattern, NAME), "{pattern}");
        }
        for pattern in [
            "layer.11",
            "output*attention",
            "dense*dense",
            "Dense",
            "weight*t",
        ] {
            assert!(!matches(pattern, NAME), "{pattern}");
        }
    }

    #[test]
    fn the_error_is_that_of_the_weights() {
        // Scales of 1 and of 2: the first row is exact, of the second 1 is on the way from 0 to 2, and becomes 0.
        let (_, matrix) = chosen(
            &PackOptions::new(Precision::Int8),
            &[127.0, -3.0, 254.0, 1.0],
            2,
        );
        let all: f64 = 127.0 * 127.0 + 9.0 + 254.0 * 254.0 + 1.0;
        assert!((matrix.error - (1.0 / all).sqrt()).abs() < 1e-12);
        let (_, zeros) = chosen(&PackOptions::new(Precision::Int8), &[0.0; 6], 3);
        assert_eq!((zeros.error, zeros.stored), (0.0, Stored::Int8));
    }

    #[test]
    fn what_is_not_to_be_bytes_stays_as_it_is() {
        // One large weight makes zeros of all others.
        let mut weights = vec![0.38; 300];
        weights[0] = 100.0;
        let all = PackOptions::new(Precision::Int8);
        let (bytes, matrix) = chosen(&all, &weights, 300);
        assert!((0.065..0.066).contains(&matrix.error), "{}", matrix.error);
        assert_eq!(matrix.stored, Stored::F32ForError);
        assert_eq!(bytes.unpack(), weights);
        let (bytes, matrix) = chosen(&all.clone().max_error(0.07), &weights, 300);
        assert_eq!(matrix.stored, Stored::Int8);
        assert_eq!(bytes.unpack()[..2], [100.0, 0.0]);
        // The error at the bound is not above it.
        let (_, same) = chosen(&all.clone().max_error(matrix.error), &weights, 300);
        assert_eq!(same.stored, Stored::Int8);
        let (bytes, kept) = chosen(&all.clone().keep_f32("output"), &weights, 300);
        assert_eq!(
            (kept.error, kept.stored),
            (matrix.error, Stored::F32AsAsked)
        );
        assert_eq!(bytes.unpack(), weights);
        let (_, wide) = chosen(&all, &vec![1.0; 65_537], 65_537);
        assert_eq!((wide.error, wide.stored), (0.0, Stored::F32ForWidth));
    }
}
