//! The roof: text goes in, an answer comes out. The only place that knows text, encoder and task at once.

mod answer;
mod ask;
#[cfg(feature = "default-model")]
mod built_in;
mod doors;
mod load;
mod options;
mod pack;
mod pass;

use serde::Serialize;

pub use ask::Ranked;
pub use doors::{
    Classifier, Embedder, MaskFiller, QuestionAnswerer, Reranker, TokenClassifier, ZeroShot,
};
#[cfg(feature = "train")]
pub(crate) use load::engine;
pub use options::ModelOptions;
pub use pack::{Packed, PackedKind};

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

/// How many words a mask gets if nobody says otherwise, as in transformers.
const WORDS_PER_MASK: usize = 5;

/// A model, ready to answer.
///
/// What it answers is what its checkpoint was trained for; [`Prediction`] holds any of it, and [`Classifier`],
/// [`Embedder`] and their kin are for callers who know. A model is shared by reference: all that it does takes
/// `&self`, from any number of threads.
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
    /// Memory to compute in, one for each caller.
    scratch: BufferPool<Scratch>,
    summary: Summary,
}

/// What a model is, in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Which kin of BERT.
    pub family: Family,
    /// The class that config.json names; empty if it names none.
    pub architecture: String,
    /// What it was trained to do.
    pub task: Task,
    /// How many layers.
    pub layers: usize,
    /// Width of the rows between them.
    pub hidden: usize,
    /// Heads of attention in each.
    pub heads: usize,
    /// Rows of the word-embedding table.
    pub vocabulary: usize,
    /// The most tokens of a text.
    pub max_length: usize,
    /// Names of the labels, by id.
    pub labels: Vec<String>,
    /// How a classifier's logits become scores.
    pub score: Option<ScoreFunction>,
    /// How rows become an embedding; of an embedding model.
    pub pooling: Vec<Pooling>,
    /// Width of an embedding; of an embedding model.
    pub embedding: Option<usize>,
    /// How many numbers the checkpoint holds.
    pub parameters: usize,
    /// The bytes of its files.
    pub bytes: usize,
    /// The type that most of them are stored in.
    pub dtype: String,
    /// What a packed file says of itself; `None` for a folder.
    pub packed: Option<PackedSummary>,
}

