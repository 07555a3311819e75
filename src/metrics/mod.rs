//! How good answers are: the figures that papers report, by their usual definitions.
//!
//! Figures are fractions and correlations lie between -1 and 1; nothing is multiplied by a hundred. Where a ratio has
//! nothing under its line it counts as 0, as in scikit-learn. Nothing here knows a model: what is expected and what was
//! predicted come as plain pairs, so that they cannot differ in number.

mod answers;
mod classes;
mod correlation;
mod spans;

pub use answers::{answer_f1, exact_match};
pub use classes::{accuracy, macro_f1, matthews, multi_label_f1};
pub use correlation::{pearson, spearman};
pub use spans::{Span, span_f1, spans};

/// Two ways to put the F1 of several labels into one figure.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct MicroMacro {
    /// Over all decisions together, so that frequent labels weigh more.
    pub micro: f64,
    /// The mean of the labels' own F1, so that all labels weigh the same.
    #[serde(rename = "macro")]
    pub macro_: f64,
}

/// Precision, recall and their harmonic mean.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct F1 {
    /// The share of what was predicted that is right.
    pub precision: f64,
    /// The share of what was expected that was found.
    pub recall: f64,
    /// `2 precision recall / (precision + recall)`.
    pub f1: f64,
}

/// Right and wrong decisions about one label.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    right: usize,
    predicted: usize,
    expected: usize,
}

impl Counts {
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

fn ratio(above: f64, below: f64) -> f64 {
    if below == 0.0 { 0.0 } else { above / below }
}
