//! Zero-shot classification with an entailment model.

use super::Model;
use super::call::Output;
use super::predict_options::PredictOptions;
use crate::batch::Encoding;
use crate::config::Task;
use crate::error::Result;
use crate::tasks::heads::Head;
use crate::tasks::{Classification, zero_shot};
use crate::tokenizer::{Truncation, TruncationStrategy};

impl Model {
    /// Classifies a text by labels that the model was not trained on, with an entailment (NLI) model.
    ///
    /// # Errors
    /// `WrongTask` if the model is not a classifier, `Input` if neither its files nor the options say which of its
    /// labels means entailment.
    pub fn zero_shot<S: AsRef<str>>(
        &self,
        text: &str,
        labels: impl IntoIterator<Item = S>,
    ) -> Result<Classification> {
        self.zero_shot_with(text, labels, &self.options.calls)
    }

    /// Classifies a text by labels that the model was not trained on, with options, of which
    /// [`zero_shot`](PredictOptions::zero_shot) sets the template.
    ///
    /// # Errors
    /// Those of [`zero_shot`](Self::zero_shot) and [`predict_with`](Self::predict_with); `Option` for a template
    /// without `{}` and for an entailment label that the model does not have.
    pub fn zero_shot_with<S: AsRef<str>>(
        &self,
        text: &str,
        labels: impl IntoIterator<Item = S>,
        options: &PredictOptions,
    ) -> Result<Classification> {
        let Head::Sequence(head) = &self.head else {
            return Err(self.wrong_task("zero-shot classification"));
        };
        let labels: Vec<S> = labels.into_iter().collect();
        let labels: Vec<&str> = labels.iter().map(AsRef::as_ref).collect();
        let zero_shot = &options.zero_shot;
        let entailment = zero_shot::entailment(&self.config.head, zero_shot)?;
        let call = self.call_for(Output::Logits, options)?;
        let truncation = Truncation {
            strategy: TruncationStrategy::OnlyFirst,
            ..Truncation::to(call.max_length)
        };
        let tokenize = |label: &&str| {
            let hypothesis = zero_shot.hypothesis(label)?;
            self.tokenizer
                .encode((text, hypothesis.as_str()), Some(&truncation))
        };
        let encodings: Vec<Encoding> = labels.iter().map(tokenize).collect::<Result<_>>()?;
        let mut logits = Vec::new();
        for batch in self.token_batches(&encodings, |encoding| encoding.len()) {
            logits.extend(call.text_logits(head, batch)?);
        }
        let count = self.labels().len();
        let cpu = self.engine.cpu;
        let mut answer = zero_shot::decode(&logits, count, entailment, &labels, zero_shot, cpu)?;
        answer.scores.truncate(options.top_k.unwrap_or(usize::MAX));
        answer.n_tokens = encodings.iter().map(Encoding::len).sum();
        answer.truncated = encodings.iter().any(|encoding| encoding.truncated);
        Ok(answer)
    }

    /// Label of an entailment (NLI) model that means entailment: the one that begins with "entail". `None` if there is
    /// no such label.
    ///
    /// [`zero_shot`](Self::zero_shot) uses it unless
    /// [`ZeroShotOptions::entailment_label`](crate::ZeroShotOptions::entailment_label) names another.
    pub fn entailment_label(&self) -> Option<&str> {
        let id = self.config.head.entailment?;
        match self.task() {
            Task::Classification => self.labels().get(id).map(String::as_str),
            _ => None,
        }
    }
}
