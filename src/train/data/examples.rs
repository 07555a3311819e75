//! Encoding of rows as examples: tokens and targets.

use std::ops::Range;

use super::{Cell, Dataset, Labels, TextRow};
use crate::batch::{Encoding, Input};
use crate::error::{Result, excerpt};
use crate::tokenizer::{Tokenizer, Truncation, TruncationStrategy};

/// A training example, from one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Example {
    pub(crate) first: Encoding,
    /// The second text, if each text is encoded separately and their embeddings are compared.
    pub(crate) second: Option<Encoding>,
    pub(crate) target: Target,
}

/// The target of an example.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// No target: only a teacher's outputs are learned.
    None,
    /// One label.
    Class(usize),
    /// Any number of labels: 1 for those that hold, 0 for the others.
    Classes(Vec<f32>),
    Score(f32),
    /// A label for each token that is the first of a word; `None` for other tokens.
    Tags(Vec<Option<usize>>),
    /// First and last token of an answer; `None` if truncation has cut into it.
    Span(Option<(usize, usize)>),
}

/// Kind of the values in a target column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TargetKind {
    /// No target column.
    None,
    Class,
    /// Any number of labels.
    Classes,
    /// A score.
    Score {
        /// Divisor of the scores.
        scale: f32,
        /// Largest allowed absolute value after division.
        reach: f32,
    },
    /// One tag for each word of the text.
    Tags,
    /// Two columns: the answer, and the index of its first character in the second text.
    Span,
}

/// How the two texts of a row are encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PairMode {
    /// Both texts as one sequence.
    Joint,
    /// Each text as a sequence of its own.
    Separate,
}

/// Encodes rows as examples.
#[derive(Debug)]
pub(crate) struct ExampleEncoder<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    /// Maximum number of tokens in a sequence, special tokens included.
    pub(crate) max_length: usize,
    pub(crate) labels: &'a Labels,
}

impl ExampleEncoder<'_> {
    /// Encodes all rows. `pair` says how second texts are encoded, `kind` what the targets are.
    ///
    /// # Errors
    /// `Data` with the line of a row whose target cannot be read, and those of [`Tokenizer::encode`].
    pub(crate) fn encode(
        &self,
        dataset: &Dataset,
        pair: Option<PairMode>,
        kind: TargetKind,
    ) -> Result<Vec<Example>> {
        let example = |row: &TextRow| {
            let (first, second) = self.encode_texts(dataset, row, pair, kind)?;
            let target = self.target(row, kind, &first);
            Ok(Example {
                target: target.map_err(|reason| dataset.blame(row, reason))?,
                first,
                second,
            })
        };
        dataset.rows.iter().map(example).collect()
    }

    fn encode_texts(
        &self,
        dataset: &Dataset,
        row: &TextRow,
        pair: Option<PairMode>,
        kind: TargetKind,
    ) -> Result<(Encoding, Option<Encoding>)> {
        let mut truncation = Truncation::to(self.max_length);
        if kind == TargetKind::Span {
            // The question is not truncated.
            truncation.strategy = TruncationStrategy::OnlySecond;
        }
        let encode = |input: Input<'_>| {
            let encoding = self.tokenizer.encode(input, Some(&truncation));
            encoding.map_err(|error| dataset.blame(row, error.to_string()))
        };
        let first = row.text.text();
        Ok(match (&row.pair, pair) {
            (None, _) => (encode(first.into())?, None),
            (Some(second), Some(PairMode::Separate)) => {
                (encode(first.into())?, Some(encode(second.text().into())?))
            }
            (Some(second), _) => (encode(Input::Pair(first, second.text()))?, None),
        })
    }

    fn target(&self, row: &TextRow, kind: TargetKind, first: &Encoding) -> Result<Target, String> {
        let id = |label: &str| self.labels.id(label);
        let Some(target) = &row.target else {
            return Ok(Target::None);
        };
        Ok(match kind {
            TargetKind::None => Target::None,
            TargetKind::Class => {
                let several = |reason| match target.labels().len() {
                    0 | 1 => reason,
                    _ => format!("{reason}: task = \"multi-label\" learns several"),
                };
                Target::Class(id(target.label().map_err(several)?)?)
            }
            TargetKind::Classes => {
                let mut classes = vec![0.0; self.labels.len()];
                for id in self.labels.ids(target)? {
                    classes[id] = 1.0;
                }
                Target::Classes(classes)
            }
            TargetKind::Score { scale, reach } => {
                Target::Score(score(target.text(), scale, reach)?)
            }
            TargetKind::Tags => {
                let tags = target.tags().into_iter().map(id);
                let tags = tags.collect::<Result<Vec<_>, _>>()?;
                Target::Tags(first_tokens(first, &row.text.words(), &tags)?)
            }
            TargetKind::Span => {
                let text = |cell: &Option<Cell>| cell.as_ref().map_or("", Cell::text).to_owned();
                let (context, start) = (text(&row.pair), text(&row.answer_start));
                Target::Span(span(first, range(&context, target.text(), &start)?))
            }
        })
    }
}

