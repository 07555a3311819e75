//! Templates of special tokens around and between texts, such as `[CLS] A [SEP] B [SEP]`.

use super::model::Token;
use crate::batch::Encoding;

/// One part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TemplatePiece {
    /// A special token.
    Special { id: u32, type_id: u32 },
    /// A text: the first for index 0, the second for index 1.
    Text { index: u8, type_id: u32 },
}

/// Templates for a single text and for a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) single: Vec<TemplatePiece>,
    pub(super) pair: Vec<TemplatePiece>,
}

impl Template {
    /// Creates BERT's template, `[CLS] A [SEP] B [SEP]`, with `B [SEP]` of type 1.
    pub(super) fn bert(cls: u32, sep: u32) -> Self {
        let special = |id, type_id| TemplatePiece::Special { id, type_id };
        let text = |index, type_id| TemplatePiece::Text { index, type_id };
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

    /// Creates RoBERTa's template, `<s> A </s></s> B </s>`, all of type 0.
    pub(super) fn roberta(cls: u32, sep: u32) -> Self {
        let special = |id| TemplatePiece::Special { id, type_id: 0 };
        let text = |index| TemplatePiece::Text { index, type_id: 0 };
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

    /// Ids of the special tokens of both templates.
    pub(super) fn special_ids(&self) -> impl Iterator<Item = u32> {
        let parts = self.single.iter().chain(&self.pair);
        parts.filter_map(|part| match part {
            TemplatePiece::Special { id, .. } => Some(*id),
            TemplatePiece::Text { .. } => None,
        })
    }

    /// Creates a template without special tokens; the second text is of type 1.
    pub(super) fn bare() -> Self {
        let text = |index| TemplatePiece::Text {
            index,
            type_id: index.into(),
        };
        Self {
            single: vec![text(0)],
            pair: vec![text(0), text(1)],
        }
    }

    fn parts(&self, pair: bool) -> &[TemplatePiece] {
        if pair { &self.pair } else { &self.single }
    }

    /// Number of special tokens in the template for a text, or for a pair.
    pub(super) fn specials(&self, pair: bool) -> usize {
        let special = |part: &&TemplatePiece| matches!(part, TemplatePiece::Special { .. });
        self.parts(pair).iter().filter(special).count()
    }

    /// Fills the template with the tokens of one text or two.
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
                TemplatePiece::Special { id, type_id } => {
                    out.ids.push(id);
                    out.type_ids.push(type_id);
                    out.offsets.push((0, 0));
                    out.sequences.push(None);
                    out.words.push(None);
                }
                TemplatePiece::Text { index, type_id } => {
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
