//! Named entities: spans of tags, right only as a whole.

use std::collections::BTreeSet;

use super::{Counts, F1};

/// A run of tokens that is one entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span<'a> {
    /// What stands behind `B-` or `I-`; `_` where nothing does.
    pub kind: &'a str,
    /// Its first token.
    pub start: usize,
    /// One past its last token.
    pub end: usize,
}

/// The spans that tags mark, read as leniently as `conlleval` and seqeval's default mode do.
///
/// `B-` always begins a span; `I-` goes on with one of its own kind and else begins one, so plain `I-` tags (IO) work as
/// well; `E-` and `S-` end one; `O` is outside. A tag of no such form, say `PER`, counts as `I-PER`.
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

/// F1 of entities over (expected, predicted) rows of tags, micro-averaged: an entity is right if its kind and both its
/// ends are.
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

/// `B-PER` as `B` and `PER`.
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
