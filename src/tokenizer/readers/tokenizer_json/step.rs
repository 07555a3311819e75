//! A normalizer or a pre-tokenizer of a `tokenizer.json`.

use serde::Deserialize;

use crate::tokenizer::normalizer::Normalizer;
use crate::tokenizer::quote::cut;

/// A normalizer or a pre-tokenizer of any type, with the settings of the supported types.
#[derive(Debug, Deserialize)]
pub(super) struct PipelineStep {
    pub(super) r#type: String,
    pub(super) clean_text: Option<bool>,
    handle_chinese_chars: Option<bool>,
    strip_accents: Option<bool>,
    lowercase: Option<bool>,
    /// The steps, if this is a sequence of normalizers.
    #[serde(default)]
    normalizers: Vec<PipelineStep>,
    /// The steps, if this is a sequence of pre-tokenizers.
    #[serde(default)]
    pretokenizers: Vec<PipelineStep>,
}

pub(super) const BERT_NORMALIZER: &str = "BertNormalizer";
const LOWERCASE: &str = "Lowercase";
pub(super) const BERT_PRE_TOKENIZER: &str = "BertPreTokenizer";
const SEQUENCE: &str = "Sequence";

impl PipelineStep {
    /// Adds this step to `normalizer`.
    ///
    /// # Errors
    /// Says why the step cannot be followed exactly.
    pub(super) fn add_to(&self, normalizer: &mut Normalizer) -> Result<(), String> {
        match self.r#type.as_str() {
            BERT_NORMALIZER => {
                let lower_first = normalizer.lower_first;
                let before = Normalizer {
                    lower_first,
                    ..Normalizer::NONE
                };
                if *normalizer != before {
                    return Err(format!(
                        "{BERT_NORMALIZER} is supported once, and after {LOWERCASE} alone"
                    ));
                }
                *normalizer = Normalizer {
                    lower_first,
                    clean: self.clean_text.unwrap_or(true),
                    chinese: self.handle_chinese_chars.unwrap_or(true),
                    strip_accents: self.strip_accents,
                    lower: self.lowercase.unwrap_or(true),
                };
                Ok(())
            }
            LOWERCASE if *normalizer == Normalizer::NONE => {
                normalizer.lower_first = true;
                Ok(())
            }
            // Lower-casing twice differs from once only in the final form of a dotted capital I, which is decomposed by
            // then.
            LOWERCASE => {
                normalizer.strip_accents = Some(normalizer.strips());
                normalizer.lower = true;
                Ok(())
            }
            SEQUENCE => self
                .normalizers
                .iter()
                .try_for_each(|step| step.add_to(normalizer)),
            other => Err(format!(
                "{} is not supported, only {BERT_NORMALIZER} and {LOWERCASE} are",
                cut(other)
            )),
        }
    }

    fn is_sequence(&self) -> bool {
        self.r#type == SEQUENCE
    }
}

/// Shows the type, such as `Whitespace`, and for a sequence also those of its steps: `Sequence [NFD, Lowercase]`.
impl std::fmt::Display for PipelineStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.is_sequence() {
            return f.write_str(&cut(&self.r#type));
        }
        let steps = self.normalizers.iter().chain(&self.pretokenizers);
        let names: Vec<&str> = steps.map(|step| step.r#type.as_str()).collect();
        write!(f, "{SEQUENCE} [{}]", cut(&names.join(", ")))
    }
}
