//! Options of a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Model;
use crate::config::Task;
use crate::error::{Error, Result};
use crate::kernels::Interrupt;
use crate::names::named;
use crate::tasks::{Aggregation, AnswerOptions, Thresholds, ZeroShotOptions};

/// Options of one call. What is not set follows the model's files.
///
/// Options that concern another task than the model's have no effect, except that [`thresholds`](Self::thresholds) and
/// [`prompt`](Self::prompt) of a model that has none are errors.
///
/// ```
/// # fn main() -> bertless::Result<()> {
/// # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/bert-classify");
/// use std::time::Duration;
///
/// use bertless::{Model, PredictOptions};
///
/// let model = Model::load(dir)?;
/// let options = PredictOptions::new().top_k(1).time_limit(Duration::from_secs(10));
/// let prediction = model.predict_with("A great film.", &options)?;
/// # assert!(prediction.label().is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct PredictOptions {
    pub(super) top_k: Option<usize>,
    pub(super) max_length: Option<usize>,
    pub(super) long_texts: LongTexts,
    pub(super) thresholds: Option<Thresholds>,
    pub(super) aggregation: Aggregation,
    pub(super) answers: AnswerOptions,
    pub(super) zero_shot: ZeroShotOptions,
    pub(super) prompt: Prompt,
    deadline: Option<Instant>,
    cancel: Option<CancelToken>,
}

/// Prompt that goes in front of every text to embed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Prompt {
    /// The model's default prompt, if its files name one.
    #[default]
    Default,
    /// The prompt of this name in the model's files.
    Named(String),
    /// This text.
    Prefix(String),
}

/// Treatment of a text that has more tokens than the model reads at once.
///
/// It applies to classification, entities and embeddings. The context of a question is always read in windows
/// ([`AnswerOptions`]), and texts with masks are always cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LongTexts {
    /// Cuts the text off at its end. The answer says so (`truncated`).
    #[default]
    Truncate,
    /// Reads the text in overlapping windows and combines what the model says of each.
    Windows {
        /// Number of tokens that two neighbouring windows share. Default: a quarter of a window.
        stride: Option<usize>,
        /// Rule that combines logits or embeddings. Entities are always merged: of two that overlap, the longer one
        /// counts, and of two equally long ones the one with the higher score.
        combine: Combine,
    },
}

/// Rule that combines what the model says of the windows of a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Combine {
    /// Takes the mean of each logit, or of each component of the embeddings.
    #[default]
    Mean,
    /// Takes the maximum of each logit, or of each component of the embeddings.
    Max,
}

named!(Combine, "combine", Mean => "mean", Max => "max");

/// Flag by which another thread ends calls early. Clones share the flag.
///
/// ```
/// use bertless::{CancelToken, PredictOptions};
///
/// let token = CancelToken::new();
/// let options = PredictOptions::new().cancel(token.clone());
/// // In the thread that notices that the client has left:
/// token.cancel();
/// # assert!(token.is_cancelled());
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Creates a token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the calls that have this token. They return [`Error::Cancelled`] after the step that they are computing.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl PredictOptions {
    /// Creates options with nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the number of scores, of answers, of tokens per mask, or of passages that an answer holds. Default: all
    /// scores and passages, one answer, five tokens.
    #[must_use]
    pub fn top_k(mut self, top_k: usize) -> Self {
        self.top_k = Some(top_k);
        self
    }

    /// Sets the maximum number of tokens of a text, or of a window, special tokens included. Default: the model's
    /// [`max_length`](Model::max_length).
    #[must_use]
    pub fn max_length(mut self, tokens: usize) -> Self {
        self.max_length = Some(tokens);
        self
    }

    /// Sets what happens with texts that have more tokens than the model reads at once. Default: their end is cut off.
    #[must_use]
    pub fn long_texts(mut self, long_texts: LongTexts) -> Self {
        self.long_texts = long_texts;
        self
    }

    /// Reads long texts in overlapping windows of which neighbours share a quarter, and takes the mean of what the
    /// model says of them. [`long_texts`](Self::long_texts) has other settings.
    #[must_use]
    pub fn windows(self) -> Self {
        self.long_texts(LongTexts::Windows {
            stride: None,
            combine: Combine::Mean,
        })
    }

    /// Sets the scores, from 0 to 1, from which on labels of a multi-label classifier hold. A call fails for any other
    /// model.
    #[must_use]
    pub fn thresholds(mut self, thresholds: Thresholds) -> Self {
        self.thresholds = Some(thresholds);
        self
    }

    /// Sets how labels of tokens are merged into entities.
    #[must_use]
    pub fn aggregation(mut self, aggregation: Aggregation) -> Self {
        self.aggregation = aggregation;
        self
    }

    /// Sets the options of question answering; [`top_k`](Self::top_k) overrides their `top_k`.
    #[must_use]
    pub fn answers(mut self, answers: AnswerOptions) -> Self {
        self.answers = answers;
        self
    }

    /// Sets the options of zero-shot classification.
    #[must_use]
    pub fn zero_shot(mut self, zero_shot: ZeroShotOptions) -> Self {
        self.zero_shot = zero_shot;
        self
    }

    /// Sets the prompt that goes in front of every text to embed, by its name in `config_sentence_transformers.json`.
    #[must_use]
    pub fn prompt(mut self, name: impl Into<String>) -> Self {
        self.prompt = Prompt::Named(name.into());
        self
    }

    /// Sets a text that goes in front of every text to embed, such as `"query: "`. For models whose authors ask for a
    /// prompt that no file names, such as E5.
    #[must_use]
    pub fn prefix(mut self, text: impl Into<String>) -> Self {
        self.prompt = Prompt::Prefix(text.into());
        self
    }

    /// Sets the time at which the call ends with [`Error::DeadlineExceeded`], unless it has ended. The clock is looked
    /// at several times per layer.
    #[must_use]
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets the deadline to a time from now on, not from the start of the call.
    #[must_use]
    pub fn time_limit(self, limit: Duration) -> Self {
        match Instant::now().checked_add(limit) {
            Some(deadline) => self.deadline(deadline),
            None => self,
        }
    }

    /// Sets a token by which another thread can end the call with [`Error::Cancelled`].
    #[must_use]
    pub fn cancel(mut self, token: CancelToken) -> Self {
        self.cancel = Some(token);
        self
    }

    pub(super) fn interrupt(&self) -> Interrupt {
        let flag = self.cancel.as_ref().map(|token| Arc::clone(&token.0));
        Interrupt::new(flag, self.deadline)
    }

    /// Refuses options that do not fit the model.
    pub(super) fn check(&self, model: &Model) -> Result<()> {
        let wrong = |name, reason: &str| {
            Err(Error::Option {
                name,
                reason: reason.to_owned(),
            })
        };
        if self.top_k == Some(0) {
            return wrong("top_k", "0 is too few");
        }
        self.answers.check()?;
        if let Some(thresholds) = &self.thresholds {
            thresholds.check(&model.config.head)?;
        }
        if let Some(max_length) = self.max_length {
            super::load::check_max_length(&model.config, &model.tokenizer, max_length)?;
        }
        let windows = matches!(self.long_texts, LongTexts::Windows { .. });
        if windows
            && self.aggregation == Aggregation::None
            && model.task() == Task::TokenClassification
        {
            return wrong(
                "long_texts",
                "labels of single tokens cannot be merged over windows: choose another aggregation than none",
            );
        }
        Ok(())
    }
}
