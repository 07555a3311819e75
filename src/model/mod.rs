//! The model: turns a text into an answer. Only this module knows tokenizer, encoder and task at once.

mod answer;
mod ask;
#[cfg(feature = "default-model")]
mod built_in;
mod load;
mod options;
mod pack;
mod pass;
mod typed;

use serde::Serialize;

pub use ask::Ranked;
#[cfg(feature = "train")]
pub(crate) use load::engine;
pub use options::ModelOptions;
pub use pack::{Packed, PackedKind};
pub use typed::{
    Classifier, Embedder, MaskFiller, QuestionAnswerer, Reranker, TokenClassifier, ZeroShot,
};

use crate::batch::{Encoding, Input};
#[cfg(feature = "train")]
use crate::config::HeadConfig;
use crate::config::{Config, Family, Pooling, ScoreFunction, Task};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::kernels::gemm::Dtype;
use crate::kernels::{BufferPool, Engine};
use crate::layers::Scratch;
use crate::tasks::embedding::EmbeddingHead;
use crate::tasks::entities::Decoding;
use crate::tasks::heads::Head;
use crate::tasks::{
    Embedding, Entities, Fill, Prediction, Similarity, classification, entities, fill_mask,
};
use crate::tokenizer::{Tokenizer, Truncation};
use crate::weights::PackedSummary;

/// Default number of predictions per mask, as in transformers.
const TOKENS_PER_MASK: usize = 5;

