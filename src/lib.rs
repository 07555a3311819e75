//! BERT for serverless functions, in pure Rust.
//!
//! Runs models of the BERT family on the CPU: [`Model::load`] opens the folder of a Hugging Face or
//! sentence-transformers model, and [`Model::predict`] answers as the model does in Python. The crate brings its own
//! encoder, WordPiece tokenizer and safetensors loader; it needs no shared library, no C compiler and no network.
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
//! | a vector, or the similarity of two texts | an embedding model | [`Embedder`] |
//! | passages ranked by relevance to a query | a cross-encoder, or an embedding model | [`Reranker`] |
//! | names of people and places in a text | a token classifier | [`TokenClassifier`] |
//! | the answer to a question in a context | a question answerer | [`QuestionAnswerer`] |
//! | the word behind a mask | a masked-language model | [`MaskFiller`] |
//! | labels that a model was not trained on | an entailment (NLI) model | [`ZeroShot`] |
//! | any of these, decided by the checkpoint | | [`Model`] |
//!
//! Families: BERT (and so TinyBERT, MiniLM, BGE, E5, GTE), DistilBERT, ELECTRA, MobileBERT, MPNet.
//!
//! An answer never depends on the other texts of a batch, on their order or on the number of threads: on one
//! instruction set, a text always gives the same bits.
//!
//! [`Model::pack`] turns a folder into one packed file, which holds weights and vocabulary in the layout that inference
//! uses. [`Model::load`] opens the file; [`Model::from_static`] opens one that is embedded in the program
//! ([`include_model!`]) and uses its weights in place.
//!
//! # Features
//! - `mmap`: memory-maps weight files, for callers that can promise that the files do not change
//!   ([`ModelOptions::map`]).
//! - `cli`: the `bertless` command.
//! - `default-model`: `Model::built_in`, a sentiment classifier for English.
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

/// Embeds a packed model in the program, as a `&'static [u8]` for [`Model::from_static`], aligned to 64 bytes. The path
/// follows the rules of [`include_bytes!`].
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
