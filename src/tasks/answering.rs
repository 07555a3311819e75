//! Extractive question answering: finds the span of a context that answers a question.
//!
//! Follows `QuestionAnsweringPipeline` of transformers 4: a long context is read in overlapping windows; in each, start
//! and end have probabilities among the context's tokens, a span's score is their product, and the scores of one answer
//! found in several windows are added up.

use super::{AnswerSpan, check_finite};
use crate::batch::{CharacterCounter, Encoding};
use crate::error::{Error, Result};

/// Options of question answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerOptions {
    /// Number of answers to return.
    pub top_k: usize,
    /// Maximum number of tokens of an answer.
    pub max_answer_tokens: usize,
    /// Maximum number of tokens of a window, question and special tokens included; never more than the model's own
    /// limit.
    pub max_window: usize,
    /// Number of tokens that two neighbouring windows share. Default: 128, at most half of a window, and half of what a
    /// long question leaves of the window if that is less.
    pub stride: Option<usize>,
    /// Whether an empty string, for "the context holds no answer", is a possible answer.
    pub allow_no_answer: bool,
    /// Whether answers are extended to whole words.
    pub align_to_words: bool,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        Self {
            top_k: 1,
            max_answer_tokens: 15,
            max_window: 384,
            stride: None,
            allow_no_answer: false,
            align_to_words: true,
        }
    }
}

impl AnswerOptions {
    /// Returns window length and stride for a model that reads `limit` tokens, `reserved` of which are the question and
    /// special tokens.
    pub(crate) fn windows(&self, limit: usize, reserved: usize) -> (usize, usize) {
        let window = self.max_window.min(limit);
        let default_stride = 128.min(window / 2);
        let context_len = window.saturating_sub(reserved);
        // Where the default stride leaves no progress the reference fails; here the stride is reduced, since the caller
        // did not choose it.
        let fitting = if default_stride < context_len {
            default_stride
        } else {
            context_len / 2
        };
        (window, self.stride.unwrap_or(fitting))
    }

    pub(crate) fn check(&self) -> Result<()> {
        let zero = |name| Error::Option {
            name,
            reason: "0 is too few".to_owned(),
        };
        match self {
            Self { top_k: 0, .. } => Err(zero("top_k")),
            Self {
                max_answer_tokens: 0,
                ..
            } => Err(zero("max_answer_tokens")),
            _ => Ok(()),
        }
    }
}

/// A window of a context, and its logits: (tokens, 2), start and end.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    pub(crate) encoding: &'a Encoding,
    pub(crate) logits: &'a [f32],
}

/// Returns the best answers, highest score first, and the probability that there is none: the minimum over all windows.
pub(crate) fn decode(
    windows: &[Window<'_>],
    context: &str,
    options: &AnswerOptions,
) -> Result<(Vec<AnswerSpan>, f32)> {
    let mut answers: Vec<Candidate<'_>> = Vec::new();
    let mut no_answer = f64::INFINITY;
    // Spans that are extended to whole words may coincide, so more candidates are needed.
    let candidates = if options.align_to_words {
        2 * options.top_k + 10
    } else {
        options.top_k
    };
    for window in windows {
        check_finite("a logit of the question answerer", window.logits)?;
        let starts = probabilities(window, 0);
        let ends = probabilities(window, 1);
        no_answer = no_answer.min(starts[0] * ends[0]);
        for (start, end, score) in best_spans(window.encoding, &starts, &ends, options, candidates)
        {
            let (start, end) = span(window.encoding, start, end, options.align_to_words);
            let text = &context[start..end];
            let known = answers
                .iter_mut()
                .find(|answer| same_text(answer.text, text));
            match known {
                Some(answer) => answer.score += score,
                None => answers.push(Candidate { text, start, score }),
            }
        }
    }
    if options.allow_no_answer {
        answers.push(Candidate {
            text: "",
            start: 0,
            score: no_answer,
        });
    }
    answers.sort_by(|a, b| b.score.total_cmp(&a.score));
    answers.truncate(options.top_k);
    let mut characters = CharacterCounter::new(context);
    let spans = answers.into_iter().map(|answer| {
        let bytes = answer.start..answer.start + answer.text.len();
        AnswerSpan {
            answer: answer.text.to_owned(),
            score: answer.score as f32,
            start: characters.before(bytes.start),
            end: characters.before(bytes.end),
            bytes,
        }
    });
    Ok((spans.collect(), no_answer as f32))
}

struct Candidate<'a> {
    text: &'a str,
    start: usize,
    score: f64,
}

