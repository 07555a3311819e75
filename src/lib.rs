//! BERT for serverless functions, in pure Rust.
//!
//! A text goes in, the right answer comes out: [`Model::load`] opens the folder of a Hugging Face or
//! sentence-transformers model of the BERT family, and [`Model::predict`] answers as the same model does in Python. The
//! crate brings its own encoder, WordPiece tokenizer and safetensors loader; it needs no shared library, no C compiler
//! and no network.
//!
//! ```
//! # fn main() -> bertless::Result<()> {
//! # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/bert-classify");
//! let model = bertless::Model::load(dir)?;
//! let prediction = model.predict("A great film, with wonderful acting!")?;
//! assert_eq!(prediction.label(), Some("negative"));
//!
//! // A pair, and many at once.
//! model.predict(("The premise.", "The hypothesis."))?;
//! model.predict_batch(&["one text", "another text"])?;
//! # Ok(())
//! # }
//! ```
//!
//! | to get | from | use |
//! |---|---|---|
//! | labels of a text or a pair | a sequence classifier | [`Classifier`] |
//! | a vector, or how alike two texts are | an embedding model | [`Embedder`] |
//! | passages in the order in which they fit a query | a cross-encoder, or an embedding model | [`Reranker`] |
//! | names of people and places in a text | a token classifier | [`TokenClassifier`] |
//! | the answer to a question in a context | a question answerer | [`QuestionAnswerer`] |
//! | the word behind a mask | a masked-language model | [`MaskFiller`] |
//! | labels that nobody trained | a model of entailment | [`ZeroShot`] |
//! | any of these, decided by the checkpoint | | [`Model`] |
//!
//! Families: BERT (and so TinyBERT, MiniLM, BGE, E5, GTE), DistilBERT, ELECTRA, MobileBERT, MPNet.
//!
//! An answer never depends on what else is in a batch, on the order of texts or on the number of threads: the same text
//! gives the same bits on the same instruction set.
//!
//! [`Model::pack`] makes one file of a folder, with weights and vocabulary as they are used: [`Model::load`] opens it, or
//! [`Model::from_static`] as a part of the program ([`include_model!`]), where they lie.
//!
//! # Features
//! - `mmap`: opens weight files by mapping them, for callers who vouch that nobody changes them ([`ModelOptions::map`]).
//! - `cli`: the `bertless` command.
//! - `default-model`: `Model::built_in`, a classifier of sentiment.
//! - `train`: fine-tuning and distillation.

mod batch;
mod config;
mod encoder;
mod error;
mod kernels;
mod layers;
pub mod metrics;
mod model;
mod surrogates;
mod tasks;
mod tokenizer;
#[cfg(feature = "train")]
pub mod train;
mod weights;

pub use batch::{Encoding, Input};
pub use config::{Family, Pooling, ScoreFunction, Task};
pub use error::{Error, Result};
pub use kernels::gemm::Dtype;
pub use model::{
    Classifier, Embedder, MaskFiller, Model, ModelOptions, Packed, PackedKind, QuestionAnswerer,
    Ranked, Reranker, Summary, TokenClassifier, ZeroShot,
};
pub use surrogates::replace_lone_surrogates;
pub use tasks::{
    Aggregation, Answer, AnswerOptions, AnswerSpan, Classification, Embedding, Entities, Entity,
    Fill, LabelScore, Prediction, Similarity, Thresholds, TokenScore, ZeroShotOptions,
};
pub use tokenizer::{Tokenizer, TokenizerWarning, Truncation, TruncationStrategy};
pub use weights::{Files, PackOptions, PackedMatrix, PackedSummary, Precision, Stored};

/// A packed model as a part of the program, at an address that is a multiple of 64: `&'static [u8]` for
/// [`Model::from_static`]. The path is as [`include_bytes!`] takes it.
///
/// ```ignore
/// let model = bertless::Model::from_static(bertless::include_model!("model.safetensors"))?;
/// ```
#[macro_export]
macro_rules! include_model {
    ($path:expr $(,)?) => {{
        #[repr(C, align(64))]
        struct Aligned<T: ?Sized>(T);
        static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &MODEL.0
    }};
}
