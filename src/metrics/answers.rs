//! Question answering: SQuAD's exact match and F1 (Rajpurkar et al. 2016).

use std::collections::HashMap;

/// Returns whether two answers are equal after SQuAD's normalisation: without case, punctuation, articles and extra spaces.
///
/// ```
/// assert!(bertless::metrics::exact_match("the  Nile", "Nile."));
/// ```
pub fn exact_match(expected: &str, predicted: &str) -> bool {
    normalized(expected) == normalized(predicted)
}

/// Computes the F1 of the words that two answers share, after the normalisation of [`exact_match`]. A repeated word counts as
/// often as both answers have it. If one answer has no words, the F1 is 1 if the other has none either, else 0.
///
/// ```
/// // One shared word of two expected and one predicted ("the" is an article).
/// let f1 = bertless::metrics::answer_f1("the river Nile", "Nile");
/// assert!((f1 - 2.0 / 3.0).abs() < 1e-12);
/// ```
pub fn answer_f1(expected: &str, predicted: &str) -> f64 {
    let (expected, predicted) = (normalized(expected), normalized(predicted));
    if expected.is_empty() || predicted.is_empty() {
        return f64::from(expected == predicted);
    }
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in &expected {
        *left.entry(word).or_default() += 1;
    }
    let mut shared = 0;
    for word in &predicted {
        if let Some(count) = left.get_mut(word.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            shared += 1;
        }
    }
    2.0 * f64::from(shared) / (expected.len() + predicted.len()) as f64
}

/// Splits an answer into lower-case words without ASCII punctuation and articles.
fn normalized(answer: &str) -> Vec<String> {
    let lower = answer.to_lowercase();
    let kept: String = lower
        .chars()
        .filter(|c| !c.is_ascii_punctuation())
        .collect();
    // An article ends at the first character that is neither letter nor digit, not only at a space: "a–b" becomes "–b".
    let mut text = String::with_capacity(kept.len());
    let mut word = String::new();
    for c in kept.chars().chain([' ']) {
        if c.is_alphanumeric() {
            word.push(c);
            continue;
        }
        match word.as_str() {
            "a" | "an" | "the" => text.push(' '),
            word => text.push_str(word),
        }
        word.clear();
        text.push(c);
    }
    text.split(is_space)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Returns whether `c` is white space for Python's `str.split`, which includes the separators U+001C to U+001F.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_count() {
        assert_eq!(
            normalized("The Theatre, a  an\tU.S. hall"),
            ["theatre", "us", "hall"]
        );
        assert_eq!(normalized("a–b the\u{1c}x"), ["–b", "x"]);
        assert!(exact_match("", "the"));
        assert!(!exact_match("Theatre", "atre"));
    }

    #[test]
    fn shared_words_count_as_often_as_both_have_them() {
        // 2 shared of 3 and 4 words.
        assert!((answer_f1("x x y", "x x x z") - 4.0 / 7.0).abs() < 1e-12);
        assert_eq!(answer_f1("x", "y"), 0.0);
        assert_eq!(
            (answer_f1("", ""), answer_f1("", "x"), answer_f1("x", "a")),
            (1.0, 0.0, 0.0)
        );
    }
}
