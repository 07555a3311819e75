//! Metrics of token classifiers.

use std::ops::Range;

use anyhow::Result;
use bertless::{Entity, Input, Model, Prediction, Truncation, metrics};

use super::super::input::ItemSource;
use super::super::output::Output;
use super::super::show::shortened;
use super::super::stream::answer_all;
use super::{GoldExample, Report};

/// Number of characters of a tag or of the labels that an error quotes.
const QUOTED: usize = 200;
/// Tag of words outside all entities, and of words beyond the model's maximum length.
const OUTSIDE: &str = "O";

pub(super) fn evaluate(
    model: &Model,
    rows: impl ItemSource<Item = GoldExample>,
    output: &mut Output,
) -> Result<Report> {
    let mut tagged = Vec::new();
    answer_all(
        rows,
        output,
        |inputs| tokens(model, inputs),
        |_, row: GoldExample, (starts, entities)| {
            let tags = row.expected.tags().into_iter();
            let expected: Vec<String> = tags
                .map(|tag| known(model.labels(), tag))
                .collect::<Result<_, _>>()
                .map_err(|reason| row.blame(reason))?;
            let words = &row.words;
            if expected.len() != words.len() {
                let (words, tags) = (words.len(), expected.len());
                return Err(row.blame(format!("{words} tokens and {tags} tags")));
            }
            let predicted = words.iter().map(|word| tag(word, &starts, &entities));
            tagged.push((expected, predicted.collect()));
            Ok(())
        },
    )?;
    let pair = |(expected, predicted): &(Vec<String>, Vec<String>)| {
        expected
            .iter()
            .cloned()
            .zip(predicted.iter().cloned())
            .collect::<Vec<_>>()
    };
    let tags: Vec<(String, String)> = tagged.iter().flat_map(pair).collect();
    let entities = metrics::span_f1(&tagged);
    Ok(Report::of(tagged.len())?
        .figure("accuracy", metrics::accuracy(&tags))
        .figure("entity_precision", entities.precision)
        .figure("entity_recall", entities.recall)
        .figure("entity_f1", entities.f1))
}

/// For each text: the byte offset at which each token starts, and the tokens inside entities.
fn tokens(model: &Model, inputs: &[Input<'_>]) -> Result<Vec<(Vec<usize>, Vec<Entity>)>> {
    let predictions = model.predict_batch(inputs)?;
    let truncation = Truncation::to(model.max_length());
    let mut rows = Vec::with_capacity(inputs.len());
    for (input, prediction) in inputs.iter().zip(predictions) {
        let Prediction::Entities(found) = prediction else {
            anyhow::bail!("this is no answer of a token classifier");
        };
        let tokens = model.tokenizer().encode(*input, Some(&truncation))?;
        let texts = tokens.offsets.iter().zip(&tokens.sequences);
        let texts = texts.filter(|(_, sequence)| sequence.is_some());
        let starts = texts.map(|(offsets, _)| offsets.0 as usize).collect();
        rows.push((starts, found.entities));
    }
    Ok(rows)
}

/// Tag of a word: the label of its first token. `starts` holds the byte offset of each token. Each of `entities` is one token;
/// tokens outside entities are not among them.
fn tag(word: &Range<usize>, starts: &[usize], entities: &[Entity]) -> String {
    let first = starts.get(starts.partition_point(|&start| start < word.start));
    let label = first.filter(|&&start| start < word.end).and_then(|start| {
        let at = entities.partition_point(|entity| entity.bytes.start < *start);
        entities
            .get(at)
            .filter(|entity| entity.bytes.start == *start)
    });
    label.map_or_else(|| OUTSIDE.to_owned(), |entity| entity.label.clone())
}

/// Resolves a tag by its name or label id. If the model lacks the tag, its kind must be known at least: tables may write `I-`
/// where models have `B-`, and vice versa.
fn known(labels: &[String], tag: &str) -> Result<String, String> {
    let kind = |tag: &str| {
        let position = tag
            .split_once('-')
            .filter(|(position, _)| position.len() == 1);
        position.map_or_else(|| tag.to_owned(), |(_, kind)| kind.to_owned())
    };
    if tag == OUTSIDE || labels.iter().any(|label| kind(label) == kind(tag)) {
        return Ok(tag.to_owned());
    }
    let numbered = tag.parse().ok().and_then(|id: usize| labels.get(id));
    numbered.cloned().ok_or_else(|| {
        format!(
            "tag {:?} is none of {}",
            shortened(tag, QUOTED),
            shortened(&labels.join(", "), QUOTED)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_the_tag_of_its_first_token() {
        let entity = |bytes: Range<usize>, label: &str| {
            let json = r#"{"label":"","score":1.0,"text":"","start":0,"end":0}"#;
            let mut entity: Entity = serde_json::from_str(json).unwrap();
            entity.label = label.to_owned();
            entity.bytes = bytes;
            entity
        };
        // "washington met xx": wash|ing|ton, met, and the last one is not read.
        let starts = [0, 4, 7, 11];
        let entities = [
            entity(0..4, "B-PER"),
            entity(4..7, "B-LOC"),
            entity(7..10, "I-LOC"),
        ];
        let tag = |word| tag(&word, &starts, &entities);
        assert_eq!([tag(0..10), tag(11..14), tag(15..17)], ["B-PER", "O", "O"]);
        assert_eq!(tag(4..10), "B-LOC"); // not that of the token before
    }

    #[test]
    fn tags_of_another_scheme_pass_and_of_another_kind_do_not() {
        let labels = ["O", "I-PER", "I-LOC"].map(str::to_owned);
        let known = |tag| known(&labels, tag);
        assert_eq!(known("B-PER").unwrap(), "B-PER");
        assert_eq!(known("2").unwrap(), "I-LOC");
        assert_eq!(known("O").unwrap(), "O");
        assert!(known("B-ORG").is_err() && known("3").is_err());
    }
}
