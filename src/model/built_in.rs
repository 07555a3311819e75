//! The model that is part of the crate.

use super::{Model, ModelOptions};
use crate::error::Result;

/// `fixtures/default/`, whose README is its card.
static PACKED: &[u8] = crate::include_model!("../../fixtures/default/model.safetensors");

impl Model {
    /// The classifier of English sentiment that comes with the crate (feature `default-model`): `positive` or `negative`, with
    /// a score.
    ///
    /// Three layers of 384 numbers in int8, distilled by this crate from all-MiniLM-L6-v2 fine-tuned on SST-2. What it learned
    /// from, what it scores and what it should not be used for is said by its card, `fixtures/default/README.md`.
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
    /// `Threads` if they cannot be started; `Option` for a `BERTLESS_CPU` that the processor does not have.
    pub fn built_in() -> Result<Self> {
        Self::built_in_with(ModelOptions::default())
    }

    /// The classifier that comes with the crate, with options.
    ///
    /// # Errors
    /// As [`built_in`](Self::built_in), and `Option` for options that it cannot follow.
    pub fn built_in_with(options: ModelOptions) -> Result<Self> {
        Self::from_static_with(PACKED, options)
    }
}
