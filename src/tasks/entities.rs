//! Token classification: merges labels of tokens into entities, which are spans of the text.
//!
//! Follows `TokenClassificationPipeline` of transformers, with one exception: an entity's text is a slice of the input,
//! not its tokens joined again.

use super::{Entity, argmax, check_finite};
use crate::batch::{CharacterCounter, Encoding};
use crate::error::Result;
use crate::kernels::Cpu;
use crate::kernels::softmax::softmax;
use crate::names::named;

/// Label of tokens outside of all entities.
const OUTSIDE: &str = "O";

/// Rule by which labels of tokens are merged into entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Aggregation {
    /// Returns each token with its own label, `B-` and `I-` included.
    None,
    /// Merges neighbouring tokens of one label into an entity.
    #[default]
    Simple,
    /// Gives each word the label of its first token, then merges neighbouring words of one label.
    First,
    /// Gives each word the best label by the mean of its tokens' scores, then merges neighbouring words of one label.
    Average,
    /// Gives each word the label of its token with the highest score, then merges neighbouring words of one label.
    Max,
}

named!(
    Aggregation,
    "aggregation",
    None => "none",
    Simple => "simple",
    First => "first",
    Average => "average",
    Max => "max",
);

/// Scores and span of a token.
#[derive(Debug, Clone)]
struct LabelledToken {
    scores: Vec<f32>,
    start: usize,
    end: usize,
    /// Whether the token continues the word before it.
    continues_word: bool,
}

/// A span with its chosen label.
#[derive(Debug, Clone)]
struct Tagged<'a> {
    label: &'a str,
    score: f32,
    start: usize,
    end: usize,
}

/// Parameters of decoding.
#[derive(Debug)]
pub(crate) struct Decoding<'a> {
    /// Label names, indexed by label id.
    pub(crate) labels: &'a [String],
    pub(crate) aggregation: Aggregation,
    /// Id of the unknown token, such as `[UNK]`.
    pub(crate) unk_id: u32,
    pub(crate) cpu: Cpu,
}

/// Decodes the logits of one text, (tokens, labels), to entities. `id_to_token` returns the string of a token id.
pub(crate) fn decode<'t>(
    mut logits: Vec<f32>,
    text: &str,
    encoding: &Encoding,
    decoding: &Decoding<'_>,
    id_to_token: impl Fn(u32) -> Option<&'t str>,
) -> Result<Vec<Entity>> {
    let &Decoding {
        labels,
        aggregation,
        unk_id,
        cpu,
    } = decoding;
    check_finite("a logit of the token classifier", &logits)?;
    let mut tokens = Vec::new();
    for (index, scores) in logits.chunks_exact_mut(labels.len()).enumerate() {
        if encoding.sequences[index].is_none() {
            continue;
        }
        softmax(cpu, scores);
        let (start, end) = encoding.offsets[index];
        let (start, end) = (start as usize, end as usize);
        let id = encoding.ids[index];
        // A token that is as long as its text begins a word, as in the reference.
        let token_len = id_to_token(id).map_or(0, |token| token.chars().count());
        let continues_word = id != unk_id && token_len != text[start..end].chars().count();
        tokens.push(LabelledToken {
            scores: scores.to_vec(),
            start,
            end,
            continues_word,
        });
    }
    let tagged: Vec<Tagged<'_>> = match aggregation {
        Aggregation::None | Aggregation::Simple => tokens
            .iter()
            .map(|token| tag(&token.scores, token, token, labels))
            .collect(),
        _ => words(&tokens)
            .map(|word| tag_word(word, aggregation, labels))
            .collect(),
    };
    let found = match aggregation {
        Aggregation::None => tagged,
        _ => merge_neighbours(&tagged),
    };
    let found: Vec<_> = found
        .into_iter()
        .filter(|found| found.label != OUTSIDE)
        .collect();
    Ok(entities(&found, text))
}

/// Merges the entities of overlapping windows of one text. Of two that overlap, keeps the longer one, and of two equally
/// long ones the one with the higher score, as transformers does.
pub(crate) fn merge_overlapping(mut entities: Vec<Entity>) -> Vec<Entity> {
    entities.sort_by_key(|entity| entity.start);
    let mut merged: Vec<Entity> = Vec::with_capacity(entities.len());
    for entity in entities {
        match merged.last_mut() {
            Some(last) if entity.start < last.end => {
                let (length, last_length) = (entity.end - entity.start, last.end - last.start);
                if length > last_length || (length == last_length && entity.score > last.score) {
                    *last = entity;
                }
            }
            _ => merged.push(entity),
        }
    }
    merged
}

/// Splits tokens into words.
fn words(tokens: &[LabelledToken]) -> impl Iterator<Item = &[LabelledToken]> {
    tokens.chunk_by(|_, next| next.continues_word)
}

fn tag<'a>(
    scores: &[f32],
    first: &LabelledToken,
    last: &LabelledToken,
    labels: &'a [String],
) -> Tagged<'a> {
    let best = argmax(scores);
    Tagged {
        label: &labels[best],
        score: scores[best],
        start: first.start,
        end: last.end,
    }
}

fn tag_word<'a>(
    word: &[LabelledToken],
    aggregation: Aggregation,
    labels: &'a [String],
) -> Tagged<'a> {
    let (first, last) = (&word[0], &word[word.len() - 1]);
    match aggregation {
        Aggregation::Max => {
            let max_scores: Vec<f32> = word
                .iter()
                .map(|token| token.scores[argmax(&token.scores)])
                .collect();
            tag(&word[argmax(&max_scores)].scores, first, last, labels)
        }
        Aggregation::Average => {
            let mean = |label: usize| {
                let sum: f64 = word
                    .iter()
                    .map(|token| f64::from(token.scores[label]))
                    .sum();
                (sum / word.len() as f64) as f32
            };
            let means: Vec<f32> = (0..labels.len()).map(mean).collect();
            tag(&means, first, last, labels)
        }
        _ => tag(&first.scores, first, last, labels),
    }
}