fn same_text(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// Softmax of one column of logits over the context's tokens and the first token, which stands for "no answer".
fn probabilities(window: &Window<'_>, column: usize) -> Vec<f64> {
    let first = window.encoding.ids.first();
    let usable = |index: usize| {
        window.encoding.sequences[index] == Some(1) || window.encoding.ids.get(index) == first
    };
    let logits: Vec<Option<f64>> = window
        .logits
        .chunks_exact(2)
        .enumerate()
        .map(|(index, both)| usable(index).then(|| f64::from(both[column])))
        .collect();
    let max = logits
        .iter()
        .flatten()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits
        .iter()
        .map(|logit| logit.map_or(0.0, |logit| (logit - max).exp()))
        .collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The `count` most probable spans of context tokens: first token, last token, score.
fn best_spans(
    encoding: &Encoding,
    starts: &[f64],
    ends: &[f64],
    options: &AnswerOptions,
    count: usize,
) -> Vec<(usize, usize, f64)> {
    let in_context = |&index: &usize| encoding.sequences[index] == Some(1);
    let mut spans = Vec::new();
    for start in (0..starts.len()).filter(in_context) {
        let last = starts
            .len()
            .min(start.saturating_add(options.max_answer_tokens));
        for end in (start..last).filter(in_context) {
            spans.push((start, end, starts[start] * ends[end]));
        }
    }
    spans.sort_by(|a, b| b.2.total_cmp(&a.2));
    spans.truncate(count);
    spans
}

/// Byte range in the context of a span of tokens.
fn span(encoding: &Encoding, start: usize, end: usize, align_to_words: bool) -> (usize, usize) {
    let (mut first, mut last) = (start, end);
    if align_to_words {
        let word = |index: usize| (encoding.sequences[index], encoding.words[index]);
        while first > 0 && word(first - 1) == word(start) {
            first -= 1;
        }
        while last + 1 < encoding.len() && word(last + 1) == word(end) {
            last += 1;
        }
    }
    (
        encoding.offsets[first].0 as usize,
        encoding.offsets[last].1 as usize,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: &str = "café au lait";

    /// `[CLS] q [SEP] ca ##fe au lait [SEP]`
    fn encoding() -> Encoding {
        Encoding {
            ids: vec![1, 9, 2, 10, 11, 12, 13, 2],
            type_ids: vec![0, 0, 0, 1, 1, 1, 1, 1],
            offsets: vec![
                (0, 0),
                (0, 1),
                (0, 0),
                (0, 2),
                (2, 5),
                (6, 8),
                (9, 13),
                (0, 0),
            ],
            sequences: vec![
                None,
                Some(0),
                None,
                Some(1),
                Some(1),
                Some(1),
                Some(1),
                None,
            ],
            words: vec![
                None,
                Some(0),
                None,
                Some(0),
                Some(0),
                Some(1),
                Some(2),
                None,
            ],
            truncated: false,
        }
    }

    fn logits(start: usize, end: usize) -> Vec<f32> {
        let mut logits = vec![0.0; 16];
        logits[2 * start] = 5.0;
        logits[2 * end + 1] = 5.0;
        logits
    }

    fn answers(logits: &[&[f32]], options: &AnswerOptions) -> (Vec<AnswerSpan>, f32) {
        let encoding = encoding();
        let windows: Vec<Window<'_>> = logits
            .iter()
            .map(|logits| Window {
                encoding: &encoding,
                logits,
            })
            .collect();
        decode(&windows, CONTEXT, options).unwrap()
    }

    #[test]
    fn an_answer_is_made_of_whole_words() {
        let mut options = AnswerOptions::default();
        let (spans, _) = answers(&[&logits(4, 5)], &options);
        assert_eq!(
            (spans[0].answer.as_str(), spans[0].start, spans[0].end),
            ("café au", 0, 7)
        );
        assert_eq!(&CONTEXT[spans[0].bytes.clone()], "café au");
        options.align_to_words = false;
        assert_eq!(answers(&[&logits(4, 5)], &options).0[0].answer, "fé au");
    }

    #[test]
    fn the_question_is_never_the_answer_and_spans_never_run_backwards() {
        let options = AnswerOptions::default();
        let (spans, _) = answers(&[&logits(1, 6)], &options);
        assert!(spans[0].answer.ends_with("lait"));
        let (spans, _) = answers(&[&logits(6, 3)], &options);
        assert!(spans[0].start < spans[0].end);
    }

    #[test]
    fn length_is_limited() {
        let options = AnswerOptions {
            max_answer_tokens: 1,
            ..Default::default()
        };
        let (spans, _) = answers(&[&logits(5, 6)], &options);
        assert!(!spans[0].answer.contains(' '), "{}", spans[0].answer);
    }

    #[test]
    fn one_answer_of_two_windows_counts_twice() {
        let options = AnswerOptions::default();
        let (once, _) = answers(&[&logits(5, 6)], &options);
        let (twice, _) = answers(&[&logits(5, 6), &logits(5, 6)], &options);
        assert_eq!(once[0].answer, "au lait");
        assert!((twice[0].score - 2.0 * once[0].score).abs() < 1e-6);
    }

    #[test]
    fn no_answer_where_it_is_allowed_and_best() {
        let mut options = AnswerOptions::default();
        let none = logits(0, 0);
        let (spans, score) = answers(&[&none], &options);
        assert!(!spans[0].answer.is_empty() && score > 0.9);
        options.allow_no_answer = true;
        let (spans, score) = answers(&[&none], &options);
        assert_eq!((spans[0].answer.as_str(), spans[0].score), ("", score));
    }
}
