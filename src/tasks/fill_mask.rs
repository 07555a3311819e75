//! Fill-mask: predicts the most probable tokens for a mask.

use std::ops::Range;

use super::{TokenScore, check_finite, descending};
use crate::error::Result;
use crate::kernels::Cpu;
use crate::kernels::softmax::softmax;

/// Prefix of a token that continues the word before it.
const CONTINUES: &str = "##";

/// Decodes the logits of one mask, (vocabulary), to its `top_k` best tokens. `mask` is the mask's byte range in `text`.
pub(crate) fn decode<'t>(
    mut logits: Vec<f32>,
    top_k: usize,
    cpu: Cpu,
    text: &str,
    mask: Range<usize>,
    token: impl Fn(u32) -> Option<&'t str>,
) -> Result<Vec<TokenScore>> {
    check_finite("a logit of the masked-language model", &logits)?;
    softmax(cpu, &mut logits);
    let best = descending(&logits).into_iter().take(top_k);
    let scored = best.map(|id| {
        let score = logits[id];
        let id = id as u32;
        // Some embedding tables are padded with rows beyond the vocabulary, which have no token.
        let token = token(id).unwrap_or_default().to_owned();
        let text = filled(text, &mask, &token);
        TokenScore {
            token,
            id,
            score,
            text,
        }
    });
    Ok(scored.collect())
}

/// Returns the text with a token in place of the mask.
fn filled(text: &str, mask: &Range<usize>, token: &str) -> String {
    let (before, after) = (&text[..mask.start], &text[mask.end..]);
    // A mask token may include the space before it.
    let mask = &text[mask.clone()];
    let space = &mask[..mask.len() - mask.trim_start().len()];
    match token.strip_prefix(CONTINUES) {
        Some(rest) => format!("{}{rest}{after}", before.trim_end()),
        None => format!("{before}{space}{token}{after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_tokens_in_their_text() {
        let tokens = ["a", "##b", "c"];
        let token = |id: u32| tokens.get(id as usize).copied();
        let logits = vec![0.0, 2.0, 1.0];
        let found = decode(logits, 2, Cpu::detect(), "x [MASK].", 2..8, token).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].token.as_str(), found[0].text.as_str()),
            ("##b", "xb.")
        );
        assert_eq!((found[1].id, found[1].text.as_str()), (2, "x c."));
        assert!((found[0].score - 0.665_240_9).abs() < 1e-6); // e^2 / (1 + e + e^2)
    }

    #[test]
    fn a_mask_that_took_its_space_gives_it_back() {
        assert_eq!(filled("x <mask>.", &(1..8), "y"), "x y.");
    }
}
