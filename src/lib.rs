//! BERT for serverless functions, in pure Rust.

pub mod batch;
mod config;
mod encoder;
pub mod error;
mod kernels;
mod layers;
pub mod metrics;
mod model;
mod tasks;
pub mod tokenizer;
mod weights;

pub use batch::{Batch, Encoding, Input};
pub use config::{Family, Pooling, ScoreFunction, Task};
pub use error::{Error, Result};
pub use model::{
    Classifier, Embedder, MaskFiller, Model, ModelOptions, QuestionAnswerer, Ranked, Reranker,
    Summary, TokenClassifier, ZeroShot,
};
pub use tasks::{
    Aggregation, Answer, AnswerOptions, AnswerSpan, Classification, Embedding, Entities, Entity,
    Fill, LabelScore, Prediction, Similarity, Thresholds, TokenScore, ZeroShotOptions,
};
pub use tokenizer::{Tokenizer, Truncation, TruncationStrategy};
pub use weights::Files;
#[cfg(feature = "mmap")]
pub use weights::MapContract;
