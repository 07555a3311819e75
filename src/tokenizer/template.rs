//! What stands around and between the texts: `[CLS] A [SEP] B [SEP]` and its kin.

use super::model::Token;
use crate::batch::Encoding;

/// One part of what the model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A special token.
    Special { id: u32, type_id: u32 },
    /// The first text, 0, or the second, 1.
    Text { index: u8, type_id: u32 },
}

/// What the model reads, for one text and for two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) single: Vec<Part>,
    pub(super) pair: Vec<Part>,
}

impl Template {
    /// `[CLS] A [SEP] B [SEP]`, the second half of type 1.
    pub(super) fn bert(cls: u32, sep: u32) -> Self {
        let special = |id, type_id| Part::Special { id, type_id };
        let text = |index, type_id| Part::Text { index, type_id };
        Self {
            single: vec![special(cls, 0), text(0, 0), special(sep, 0)],
            pair: vec![
                special(cls, 0),
                text(0, 0),
                special(sep, 0),
                text(1, 1),
                special(sep, 1),
            ],
        }
    }

    /// `<s> A </s></s> B </s>`, all of type 0.
    pub(super) fn roberta(cls: u32, sep: u32) -> Self {
        let special = |id| Part::Special { id, type_id: 0 };
        let text = |index| Part::Text { index, type_id: 0 };
        Self {
            single: vec![special(cls), text(0), special(sep)],
            pair: vec![
                special(cls),
                text(0),
                special(sep),
                special(sep),
                text(1),
                special(sep),
            ],
        }
    }

    /// The ids of the special tokens around one text or two.
    pub(super) fn special_ids(&self) -> impl Iterator<Item = u32> {
        let parts = self.single.iter().chain(&self.pair);
        parts.filter_map(|part| match part {
            Part::Special { id, .. } => Some(*id),
            Part::Text { .. } => None,
        })
    }

    /// The texts alone, the second of type 1.
    pub(super) fn bare() -> Self {
        let text = |index| Part::Text {
            index,
            type_id: index.into(),
        };
        Self {
            single: vec![text(0)],
            pair: vec![text(0), text(1)],
        }
    }

    fn parts(&self, pair: bool) -> &[Part] {
        if pair { &self.pair } else { &self.single }
    }

    /// How many special tokens there are.
    pub(super) fn specials(&self, pair: bool) -> usize {
        let special = |part: &&Part| matches!(part, Part::Special { .. });
        self.parts(pair).iter().filter(special).count()
    }

    /// What the model reads of these tokens.
    pub(super) fn apply(
        &self,
        first: &[Token],
        second: Option<&[Token]>,
        truncated: bool,
    ) -> Encoding {
        let parts = self.parts(second.is_some());
        let second = second.unwrap_or_default();
        let len = first.len() + second.len() + parts.len();
        let mut out = Encoding {
            ids: Vec::with_capacity(len),
            type_ids: Vec::with_capacity(len),
            offsets: Vec::with_capacity(len),
            sequences: Vec::with_capacity(len),
            words: Vec::with_capacity(len),
            truncated,
        };
        for part in parts {
            match *part {
                Part::Special { id, type_id } => {
                    out.ids.push(id);
                    out.type_ids.push(type_id);
                    out.offsets.push((0, 0));
                    out.sequences.push(None);
                    out.words.push(None);
                }
                Part::Text { index, type_id } => {
                    let tokens = if index == 0 { first } else { second };
                    let len = out.ids.len() + tokens.len();
                    out.ids.extend(tokens.iter().map(|token| token.id));
                    out.type_ids.resize(len, type_id);
                    out.offsets
                        .extend(tokens.iter().map(|token| (token.start, token.end)));
                    out.sequences.resize(len, Some(index));
                    out.words
                        .extend(tokens.iter().map(|token| Some(token.word)));
                }
            }
        }
        out
    }
}
