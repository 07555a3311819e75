//! Metrics of classifiers.

use anyhow::{Result, bail};
use bertless::train::{label_id, label_ids};
use bertless::{Model, Prediction, metrics};

use super::super::input::ItemSource;
use super::super::output::Output;
use super::super::stream::answer_all;
use super::{GoldExample, Report};

pub(super) fn evaluate(
    model: &Model,
    rows: impl ItemSource<Item = GoldExample>,
    output: &mut Output,
) -> Result<Report> {
    let labels = model.labels();
    if let Some(label) = repeated(labels) {
        bail!(
            "the model calls two labels {label:?}, and answers cannot tell which of them is meant"
        );
    }
    let (mut pairs, mut sets) = (Vec::new(), Vec::new());
    answer_all(
        rows,
        output,
        |inputs| Ok(model.predict_batch(inputs)?),
        |_, row: GoldExample, prediction| {
            let Prediction::Classification(answer) = prediction else {
                return Err(row.blame("this is no answer of a classifier"));
            };
            let id = |label: &str| label_id(labels, label).map_err(|reason| row.blame(reason));
            match &answer.labels {
                Some(holding) => {
                    let expected =
                        label_ids(labels, &row.expected).map_err(|reason| row.blame(reason))?;
                    let predicted = |id: usize| holding.contains(&labels[id]);
                    let set =
                        |holds: &dyn Fn(usize) -> bool| (0..labels.len()).map(holds).collect();
                    sets.push((set(&|id| expected.contains(&id)), set(&predicted)));
                }
                None => {
                    let expected = row.expected.label().map_err(|reason| {
                        row.blame(match row.expected.labels().len() {
                            0 | 1 => reason,
                            _ => format!("{reason}: this model answers with one label"),
                        })
                    })?;
                    let found = labels.iter().position(|label| *label == answer.label);
                    pairs.push((id(expected)?, found.unwrap_or_default()));
                }
            }
            Ok(())
        },
    )?;
    if !sets.is_empty() {
        let f1 = metrics::multi_label_f1(&sets);
        return Ok(Report::of(sets.len())?
            .figure("micro_f1", f1.micro)
            .figure("macro_f1", f1.macro_));
    }
    Ok(Report::of(pairs.len())?
        .figure("accuracy", metrics::accuracy(&pairs))
        .figure("macro_f1", metrics::macro_f1(&pairs))
        .figure("mcc", metrics::matthews(&pairs)))
}

/// A name that two labels share, if any.
fn repeated(labels: &[String]) -> Option<&String> {
    let again = |(id, label): &(usize, &String)| labels[..*id].contains(label);
    labels
        .iter()
        .enumerate()
        .find(again)
        .map(|(_, label)| label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_two_labels_have() {
        let labels = |names: [&str; 3]| names.map(str::to_owned);
        assert_eq!(repeated(&labels(["a", "b", "c"])), None);
        assert_eq!(repeated(&labels(["a", "b", "a"])), Some(&"a".to_owned()));
    }
}