/// Tolerance of the range of cosines, because the cosines of models are rounded.
const ROUNDED: f32 = 1e-3;

/// Parses a score and divides it by `scale`. The absolute value of the quotient may be at most `reach`.
fn score(cell: &str, scale: f32, reach: f32) -> Result<f32, String> {
    let score = cell.trim().parse::<f32>().ok();
    let Some(score) = score.filter(|score| score.is_finite()) else {
        return Err(format!("score {:?} is no number", excerpt(cell)));
    };
    let scaled = score / scale;
    if scaled.is_finite() && scaled.abs() <= reach + ROUNDED {
        return Ok(scaled);
    }
    let divided = if scale == 1.0 {
        String::new()
    } else {
        format!(" divided by data.scale, {scale}, is {scaled}, and")
    };
    Err(format!(
        "score {score}{divided} is out of reach, which is from -{reach} to {reach} for a cosine: set data.scale to the \
         highest score there can be, such as {}",
        score.abs()
    ))
}

/// Returns the tag of each token that is the first of a word. `words` are byte ranges of the text.
fn first_tokens(
    encoding: &Encoding,
    words: &[Range<usize>],
    tags: &[usize],
) -> Result<Vec<Option<usize>>, String> {
    if words.len() != tags.len() {
        return Err(format!("{} tokens and {} tags", words.len(), tags.len()));
    }
    let mut next = words.iter().zip(tags).peekable();
    let tokens = encoding.offsets.iter().zip(&encoding.sequences);
    let tag = |((from, _), sequence): (&(u32, u32), &Option<u8>)| {
        sequence.as_ref()?;
        let from = *from as usize;
        // Words without tokens, such as control characters, have no tag.
        while next.next_if(|(word, _)| word.end <= from).is_some() {}
        let (_, tag) = next.next_if(|(word, _)| word.start <= from)?;
        Some(*tag)
    };
    Ok(tokens.map(tag).collect())
}

/// Returns the byte range of an answer in its context, given the index of its first character.
fn range(context: &str, answer: &str, start: &str) -> Result<Range<usize>, String> {
    let characters: usize = start
        .trim()
        .parse()
        .map_err(|_| format!("{:?} is no place in a text", excerpt(start)))?;
    let start = context.char_indices().map(|(at, _)| at).nth(characters);
    let found = start.filter(|&start| context[start..].starts_with(answer) && !answer.is_empty());
    found
        .map(|start| start..start + answer.len())
        .ok_or_else(|| {
            let answer = excerpt(answer);
            format!("answer {answer:?} does not stand at character {characters}")
        })
}