/// Returns whether a label begins with `B-`, and the label without its `B-` or `I-`.
fn split(label: &str) -> (bool, &str) {
    match label.strip_prefix("B-") {
        Some(kind) => (true, kind),
        None => (false, label.strip_prefix("I-").unwrap_or(label)),
    }
}

/// Merges neighbours of one label into one, except where a `B-` begins a new entity.
fn merge_neighbours<'a>(tagged: &[Tagged<'a>]) -> Vec<Tagged<'a>> {
    let together = |a: &Tagged<'_>, b: &Tagged<'_>| {
        let (begins, kind) = split(b.label);
        !begins && split(a.label).1 == kind
    };
    let group = |group: &[Tagged<'a>]| {
        let sum: f64 = group.iter().map(|tagged| f64::from(tagged.score)).sum();
        Tagged {
            // Takes all that follows the first hyphen, even if that hyphen is part of the label's name, as the
            // reference does.
            label: group[0]
                .label
                .split_once('-')
                .map_or(group[0].label, |(_, kind)| kind),
            score: (sum / group.len() as f64) as f32,
            start: group[0].start,
            end: group[group.len() - 1].end,
        }
    };
    tagged.chunk_by(together).map(group).collect()
}

fn entities(found: &[Tagged<'_>], text: &str) -> Vec<Entity> {
    let mut characters = CharacterCounter::new(text);
    found
        .iter()
        .map(|found| Entity {
            label: found.label.to_owned(),
            score: found.score,
            text: text[found.start..found.end].to_owned(),
            start: characters.before(found.start),
            end: characters.before(found.end),
            bytes: found.start..found.end,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    const TEXT: &str = "Zoë Washington met Bo";
    const TOKENS: [&str; 6] = ["[CLS]", "zoe", "washing", "##ton", "met", "bo"];

    /// Decodes five tokens, each with a logit for one label and 0 for all others.
    fn entities_of(picks: [(usize, f32); 5], aggregation: Aggregation) -> Vec<(String, String)> {
        let labels = ["O", "B-PER", "I-PER", "B-LOC"].map(str::to_owned);
        let encoding = Encoding {
            ids: vec![0, 1, 2, 3, 4, 5],
            type_ids: vec![0; 6],
            offsets: vec![(0, 0), (0, 4), (5, 12), (12, 15), (16, 19), (20, 22)],
            sequences: vec![None, Some(0), Some(0), Some(0), Some(0), Some(0)],
            words: vec![None, Some(0), Some(1), Some(1), Some(2), Some(3)],
            truncated: false,
        };
        let mut logits = vec![0.0; 4];
        for (label, sure) in picks {
            let mut row = [0.0; 4];
            row[label] = sure;
            logits.extend(row);
        }
        let id_to_token = |id: u32| Some(TOKENS[id as usize]);
        let decoding = Decoding {
            labels: &labels,
            aggregation,
            unk_id: 99,
            cpu: Cpu::detect(),
        };
        decode(logits, TEXT, &encoding, &decoding, id_to_token)
            .unwrap()
            .into_iter()
            .map(|entity| (entity.label, entity.text))
            .collect()
    }

    fn pair(label: &str, text: &str) -> (String, String) {
        (label.to_owned(), text.to_owned())
    }

    #[test]
    fn none_keeps_tokens_and_prefixes() {
        let picks = [(1, 9.0), (2, 9.0), (2, 9.0), (0, 9.0), (1, 9.0)];
        let found = entities_of(picks, Aggregation::None);
        assert_eq!(found.len(), 4);
        assert_eq!(found[0], pair("B-PER", "Zoë"));
        assert_eq!(found[2], pair("I-PER", "ton"));
    }

    #[test]
    fn simple_joins_neighbours_up_to_the_next_beginning() {
        let picks = [(1, 9.0), (2, 9.0), (2, 9.0), (0, 9.0), (1, 9.0)];
        let found = entities_of(picks, Aggregation::Simple);
        assert_eq!(found, [pair("PER", "Zoë Washington"), pair("PER", "Bo")]);
        let picks = [(1, 9.0), (1, 9.0), (2, 9.0), (0, 9.0), (0, 9.0)];
        let found = entities_of(picks, Aggregation::Simple);
        assert_eq!(found, [pair("PER", "Zoë"), pair("PER", "Washington")]);
    }

    #[test]
    fn words_are_never_torn() {
        // The two tokens of "Washington" disagree: the first says location, the second, surer, person.
        let picks = [(0, 9.0), (3, 1.0), (2, 5.0), (0, 9.0), (0, 9.0)];
        let of = |aggregation| entities_of(picks, aggregation);
        assert_eq!(
            of(Aggregation::Simple),
            [pair("LOC", "Washing"), pair("PER", "ton")]
        );
        assert_eq!(of(Aggregation::First), [pair("LOC", "Washington")]);
        assert_eq!(of(Aggregation::Max), [pair("PER", "Washington")]);
        assert_eq!(of(Aggregation::Average), [pair("PER", "Washington")]);
    }

    #[test]
    fn positions_count_characters_and_bytes() {
        let mut characters = CharacterCounter::new(TEXT);
        assert_eq!(characters.before(20), 19);
        assert_eq!(characters.before(4), 3); // a step back
    }

    #[test]
    fn strategies_by_name() {
        let parse = |name: &str| name.parse::<Aggregation>();
        assert_eq!(parse("average").unwrap(), Aggregation::Average);
        assert!(matches!(parse("mean"), Err(Error::Option { .. })));
    }
}
