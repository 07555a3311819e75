//! The sentiment classifier that is embedded in the crate.

use super::{Model, ModelOptions};
use crate::error::Result;

/// Packed model of `fixtures/default/`, whose README is its model card.
static PACKED: &[u8] = crate::include_model!("../../fixtures/default/model.safetensors");

impl Model {
    /// The classifier of English sentiment that comes with the crate (feature `default-model`): `positive` or `negative`, with
    /// a score.
    ///
    /// Has three layers of hidden size 384 in int8, distilled by this crate from all-MiniLM-L6-v2 fine-tuned on SST-2.
    /// Its model card, `fixtures/default/README.md`, describes training data, scores and limits.
    ///
    /// ```
    /// # fn main() -> bertless::Result<()> {
    /// let model = bertless::Model::built_in()?;
    /// assert_eq!(model.predict("An absolute delight.")?.label(), Some("positive"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Threads` if threads cannot be started; `Option` if the processor lacks the instruction set that `BERTLESS_CPU`
    /// names.
    pub fn built_in() -> Result<Self> {
        Self::built_in_with(ModelOptions::default())
    }

    /// The English sentiment classifier that comes with the crate, opened with options.
    ///
    /// # Errors
    /// Those of [`built_in`](Self::built_in), and `Option` for options that the model cannot follow.
    pub fn built_in_with(options: ModelOptions) -> Result<Self> {
        Self::from_bytes_with(PACKED, options)
    }
}
