//! What a caller can choose.

use std::str::FromStr;

use crate::config::Pooling;
use crate::error::{Error, Result};
use crate::kernels::gemm::Dtype;
use crate::tasks::{Aggregation, AnswerOptions, Thresholds};
#[cfg(feature = "mmap")]
use crate::weights::Unchanging;

/// How a model is loaded and how it answers; what is not chosen is as the model's files say.
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
    pub(super) prompt: Option<String>,
    pub(super) thresholds: Option<Thresholds>,
    pub(super) top_k: Option<usize>,
    pub(super) aggregation: Aggregation,
    pub(super) answers: AnswerOptions,
    #[cfg(feature = "mmap")]
    pub(super) map: Option<Unchanging>,
}

impl ModelOptions {
    /// Nothing chosen.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many threads compute; one means the caller's alone. By default as many as the container's CPU quota grants,
    /// on AWS Lambda one for each 1,769 MB, rounded.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// What the encoder's dense layers compute in; heads, norms and embeddings are always single precision. By default
    /// single precision too, and with a packed file what it was packed for, which cannot be changed, except that one in
    /// bf16 can compute in `f32`.
    ///
    /// ```
    /// let options = bertless::ModelOptions::new().dtype(bertless::Dtype::Int8);
    /// ```
    #[must_use]
    pub fn dtype(mut self, dtype: Dtype) -> Self {
        self.dtype = Some(dtype);
        self
    }

    /// The most tokens of a text, special ones included. By default `max_seq_length` of sentence-transformers' files, if
    /// `modules.json` is there, else `model_max_length` of the tokenizer's, else what the position table has room for.
    #[must_use]
    pub fn max_length(mut self, tokens: usize) -> Self {
        self.max_length = Some(tokens);
        self
    }

    /// How rows become one embedding. `Dense` modules, which belong to the pooling that they were trained with, are
    /// left out if this is another one.
    #[must_use]
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = Some(pooling);
        self
    }

    /// Whether embeddings are brought to length one at the end, after a truncation (`truncate_dim`) if there is one.
    #[must_use]
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.normalize = Some(normalize);
        self
    }

    /// The name of the prompt that is put in front of every text to embed, as
    /// `config_sentence_transformers.json` lists them.
    #[must_use]
    pub fn prompt(mut self, name: impl Into<String>) -> Self {
        self.prompt = Some(name.into());
        self
    }

    /// From which score on labels of a multi-label classifier hold, from 0 to 1; an error for any other model.
    #[must_use]
    pub fn thresholds(mut self, thresholds: Thresholds) -> Self {
        self.thresholds = Some(thresholds);
        self
    }

    /// How many scores, answers or words for a mask are given. By default all scores, one answer, five words.
    #[must_use]
    pub fn top_k(mut self, top_k: usize) -> Self {
        self.top_k = Some(top_k);
        self
    }

    /// How the labels of tokens become those of entities.
    #[must_use]
    pub fn aggregation(mut self, aggregation: Aggregation) -> Self {
        self.aggregation = aggregation;
        self
    }

    /// How answers are looked for; its `top_k` gives way to [`top_k`](Self::top_k).
    #[must_use]
    pub fn answers(mut self, answers: AnswerOptions) -> Self {
        self.answers = answers;
        self
    }

    /// Opens weight files by mapping them instead of reading them.
    ///
    /// A checkpoint's dense weights are packed when they are loaded, so mapping saves system calls for the table of
    /// words, not the weights' memory; and pages of the map that were read count as this process's. A packed file that is
    /// mapped is used where it lies, its weights too.
    ///
    /// ```no_run
    /// // SAFETY: the disk of a deployed function is read-only.
    /// let options = unsafe { bertless::ModelOptions::new().map() };
    /// let model = bertless::Model::load_with("model.safetensors", options)?;
    /// # Ok::<(), bertless::Error>(())
    /// ```
    ///
    /// # Safety
    /// No file of a model that is opened with these options or a clone of them may be changed or truncated, by any process,
    /// from when it is opened until the model is dropped. A mapped file is memory: where a process truncates it, the next
    /// access kills this one, and where a process overwrites it, weights change under a running model.
    #[cfg(feature = "mmap")]
    #[must_use]
    #[allow(unsafe_code, reason = "the caller promises what a map needs")]
    pub unsafe fn map(mut self) -> Self {
        // SAFETY: these options and their clones keep the value, and the caller promises what it asks for of every file that
        // is opened with them.
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
