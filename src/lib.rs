//! BERT for serverless functions, in pure Rust.
//!
//! Runs models of the BERT family on the CPU: [`Model::load`] opens the folder of a Hugging Face or
//! sentence-transformers model, and [`Model::predict`] answers as the model does in Python. The crate brings its own
//! encoder, WordPiece tokenizer and safetensors loader; it needs no shared library, no C compiler and no network.
//!
//! ```
//! # #[cfg(feature = "default-model")]
//! # fn main() -> bertless::Result<()> {
//! let model = bertless::Model::built_in()?; // feature `default-model`: sentiment of English texts
//! let prediction = model.predict("A great film, with wonderful acting!")?;
//! assert_eq!(prediction.label(), Some("positive"));
//!
//! // Many at once, from anything that holds strings. Each answer is the one that the text gets alone.
//! let texts = vec!["An absolute delight.".to_owned(), "A dull, lifeless mess.".to_owned()];
//! for prediction in model.predict_batch(&texts)? {
//!     println!("{:?} {:?}", prediction.label(), prediction.score());
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "default-model"))]
//! # fn main() {}
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
//! # Where models come from
//! [`Model::load`] opens the folder of a model that was downloaded from the Hugging Face Hub, for example with
//! `hf download sentence-transformers/all-MiniLM-L6-v2 --local-dir all-MiniLM-L6-v2`. It needs `config.json`,
//! `model.safetensors`, the tokenizer's files and, for embedding models, `modules.json` and the folders that it names.
//!
//! [`Model::pack`] turns a folder into one packed file, which holds weights and vocabulary in the layout that inference
//! uses. [`Model::load`] opens the file; [`Model::from_bytes`] opens one that is embedded in the program
//! ([`include_model!`]) or was received from an object store, and [`Model::from_reader`] one that is being received.
//!
//! # Many callers
//! All methods take `&self`. Share a model by reference or in an `Arc`; several wrappers can share one, too. A call
//! blocks until it has its answer, so asynchronous programs make it in `spawn_blocking`. As many calls as the model has
//! [`threads`](Model::threads) at a time give the best latency: a semaphore with that many permits keeps others
//! waiting in order. [`PredictOptions`] set a deadline, or a token by which another thread cancels the call.
//!
//! # Debug builds
//! Without optimisation a prediction takes some 200 times as long. This keeps a program's own code debuggable and the
//! library fast:
//!
//! ```toml
//! [profile.dev.package.bertless]
//! opt-level = 3
//! debug = false
//! ```
//!
//! # Features
//! - `mmap`: memory-maps weight files, for callers that can promise that the files do not change
//!   ([`ModelOptions::map`]).
//! - `cli`: the `bertless` command.
//! - `default-model`: [`Model::built_in`], a sentiment classifier for English.
//! - `train`: fine-tuning and distillation.

mod batch;
mod config;
mod encoder;
mod error;
mod kernels;
mod layers;
pub mod metrics;
mod model;
mod names;
mod surrogates;
mod tasks;
mod tokenizer;
#[cfg(feature = "train")]
pub mod train;
mod weights;

pub use batch::{AsInput, Encoding, Input};
pub use config::{Family, Pooling, ScoreFunction, Task};
pub use error::{Error, ErrorKind, Result};
pub use kernels::gemm::Dtype;
pub use model::{
    CancelToken, Classifier, Combine, Embedder, LongTexts, MaskFiller, Model, ModelOptions, Packed,
    PackedSection, PredictOptions, QuestionAnswerer, Ranked, Reranker, Summary, TokenClassifier,
    ZeroShot,
};
pub use ndarray;
pub use surrogates::replace_lone_surrogates;
pub use tasks::{
    Aggregation, Answer, AnswerOptions, AnswerSpan, Classification, Embedding, Embeddings,
    Entities, Entity, Fill, LabelScore, Neighbor, Prediction, Similarity, Thresholds, TokenScore,
    ZeroShotOptions, cosine_int8, hamming_similarity,
};
pub use tokenizer::{Tokenizer, TokenizerWarning, Truncation, TruncationStrategy};
pub use weights::{
    ModelFiles, PackOptions, PackedMatrix, PackedSummary, QuantizationOutcome, WeightFormat,
};

/// Embeds a packed model in the program, as a `&'static [u8]` for [`Model::from_bytes`], aligned to 64 bytes. The path
/// follows the rules of [`include_bytes!`].
///
/// ```ignore
/// let model = bertless::Model::from_bytes(bertless::include_model!("model.safetensors"))?;
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