impl Model {
    /// Answers about a text or a pair.
    ///
    /// A text that is longer than the model is cut off at its end, and the answer says so; a question's context is
    /// read to its end in windows.
    ///
    /// # Errors
    /// `Input` if the text is not of the form that the task needs, `EmbeddingOutOfRange` if tokenizer and weights do not
    /// belong together, `NonFinite` if the weights lead to no number.
    pub fn predict<'a>(&self, input: impl Into<Input<'a>>) -> Result<Prediction> {
        let input = input.into();
        if self.config.head.task == Task::QuestionAnswering {
            return self.answer_pair(input).map(Prediction::Answer);
        }
        let encoding = self.read_after(self.own_prompt(), input)?;
        let mut predictions = self.predict_chunk(&[(input, encoding)])?;
        predictions.pop().ok_or_else(|| Error::Input {
            reason: "nothing was asked".to_owned(),
        })
    }

    /// Answers about many texts or pairs, in their order. Each answer is, bit for bit, the one that its text gets alone.
    ///
    /// Memory is bounded by the answers: texts are read and computed a few at a time.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); an `Input` error says which text it is about, counted from 0.
    pub fn predict_batch<'a, I>(&self, inputs: &'a [I]) -> Result<Vec<Prediction>>
    where
        &'a I: Into<Input<'a>>,
    {
        if self.config.head.task == Task::QuestionAnswering {
            let answers = self.answer_pairs(inputs.iter().map(Into::into))?;
            return Ok(answers.into_iter().map(Prediction::Answer).collect());
        }
        let mut predictions = Vec::with_capacity(inputs.len());
        self.in_chunks(inputs, self.own_prompt(), |chunk| {
            predictions.extend(self.predict_chunk(chunk)?);
            Ok(())
        })?;
        Ok(predictions)
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// What the model was trained to do.
    pub fn task(&self) -> Task {
        self.config.head.task
    }

    /// Names of the labels, by id; empty for tasks without labels.
    pub fn labels(&self) -> &[String] {
        &self.config.head.labels
    }

    /// The most tokens of a text, special ones included.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// The most tokens that its tables have positions for, special ones included; `max_length` may be less.
    pub fn max_positions(&self) -> usize {
        self.config.encoder.max_tokens()
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        self.engine.threads.count()
    }

    /// The name of the instruction set that it computes with, as the environment variable `BERTLESS_CPU` takes it.
    pub fn instruction_set(&self) -> &'static str {
        self.engine.cpu.name()
    }

    /// What the encoder's dense layers compute in.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// What the model is, in short.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What stands on top of the encoder.
    #[cfg(feature = "train")]
    pub(crate) fn head(&self) -> &HeadConfig {
        &self.config.head
    }

    /// The tokens that the model reads of a text, cut to its limit.
    fn read(&self, input: Input<'_>) -> Result<Encoding> {
        self.tokenizer
            .encode(input, Some(&Truncation::to(self.max_length)))
    }

    /// The same of a text, or the first of a pair, with a prompt ahead of it.
    fn read_after(&self, prompt: Option<&str>, input: Input<'_>) -> Result<Encoding> {
        let Some(prompt) = prompt.filter(|prompt| !prompt.is_empty()) else {
            return self.read(input);
        };
        let first = format!("{prompt}{}", input.first());
        self.read(match input {
            Input::Text(_) => Input::Text(&first),
            Input::Pair(_, second) => Input::Pair(&first, second),
        })
    }

    /// The prompt of a model whose answers are embeddings.
    fn own_prompt(&self) -> Option<&str> {
        match self.head {
            Head::Rows => self.prompt(),
            _ => None,
        }
    }

    /// Answers about texts that are computed together; any task but question answering.
    fn predict_chunk(&self, chunk: &[(Input<'_>, Encoding)]) -> Result<Vec<Prediction>> {
        let encodings = || chunk.iter().map(|(_, encoding)| encoding);
        match &self.head {
            Head::Rows => {
                let skip = self.unpooled(self.own_prompt())?;
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
                rows.zip(chunk)
                    .map(|(logits, (_, encoding))| self.classification(logits, encoding))
                    .collect()
            }
            Head::Tokens(_) => self.entities(chunk),
            Head::Words(_) => self.fills(chunk),
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

    fn entities(&self, chunk: &[(Input<'_>, Encoding)]) -> Result<Vec<Prediction>> {
        let labels = self.labels();
        let decoding = Decoding {
            labels,
            aggregation: self.options.aggregation,
            unknown: self.tokenizer.unk_id(),
            cpu: self.engine.cpu,
        };
        let logits = self.token_logits(chunk.iter().map(|(_, encoding)| encoding))?;
        let mut logits = logits.as_slice();
        let mut predictions = Vec::with_capacity(chunk.len());
        for (input, encoding) in chunk {
            let text = single_text(*input, self.task())?;
            let (own, rest) = logits.split_at(encoding.len() * labels.len());
            logits = rest;
            let token = |id| self.tokenizer.id_to_token(id);
            let entities = entities::decode(own.to_vec(), text, encoding, &decoding, token)?;
            predictions.push(Prediction::Entities(Entities {
                entities,
                n_tokens: encoding.len(),
                truncated: encoding.truncated,
            }));
        }
        Ok(predictions)
    }

    fn fills(&self, chunk: &[(Input<'_>, Encoding)]) -> Result<Vec<Prediction>> {
        let mask = self.tokenizer.mask_id();
        let is_mask = |id: &u32| Some(*id) == mask;
        for (input, encoding) in chunk {
            single_text(*input, self.task())?;
            if !encoding.ids.iter().any(is_mask) {
                let mask = self.tokenizer.mask_token();
                let reason = match encoding.truncated {
                    true => format!(
                        "there is no {mask} in the part of the text that the model can read"
                    ),
                    false => format!("there is no {mask} in the text"),
                };
                return Err(Error::Input { reason });
            }
        }
        let logits = self.word_logits(chunk.iter().map(|(_, encoding)| encoding), is_mask)?;
        let mut logits = logits.chunks_exact(self.config.encoder.vocab_size);
        let top_k = self.options.top_k.unwrap_or(WORDS_PER_MASK);
        let mut predictions = Vec::with_capacity(chunk.len());
        for (input, encoding) in chunk {
            let mut masks = Vec::new();
            for (id, &(start, end)) in encoding.ids.iter().zip(&encoding.offsets) {
                if !is_mask(id) {
                    continue;
                }
                let place = (start as usize, end as usize);
                masks.push(fill_mask::decode(
                    logits.next().unwrap_or_default().to_vec(),
                    top_k,
                    self.engine.cpu,
                    input.first(),
                    place,
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

/// The text of an input to a task that takes one.
fn single_text(input: Input<'_>, task: Task) -> Result<&str> {
    match input {
        Input::Text(text) => Ok(text),
        Input::Pair(..) => Err(Error::Input {
            reason: format!("{task} takes one text, not a pair"),
        }),
    }
}
