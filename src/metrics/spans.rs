//! Metrics of token classification: F1 of entity spans, which are correct only as a whole.

use std::collections::BTreeSet;

use super::{Counts, F1};

/// Entity: a run of tokens with one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span<'a> {
    /// Part of the tag after `B-` or `I-`. `_` if the tag has no such part.
    pub kind: &'a str,
    /// Index of the first token.
    pub start: usize,
    /// Index one past the last token.
    pub end: usize,
}

/// Finds the entity spans in a row of tags, as leniently as `conlleval` and seqeval's default mode.
///
/// `B-` always begins a span. `I-` continues a span of the same kind and otherwise begins one, so plain `I-` tags (IO) work
/// too. `E-` and `S-` end a span. `O` is outside of all spans. Any other tag, such as `PER`, counts as `I-PER`.
///
/// ```
/// use bertless::metrics::{Span, spans};
/// let found = spans(&["B-PER", "I-PER", "O", "I-LOC", "B-LOC"]);
/// let starts: Vec<_> = found.iter().map(|span| (span.kind, span.start, span.end)).collect();
/// assert_eq!(starts, [("PER", 0, 2), ("LOC", 3, 4), ("LOC", 4, 5)]);
/// ```
pub fn spans<'a, S: AsRef<str>>(tags: &'a [S]) -> Vec<Span<'a>> {
    let mut spans: Vec<Span<'a>> = Vec::new();
    let mut open = false;
    for (index, tag) in tags.iter().enumerate() {
        let (position, kind) = split(tag.as_ref());
        let going_on = match spans.last_mut() {
            Some(span) if open && span.kind == kind && matches!(position, 'I' | 'E') => {
                span.end = index + 1;
                true
            }
            _ => false,
        };
        if !going_on && position != OUTSIDE {
            spans.push(Span {
                kind,
                start: index,
                end: index + 1,
            });
        }
        open = matches!(position, 'B' | 'I');
    }
    spans
}

/// Computes the micro-averaged F1 of entities over (expected, predicted) rows of tags. An entity is correct if its kind, start
/// and end are.
///
/// ```
/// let rows = [(vec!["B-PER", "I-PER", "B-LOC"], vec!["B-PER", "O", "B-LOC"])];
/// assert_eq!(bertless::metrics::span_f1(&rows).f1, 0.5);
/// ```
pub fn span_f1<S: AsRef<str>>(rows: &[(Vec<S>, Vec<S>)]) -> F1 {
    let mut counts = Counts::default();
    for (expected, predicted) in rows {
        let expected: BTreeSet<Span<'_>> = spans(expected).into_iter().collect();
        let predicted: BTreeSet<Span<'_>> = spans(predicted).into_iter().collect();
        counts.expected += expected.len();
        counts.predicted += predicted.len();
        counts.right += expected.intersection(&predicted).count();
    }
    counts.scores()
}

const OUTSIDE: char = 'O';

/// Splits a tag such as `B-PER` into `B` and `PER`.
fn split(tag: &str) -> (char, &str) {
    let (position, kind) = tag.split_once('-').unwrap_or((tag, "_"));
    match position {
        "" | "O" => (OUTSIDE, "_"),
        "B" => ('B', kind),
        "I" => ('I', kind),
        "E" => ('E', kind),
        "S" => ('S', kind),
        _ => ('I', tag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tags: &str) -> String {
        let tags: Vec<&str> = tags.split(' ').collect();
        let spans = spans(&tags).into_iter();
        let written = spans.map(|span| format!("{}{}..{}", span.kind, span.start, span.end));
        written.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn schemes() {
        assert_eq!(found("B-X I-X B-X O I-X"), "X0..2 X2..3 X4..5");
        assert_eq!(found("I-X I-X I-Y O"), "X0..2 Y2..3");
        assert_eq!(found("B-X I-Y"), "X0..1 Y1..2");
        assert_eq!(found("S-X S-X B-X E-X E-X"), "X0..1 X1..2 X2..4 X4..5");
        assert_eq!(found("B-x-y I-x-y"), "x-y0..2");
        assert_eq!(found("B I O"), "_0..2");
        assert_eq!(found("O O"), "");
        assert_eq!(found("ORG ORG LOC O"), "ORG0..2 LOC2..3");
    }

    #[test]
    fn rows_are_apart_and_empty_ones_count_nothing() {
        let rows = [
            (vec!["B-X"], vec!["B-X"]),
            (vec!["I-X", "O"], vec!["O", "B-X"]),
            (vec![], vec![]),
        ];
        let f1 = span_f1(&rows);
        assert_eq!((f1.precision, f1.recall, f1.f1), (0.5, 0.5, 0.5));
        let none: [(Vec<&str>, Vec<&str>); 0] = [];
        assert_eq!(span_f1(&none).f1, 0.0);
    }
}
