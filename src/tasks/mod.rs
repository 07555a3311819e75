//! What a model's logits mean: one file a task.
//!
//! A head computes logits from rows; the task's file turns them into an answer of [`Prediction`]. Decoding follows the
//! pipelines of transformers, so that the same checkpoint gives the same answer.

pub(crate) mod answering;
pub(crate) mod classification;
pub(crate) mod embedding;
pub(crate) mod entities;
pub(crate) mod fill_mask;
pub(crate) mod heads;
mod prediction;
pub(crate) mod similarity;
pub(crate) mod zero_shot;

pub use answering::AnswerOptions;
pub use classification::Thresholds;
pub use entities::Aggregation;
pub use prediction::{
    Answer, AnswerSpan, Classification, Embedding, Entities, Entity, Fill, LabelScore, Prediction,
    TokenScore,
};
pub use similarity::Similarity;
pub use zero_shot::ZeroShotOptions;

use crate::error::{Error, Result};
use crate::kernels::finite::all_finite;

/// Lets numbers pass that are numbers.
pub(crate) fn finite(what: &str, numbers: &[f32]) -> Result<()> {
    match all_finite(numbers) {
        true => Ok(()),
        false => Err(Error::NonFinite {
            what: what.to_owned(),
        }),
    }
}

/// The place of the largest number; of equal ones, the first.
pub(crate) fn argmax(numbers: &[f32]) -> usize {
    let mut best = 0;
    for (index, &x) in numbers.iter().enumerate() {
        if x > numbers[best] {
            best = index;
        }
    }
    best
}

/// The places of the numbers, largest first; equal ones in their order.
pub(crate) fn descending(numbers: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[b].total_cmp(&numbers[a]));
    order
}
