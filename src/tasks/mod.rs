//! Tasks: one file each, which turns logits into an answer.
//!
//! A head computes logits from hidden states; the task's file decodes them to an answer of [`Prediction`]. Decoding
//! follows the pipelines of transformers, so that a checkpoint gives the answers that it gives there.

pub(crate) mod answering;
pub(crate) mod classification;
pub(crate) mod embedding;
mod embeddings;
pub(crate) mod entities;
pub(crate) mod fill_mask;
pub(crate) mod heads;
mod prediction;
pub(crate) mod similarity;
pub(crate) mod zero_shot;

pub use answering::AnswerOptions;
pub use classification::Thresholds;
pub use embeddings::{Embeddings, cosine_int8, hamming_similarity};
pub use entities::Aggregation;
pub use prediction::{
    Answer, AnswerSpan, Classification, Embedding, Entities, Entity, Fill, LabelScore, Prediction,
    TokenScore,
};
pub use similarity::{Neighbor, Similarity};
pub use zero_shot::ZeroShotOptions;

use crate::error::{Error, Result};
use crate::kernels::finite::all_finite;

/// Refuses values that contain NaN or infinity; `what` names them in the error.
pub(crate) fn check_finite(what: &str, values: &[f32]) -> Result<()> {
    if all_finite(values) {
        Ok(())
    } else {
        Err(Error::NonFinite {
            what: what.to_owned(),
        })
    }
}

/// Index of the largest value; of equal ones, the first.
pub(crate) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, &x) in values.iter().enumerate() {
        if x > values[best] {
            best = index;
        }
    }
    best
}

/// Indices of the values, largest value first; those of equal values in their order.
pub(crate) fn descending(values: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order
}