/// A loaded model.
///
/// The checkpoint decides the task. [`Prediction`] holds the answer to any task; [`Classifier`], [`Embedder`] and the
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
    pub layers: usize,
    /// Width of the hidden states (`hidden_size`).
    pub hidden: usize,
    /// Number of attention heads per layer (`num_attention_heads`).
    pub heads: usize,
    /// Number of rows of the word-embedding table (`vocab_size`).
    pub vocabulary: usize,
    /// Maximum number of tokens of a text, special tokens included.
    pub max_length: usize,
    /// Label names, indexed by label id.
    pub labels: Vec<String>,
    /// Function that turns a classifier's logits into scores; `None` for other tasks.
    pub score: Option<ScoreFunction>,
    /// Poolings of an embedding model, whose results are concatenated; empty for other tasks.
    pub pooling: Vec<Pooling>,
    /// Dimension of an embedding; `None` for models that are not embedding models.
    pub embedding: Option<usize>,
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
    /// Runs the model's task on a text or a pair.
    ///
    /// A text that is longer than [`max_length`](Self::max_length) is cut off at its end, and the answer says so. The
    /// context of a question is read to its end, in windows.
    ///
    /// # Errors
    /// `Input` if the task needs another form of input, `EmbeddingOutOfRange` if tokenizer and weights do not belong
    /// together, `NonFinite` if the weights lead to NaN or infinity.
    pub fn predict<'a>(&self, input: impl Into<Input<'a>>) -> Result<Prediction> {
        let input = input.into();
        if self.config.head.task == Task::QuestionAnswering {
            return self.answer_pair(input).map(Prediction::Answer);
        }
        let encoding = self.tokenize_with_prompt(self.embedding_prompt(), input)?;
        let mut predictions = self.predict_encoded(&[(input, encoding)])?;
        predictions.pop().ok_or_else(|| Error::Input {
            reason: "nothing was asked".to_owned(),
        })
    }

    /// Runs the model's task on many texts or pairs, and returns the answers in the order of the inputs. Each answer
    /// is, bit for bit, the one that [`predict`](Self::predict) gives for its input alone.
    ///
    /// Texts are tokenized and computed a few at a time, so memory grows with the answers only.
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict); an `Input` error names the index of the input at fault, counted from 0.
    pub fn predict_batch<'a, I>(&self, inputs: &'a [I]) -> Result<Vec<Prediction>>
    where
        &'a I: Into<Input<'a>>,
    {
        if self.config.head.task == Task::QuestionAnswering {
            let answers = self.answer_pairs(inputs.iter().map(Into::into))?;
            return Ok(answers.into_iter().map(Prediction::Answer).collect());
        }
        let mut predictions = Vec::with_capacity(inputs.len());
        self.for_each_batch(inputs, self.embedding_prompt(), |texts| {
            predictions.extend(self.predict_encoded(texts)?);
            Ok(())
        })?;
        Ok(predictions)
    }

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

    /// Architecture, task, size and limits of the model.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Configuration of the head on top of the encoder.
    #[cfg(feature = "train")]
    pub(crate) fn head(&self) -> &HeadConfig {
        &self.config.head
    }

    /// Tokenizes an input and truncates it to the model's limit.
    fn tokenize(&self, input: Input<'_>) -> Result<Encoding> {
        self.tokenizer
            .encode(input, Some(&Truncation::to(self.max_length)))
    }

    /// Tokenizes an input with `prompt` in front of its first text, and truncates it to the model's limit.
    fn tokenize_with_prompt(&self, prompt: Option<&str>, input: Input<'_>) -> Result<Encoding> {
        let Some(prompt) = prompt.filter(|prompt| !prompt.is_empty()) else {
            return self.tokenize(input);
        };
        let first = format!("{prompt}{}", input.first());
        self.tokenize(match input {
            Input::Text(_) => Input::Text(&first),
            Input::Pair(_, second) => Input::Pair(&first, second),
        })
    }

    /// Prompt that goes in front of each text; `None` unless the model's task is embedding.
    fn embedding_prompt(&self) -> Option<&str> {
        match self.head {
            Head::None => self.prompt(),
            _ => None,
        }
    }

    /// Runs the task on texts that are computed together. Any task but question answering.
    fn predict_encoded(&self, texts: &[(Input<'_>, Encoding)]) -> Result<Vec<Prediction>> {
        let encodings = || texts.iter().map(|(_, encoding)| encoding);
        match &self.head {
            Head::None => {
                let skip = self.tokens_to_skip(self.embedding_prompt())?;
                let vectors = self.embed_encodings(encodings(), skip)?;
                let width = self.embedding.width();
                let vectors = vectors.chunks_exact(width).map(<[f32]>::to_vec);
                let embedding = |(embedding, encoding): (Vec<f32>, &Encoding)| {
                    Prediction::Embedding(Embedding {
                        embedding,
                        n_tokens: encoding.len(),
                        truncated: encoding.truncated,
                    })
                };
                Ok(vectors.zip(encodings()).map(embedding).collect())
            }
            Head::Sequence(head) => {
                let logits = self.text_logits(head, encodings())?;
                let rows = logits.chunks_exact(self.labels().len());
                rows.zip(texts)
                    .map(|(logits, (_, encoding))| self.classification(logits, encoding))
                    .collect()
            }
            Head::Tokens(_) => self.entities(texts),
            Head::MaskedLm(_) => self.fills(texts),
        }
    }

    fn classification(&self, logits: &[f32], encoding: &Encoding) -> Result<Prediction> {
        let mut answer = classification::classify(
            logits.to_vec(),
            &self.config.head,
            self.options.thresholds.as_ref(),
            self.engine.cpu,
            encoding,
        )?;
        answer
            .scores
            .truncate(self.options.top_k.unwrap_or(usize::MAX));
        Ok(Prediction::Classification(answer))
    }

    fn entities(&self, texts: &[(Input<'_>, Encoding)]) -> Result<Vec<Prediction>> {
        let labels = self.labels();
        let decoding = Decoding {
            labels,
            aggregation: self.options.aggregation,
            unk_id: self.tokenizer.unk_id(),
            cpu: self.engine.cpu,
        };
        let logits = self.token_logits(texts.iter().map(|(_, encoding)| encoding))?;
        let mut logits = logits.as_slice();
        let mut predictions = Vec::with_capacity(texts.len());
        for (input, encoding) in texts {
            let text = single_text(*input, self.task())?;
            let (of_text, rest) = logits.split_at(encoding.len() * labels.len());
            logits = rest;
            let token = |id| self.tokenizer.id_to_token(id);
            let entities = entities::decode(of_text.to_vec(), text, encoding, &decoding, token)?;
            predictions.push(Prediction::Entities(Entities {
                entities,
                n_tokens: encoding.len(),
                truncated: encoding.truncated,
            }));
        }
        Ok(predictions)
    }

    fn fills(&self, texts: &[(Input<'_>, Encoding)]) -> Result<Vec<Prediction>> {
        let mask = self.tokenizer.mask_id();
        let is_mask = |id: &u32| Some(*id) == mask;
        for (input, encoding) in texts {
            single_text(*input, self.task())?;
            if !encoding.ids.iter().any(is_mask) {
                let mask = self.tokenizer.mask_token();
                let reason = if encoding.truncated {
                    format!("there is no {mask} in the part of the text that the model can read")
                } else {
                    format!("there is no {mask} in the text")
                };
                return Err(Error::Input { reason });
            }
        }
        let logits = self.mlm_logits(texts.iter().map(|(_, encoding)| encoding), is_mask)?;
        let mut logits = logits.chunks_exact(self.config.encoder.vocab_size);
        let top_k = self.options.top_k.unwrap_or(TOKENS_PER_MASK);
        let mut predictions = Vec::with_capacity(texts.len());
        for (input, encoding) in texts {
            let mut masks = Vec::new();
            for (id, &(start, end)) in encoding.ids.iter().zip(&encoding.offsets) {
                if !is_mask(id) {
                    continue;
                }
                masks.push(fill_mask::decode(
                    logits.next().unwrap_or_default().to_vec(),
                    top_k,
                    self.engine.cpu,
                    input.first(),
                    start as usize..end as usize,
                    |id| self.tokenizer.id_to_token(id),
                )?);
            }
            predictions.push(Prediction::Fill(Fill {
                masks,
                n_tokens: encoding.len(),
                truncated: encoding.truncated,
            }));
        }
        Ok(predictions)
    }
}

/// Returns the text of an input to a task that takes single texts.
fn single_text(input: Input<'_>, task: Task) -> Result<&str> {
    match input {
        Input::Text(text) => Ok(text),
        Input::Pair(..) => Err(Error::Input {
            reason: format!("{task} takes one text, not a pair"),
        }),
    }
}
