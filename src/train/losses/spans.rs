//! Loss of answer spans in question answering.

use super::{CrossEntropy, Loss};

/// Computes the cross-entropy of the start and end of answers: among each text's tokens one is the target start and one the target
/// end. The loss is the mean over texts, and over start and end, as in the question-answering models of `transformers`.
///
/// `logits` is (rows, 2), start and end; text i owns rows `starts[i]..starts[i + 1]`. Spans are token indices within their
/// text, both ends included. Texts without a span do not count.
pub(crate) fn answer_spans(
    logits: &[f32],
    starts: &[usize],
    spans: &[Option<(usize, usize)>],
) -> Loss {
    assert_eq!(starts.len(), spans.len() + 1);
    let mut loss = Loss::none(logits.len());
    let texts = spans.iter().flatten().count() as f64;
    for (text, span) in spans.iter().enumerate() {
        let Some((first, last)) = *span else { continue };
        let rows = starts[text]..starts[text + 1];
        for (column, target) in [first, last].into_iter().enumerate() {
            let scores: Vec<f32> = rows.clone().map(|row| logits[2 * row + column]).collect();
            let part = CrossEntropy::default().loss(&scores, &[Some(target)]);
            loss.value += part.value / (2.0 * texts);
            for (row, slope) in rows.clone().zip(part.gradient) {
                loss.gradient[2 * row + column] = (f64::from(slope) / (2.0 * texts)) as f32;
            }
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Golden, differences};
    use super::*;

    #[test]
    fn spans_are_those_of_pytorch() {
        let golden = Golden::of("answer_spans");
        let logits = golden.floats("logits");
        let spans = [Some((1, 3)), None, Some((0, 0))];
        let value = |logits: &[f32]| answer_spans(logits, &[0, 4, 6, 9], &spans);
        let loss = value(&logits);
        golden.check(&loss, 1e-6);
        differences(&logits, &loss.gradient, |logits| value(logits).value);
    }
}
