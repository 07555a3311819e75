//! Options of loading a model.

use std::str::FromStr;

use super::predict_options::PredictOptions;
use crate::config::Pooling;
use crate::error::{Error, Result};
use crate::kernels::gemm::Dtype;
#[cfg(feature = "mmap")]
use crate::weights::Unchanging;

/// Options of loading a model. What is not set follows the model's files.
///
/// ```
/// let options = bertless::ModelOptions::new().threads(1).max_length(128);
/// ```
#[derive(Debug, Clone, Default)]
pub struct ModelOptions {
    pub(super) threads: Option<usize>,
    pub(super) dtype: Option<Dtype>,
    pub(super) max_length: Option<usize>,
    pub(super) pooling: Option<Pooling>,
    pub(super) normalize: Option<bool>,
    pub(super) calls: PredictOptions,
    #[cfg(feature = "mmap")]
    pub(super) map: Option<Unchanging>,
}

impl ModelOptions {
    /// Creates options with nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the number of threads that compute; with 1 only the caller's thread does. Default: as many as the
    /// container's CPU quota grants; on AWS Lambda one per 1,769 MB, rounded.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Sets the number type that the encoder's dense layers compute in; heads, norms and embeddings are always in f32.
    /// Default: f32, or the type that a packed file was packed for. The type of a packed file cannot be changed, except
    /// that one in bf16 can compute in f32.
    ///
    /// ```
    /// let options = bertless::ModelOptions::new().dtype(bertless::Dtype::Int8);
    /// ```
    #[must_use]
    pub fn dtype(mut self, dtype: Dtype) -> Self {
        self.dtype = Some(dtype);
        self
    }

    /// Sets the maximum number of tokens of a text, special tokens included. Default: `max_seq_length` of
    /// sentence-transformers' files if there is a `modules.json`, else the tokenizer's `model_max_length`, else the
    /// number of positions.
    #[must_use]
    pub fn max_length(mut self, tokens: usize) -> Self {
        self.max_length = Some(tokens);
        self
    }

    /// Sets the pooling, which turns a text's hidden states into one embedding. If it differs from the pooling of the
    /// model's files, the `Dense` modules that were trained with that one are left out.
    #[must_use]
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = Some(pooling);
        self
    }

    /// Sets whether embeddings are normalised to unit length at the end, after a truncation (`truncate_dim`) if there
    /// is one.
    #[must_use]
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.normalize = Some(normalize);
        self
    }

    /// Sets the options of calls that name none, such as [`Model::predict`](crate::Model::predict).
    ///
    /// ```
    /// use bertless::{Aggregation, ModelOptions, PredictOptions};
    ///
    /// let calls = PredictOptions::new().aggregation(Aggregation::First);
    /// let options = ModelOptions::new().calls(calls);
    /// ```
    #[must_use]
    pub fn calls(mut self, options: PredictOptions) -> Self {
        self.calls = options;
        self
    }

    /// Memory-maps weight files instead of reading them.
    ///
    /// A packed file that is mapped is used in place, its weights too. A checkpoint's dense weights are packed when
    /// they are loaded, so mapping it saves system calls for the word-embedding table but not the weights' memory; and
    /// pages of the map that were read count as memory of this process.
    ///
    /// ```no_run
    /// // SAFETY: the disk of a deployed function is read-only.
    /// let options = unsafe { bertless::ModelOptions::new().map() };
    /// let model = bertless::Model::load_with("model.safetensors", options)?;
    /// # Ok::<(), bertless::Error>(())
    /// ```
    ///
    /// # Safety
    /// No process may change or truncate a file of a model that is opened with these options or a clone of them, from
    /// when the file is opened until the model is dropped. A mapped file is memory: if a process truncates it, the next
    /// access kills this process; if a process overwrites it, weights change under a running model.
    #[cfg(feature = "mmap")]
    #[must_use]
    #[allow(unsafe_code, reason = "the caller promises what a map needs")]
    pub unsafe fn map(mut self) -> Self {
        // SAFETY: these options and their clones keep the value, and the caller promises what the value requires for
        // every file that is opened with them.
        self.map = Some(unsafe { Unchanging::promised() });
        self
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "int8" => Ok(Self::Int8),
            other => Err(Error::Option {
                name: "dtype",
                reason: format!("{other:?} is not f32, bf16 or int8"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dtypes_have_the_names_that_they_are_printed_with() {
        for dtype in [Dtype::F32, Dtype::Bf16, Dtype::Int8] {
            assert_eq!(dtype.to_string().parse::<Dtype>().unwrap(), dtype);
        }
        let error = "int4".parse::<Dtype>().unwrap_err();
        assert!(error.to_string().contains("\"int4\""), "{error}");
    }
}