/// Returns the first and last token that overlap a byte range of the second text; `None` if truncation has cut into it.
fn span(encoding: &Encoding, answer: Range<usize>) -> Option<(usize, usize)> {
    let tokens = encoding.offsets.iter().zip(&encoding.sequences).enumerate();
    let inside: Vec<usize> = tokens
        .filter(|(_, ((from, to), sequence))| {
            **sequence == Some(1) && (*from as usize) < answer.end && *to as usize > answer.start
        })
        .map(|(token, _)| token)
        .collect();
    let (&first, &last) = (inside.first()?, inside.last()?);
    (encoding.offsets[last].1 as usize >= answer.end).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::ModelFiles;

    fn tokenizer() -> Tokenizer {
        let vocabulary =
            "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nada\nlives\nin\nlon\n##don\n.\nwho\n##s";
        Tokenizer::from_files(ModelFiles::new().with("vocab.txt", vocabulary.as_bytes().to_vec()))
            .unwrap()
    }

    fn read(kind: TargetKind, pair: Option<PairMode>, cells: &[&str]) -> Result<Example, String> {
        let cells = cells.iter().map(|&cell| cell.into()).collect();
        example(kind, pair, row(cells, pair))
    }

    fn row(cells: Vec<Cell>, pair: Option<PairMode>) -> TextRow {
        let mut cells = cells.into_iter();
        TextRow {
            line: 7,
            text: cells.next().unwrap(),
            pair: pair.and_then(|_| cells.next()),
            target: cells.next(),
            answer_start: cells.next(),
            logits: Vec::new(),
        }
    }

    fn example(kind: TargetKind, pair: Option<PairMode>, row: TextRow) -> Result<Example, String> {
        let dataset = Dataset {
            file: "f".to_owned(),
            rows: vec![row],
        };
        let encoder = ExampleEncoder {
            tokenizer: &tokenizer(),
            max_length: 8,
            labels: &Labels::new(["O", "B-PER", "B-LOC"].map(str::to_owned).to_vec()),
        };
        let examples = encoder.encode(&dataset, pair, kind);
        Ok(examples.map_err(|e| e.to_string())?.remove(0))
    }

    fn cosine(scale: f32) -> TargetKind {
        TargetKind::Score { scale, reach: 1.0 }
    }

    const NUMBER: TargetKind = TargetKind::Score {
        scale: 1.0,
        reach: f32::INFINITY,
    };

    fn target(kind: TargetKind, cell: &str) -> Result<Target, String> {
        read(kind, None, &["ada", cell]).map(|example| example.target)
    }

    #[test]
    fn targets_of_every_kind() {
        assert_eq!(target(TargetKind::Class, " B-LOC "), Ok(Target::Class(2)));
        for cell in ["O, B-LOC", "O,2"] {
            assert_eq!(
                target(TargetKind::Classes, cell),
                Ok(Target::Classes(vec![1.0, 0.0, 1.0]))
            );
        }
        assert_eq!(
            target(TargetKind::Classes, ""),
            Ok(Target::Classes(vec![0.0; 3]))
        );
        assert_eq!(target(cosine(5.0), " 2.5"), Ok(Target::Score(0.5)));
        assert_eq!(target(cosine(5.0), "-5"), Ok(Target::Score(-1.0)));
        assert_eq!(target(NUMBER, "700"), Ok(Target::Score(700.0)));
        assert_eq!(target(TargetKind::None, ""), Ok(Target::None));
    }

    #[test]
    fn targets_that_cannot_be_are_named_by_their_line() {
        for (kind, cell, says) in [
            (
                TargetKind::Class,
                "B-ORG",
                "f, line 7: label \"B-ORG\" is none of O, B-PER, B-LOC",
            ),
            (TargetKind::Class, "", "f, line 7: there is no label"),
            (
                TargetKind::Classes,
                "0,0,1",
                "f, line 7: label \"0\" stands twice in \"0,0,1\": the names or ids of the labels that hold belong there, not a \
                 0 or 1 for each label",
            ),
            (NUMBER, "nan", "f, line 7: score \"nan\" is no number"),
            (NUMBER, "1e39", "f, line 7: score \"1e39\" is no number"),
            (
                cosine(1.0),
                "5",
                "f, line 7: score 5 is out of reach, which is from -1 to 1 for a cosine: set data.scale to the highest score \
                 there can be, such as 5",
            ),
            (
                cosine(4.0),
                "-5",
                "f, line 7: score -5 divided by data.scale, 4, is -1.25, and is out of reach, which is from -1 to 1 for a \
                 cosine: set data.scale to the highest score there can be, such as 5",
            ),
            (TargetKind::Tags, "O O", "f, line 7: 1 tokens and 2 tags"),
        ] {
            assert_eq!(target(kind, cell).unwrap_err(), says);
        }
        let row = row(vec!["ada".into(), Cell::list(["O", "B-PER"])], None);
        assert_eq!(
            example(TargetKind::Class, None, row).unwrap_err(),
            "f, line 7: there are several labels, \"O B-PER\", where one belongs: task = \"multi-label\" learns several"
        );
    }

    #[test]
    fn items_of_a_list_are_words() {
        // [CLS] ada lives in lon ##don [SEP]; "ada lives" is one word, and an empty one has no token.
        let cells = vec![
            Cell::list(["ada lives", "", "in", "london"]),
            Cell::list(["B-PER", "O", " O", "B-LOC"]),
        ];
        let row = row(cells, None);
        let example = example(TargetKind::Tags, None, row).unwrap();
        let tags = vec![None, Some(1), None, Some(0), Some(2), None, None];
        assert_eq!(example.target, Target::Tags(tags));
    }

    #[test]
    fn a_word_gives_its_tag_to_its_first_token() {
        // [CLS] ada lives in lon ##don . [SEP], of which the last word's full stop is no word of its own.
        let example = read(
            TargetKind::Tags,
            None,
            &["ada lives in  london.", "B-PER O O B-LOC"],
        );
        let tags = vec![None, Some(1), Some(0), Some(0), Some(2), None, None, None];
        assert_eq!(example.unwrap().target, Target::Tags(tags));
    }

    #[test]
    fn words_behind_the_limit_and_words_of_nothing_have_no_tag() {
        let example = read(
            TargetKind::Tags,
            None,
            &["\u{1} ada in in in in in london", "O B-PER O O O O O B-LOC"],
        );
        let tags = vec![
            None,
            Some(1),
            Some(0),
            Some(0),
            Some(0),
            Some(0),
            Some(0),
            None,
        ];
        assert_eq!(example.unwrap().target, Target::Tags(tags));
    }

    #[test]
    fn pairs_together_and_apart() {
        let together = read(TargetKind::None, Some(PairMode::Joint), &["ada", "lives"]).unwrap();
        assert_eq!((together.first.len(), together.second), (5, None));
        let apart = read(
            TargetKind::None,
            Some(PairMode::Separate),
            &["ada", "lives"],
        )
        .unwrap();
        assert_eq!((apart.first.len(), apart.second.unwrap().len()), (3, 3));
    }

    #[test]
    fn answers_are_spans_of_tokens() {
        // [CLS] who [SEP] ada in london's first two pieces [SEP]: the rest is cut off.
        let span = |answer: &str, start: &str| {
            let example = read(
                TargetKind::Span,
                Some(PairMode::Joint),
                &["who", "Ada in London.", answer, start],
            );
            example.map(|example| example.target)
        };
        assert_eq!(span("Ada in", "0"), Ok(Target::Span(Some((3, 4)))));
        assert_eq!(span("London", "7"), Ok(Target::Span(Some((5, 6)))));
        assert_eq!(span("London.", "7"), Ok(Target::Span(None)));
        assert!(
            span("London", "6")
                .unwrap_err()
                .contains("does not stand at character 6")
        );
        assert!(span("London", "x").is_err());
    }
}
