//! The model: turns a text into an answer. Only this module knows tokenizer, encoder and task at once.

#[cfg(feature = "default-model")]
mod built_in;
mod call;
mod embed;
mod load;
mod options;
mod pack;
mod predict;
mod predict_options;
mod raw;
mod rerank;
mod typed;
mod zero_shot;

use serde::Serialize;

#[cfg(feature = "train")]
pub(crate) use load::engine;
pub use options::ModelOptions;
pub use pack::{Packed, PackedSection};
pub use predict_options::{CancelToken, Combine, LongTexts, PredictOptions};
pub use rerank::Ranked;
pub use typed::{
    Classifier, Embedder, MaskFiller, QuestionAnswerer, Reranker, TokenClassifier, ZeroShot,
};

#[cfg(feature = "train")]
use crate::config::HeadConfig;
use crate::config::{Config, Family, Pooling, ScoreFunction, Task};
use crate::encoder::Encoder;
use crate::error::Error;
use crate::kernels::gemm::Dtype;
use crate::kernels::{BufferPool, Engine};
use crate::layers::Scratch;
use crate::tasks::Similarity;
use crate::tasks::embedding::EmbeddingHead;
use crate::tasks::heads::Head;
use crate::tokenizer::Tokenizer;
use crate::weights::PackedSummary;

/// A loaded model.
///
/// The checkpoint decides the task. [`Prediction`](crate::Prediction) holds the answer to any task; [`Classifier`], [`Embedder`] and the
/// other typed wrappers return one kind of answer. All methods take `&self`, so threads can share a model by reference.
///
/// ```no_run
/// # fn main() -> bertless::Result<()> {
/// let model = bertless::Model::load("path/to/a/sentiment/model")?;
/// let prediction = model.predict("An absolute delight.")?;
/// println!("{:?} {:?}", prediction.label(), prediction.score());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Model {
    config: Config,
    tokenizer: Tokenizer,
    encoder: Encoder,
    head: Head,
    embedding: EmbeddingHead,
    similarity: Similarity,
    options: ModelOptions,
    max_length: usize,
    dtype: Dtype,
    engine: Engine,
    /// Reusable buffers for intermediate results, one set for each concurrent caller.
    scratch: BufferPool<Scratch>,
    summary: Summary,
}

/// Architecture, task, size and limits of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Model family, such as BERT or MPNet.
    pub family: Family,
    /// Name of the model's class in config.json; empty if the file names none.
    pub architecture: String,
    /// Task that the model was trained for.
    pub task: Task,
    /// Number of encoder layers (`num_hidden_layers`).
    #[serde(rename = "layers")]
    pub num_hidden_layers: usize,
    /// Width of the hidden states (`hidden_size`).
    #[serde(rename = "hidden")]
    pub hidden_size: usize,
    /// Number of attention heads per layer (`num_attention_heads`).
    #[serde(rename = "heads")]
    pub num_attention_heads: usize,
    /// Number of rows of the word-embedding table (`vocab_size`).
    #[serde(rename = "vocabulary")]
    pub vocab_size: usize,
    /// Maximum number of tokens of a text, special tokens included.
    pub max_length: usize,
    /// Label names, indexed by label id.
    pub labels: Vec<String>,
    /// Function that turns a classifier's logits into scores; `None` for other tasks.
    #[serde(rename = "score")]
    pub score_function: Option<ScoreFunction>,
    /// Poolings of an embedding model, whose results are concatenated; empty for other tasks.
    pub pooling: Vec<Pooling>,
    /// Dimension of an embedding; `None` for models that are not embedding models.
    #[serde(rename = "embedding")]
    pub embedding_dim: Option<usize>,
    /// Number of parameters in the checkpoint.
    pub parameters: usize,
    /// Size of the weight files, or of the packed file, in bytes.
    pub bytes: usize,
    /// Type that most parameters are stored in.
    pub dtype: String,
    /// Summary that a packed file carries; `None` for a folder.
    pub packed: Option<PackedSummary>,
}

impl Model {
    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Task that the model was trained for.
    pub fn task(&self) -> Task {
        self.config.head.task
    }

    /// Label names, indexed by label id; empty for tasks without labels.
    pub fn labels(&self) -> &[String] {
        &self.config.head.labels
    }

    /// Maximum number of tokens of a text, special tokens included.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Number of tokens that the position table has rows for, special tokens included; [`max_length`](Self::max_length)
    /// may be less.
    pub fn max_positions(&self) -> usize {
        self.config.encoder.max_tokens()
    }

    /// Number of threads that the model computes with.
    pub fn threads(&self) -> usize {
        self.engine.threads.count()
    }

    /// Name of the instruction set that the model computes with, as the environment variable `BERTLESS_CPU` takes it.
    pub fn instruction_set(&self) -> &'static str {
        self.engine.cpu.name()
    }

    /// Number type that the encoder's dense layers compute in.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Options of calls that name none, as [`ModelOptions::calls`] set them.
    pub fn predict_options(&self) -> &PredictOptions {
        &self.options.calls
    }

    /// Architecture, task, size and limits of the model.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Configuration of the head on top of the encoder.
    #[cfg(feature = "train")]
    pub(crate) fn head(&self) -> &HeadConfig {
        &self.config.head
    }

    /// Error for a model whose task is not `wanted`.
    fn wrong_task(&self, wanted: &'static str) -> Error {
        Error::WrongTask {
            wanted,
            found: self.task().name(),
        }
    }
}
