//! Evaluation metrics by their usual definitions: accuracy, F1, Matthews' correlation, Pearson, Spearman, SQuAD, entities.
//!
//! Accuracy and F1 are fractions from 0 to 1, correlations lie between -1 and 1; no value is a percentage. A ratio with
//! denominator 0 is 0, as in scikit-learn. Functions take (expected, predicted) pairs rather than two lists, which could differ
//! in length. No function depends on a model.

mod answers;
mod classes;
mod correlation;
mod spans;

pub use answers::{answer_f1, exact_match};
pub use classes::{accuracy, macro_f1, matthews, multi_label_f1};
pub use correlation::{pearson, spearman};
pub use spans::{Span, span_f1, spans};

/// F1 over several labels, averaged in two ways.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct MicroMacro {
    /// Micro-averaged F1: over all decisions together, so frequent labels weigh more.
    pub micro: f64,
    /// Macro-averaged F1: the mean of the F1 of each label, so all labels weigh the same.
    #[serde(rename = "macro")]
    pub macro_: f64,
}

/// WeightFormat, recall and their harmonic mean.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct F1 {
    /// Fraction of the predicted items that are correct.
    pub precision: f64,
    /// Fraction of the expected items that were predicted.
    pub recall: f64,
    /// Harmonic mean of both: `2 precision recall / (precision + recall)`.
    pub f1: f64,
}

/// Counts of correct, predicted and expected decisions for one label.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    right: usize,
    predicted: usize,
    expected: usize,
}

impl Counts {
    /// Computes precision, recall and F1.
    fn scores(self) -> F1 {
        F1 {
            precision: ratio(self.right as f64, self.predicted as f64),
            recall: ratio(self.right as f64, self.expected as f64),
            f1: ratio(
                2.0 * self.right as f64,
                (self.predicted + self.expected) as f64,
            ),
        }
    }
}

/// Divides, with 0 for a denominator of 0.
fn ratio(above: f64, below: f64) -> f64 {
    if below == 0.0 { 0.0 } else { above / below }
}
