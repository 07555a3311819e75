//! Plain data between the tokenizer and the encoder: a text or a pair ([`Input`]), its tokens ([`Encoding`]), and the
//! tokens of many texts as rows ([`Batch`]).

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

/// Input of a model: one text, or a pair of texts.
///
/// Methods take anything that is [`AsInput`], so `predict("text")` and `predict(("question", "context"))` both work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// One text.
    Text(&'a str),
    /// Two texts: two sentences, query and passage, question and context, or premise and hypothesis.
    Pair(&'a str, &'a str),
}

impl<'a> Input<'a> {
    /// The first, or only, text.
    pub fn first(self) -> &'a str {
        match self {
            Input::Text(text) | Input::Pair(text, _) => text,
        }
    }

    /// The second text of a pair; `None` for a single text.
    pub fn second(self) -> Option<&'a str> {
        match self {
            Input::Text(_) => None,
            Input::Pair(_, second) => Some(second),
        }
    }
}

/// What can be given to a model: a text or a pair of texts, owned or by reference.
///
/// Implemented for `str` and the owners of one (`String`, `Cow<str>`, `Box<str>`, `Rc<str>`, `Arc<str>`), for pairs of
/// anything that is `AsRef<str>`, for [`Input`], and for references to these.
pub trait AsInput {
    /// The text or the pair.
    fn as_input(&self) -> Input<'_>;
}

impl<T: AsInput + ?Sized> AsInput for &T {
    fn as_input(&self) -> Input<'_> {
        (**self).as_input()
    }
}

impl AsInput for Input<'_> {
    fn as_input(&self) -> Input<'_> {
        *self
    }
}

impl AsInput for str {
    fn as_input(&self) -> Input<'_> {
        Input::Text(self)
    }
}

macro_rules! text_as_input {
    ($($owner:ty),*) => {
        $(
            impl AsInput for $owner {
                fn as_input(&self) -> Input<'_> {
                    Input::Text(self)
                }
            }
        )*
    };
}

text_as_input!(String, Cow<'_, str>, Box<str>, Rc<str>, Arc<str>);

impl<A: AsRef<str>, B: AsRef<str>> AsInput for (A, B) {
    fn as_input(&self) -> Input<'_> {
        Input::Pair(self.0.as_ref(), self.1.as_ref())
    }
}

impl<'a> From<&'a str> for Input<'a> {
    fn from(text: &'a str) -> Self {
        Input::Text(text)
    }
}

impl<'a> From<(&'a str, &'a str)> for Input<'a> {
    fn from((first, second): (&'a str, &'a str)) -> Self {
        Input::Pair(first, second)
    }
}

/// Tokens of one text or pair, as the model reads them.
///
/// The vectors are parallel: entry `i` of each describes token `i`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoding {
    /// Token ids, which are rows of the word-embedding table.
    pub ids: Vec<u32>,
    /// Token-type ids, which are rows of the token-type table: 0, or 1 for the second text of a pair in families that
    /// distinguish the texts.
    pub type_ids: Vec<u32>,
    /// Byte range of each token in its text, end exclusive; `(0, 0)` for special tokens.
    pub offsets: Vec<(u32, u32)>,
    /// Text that each token comes from, 0 or 1; `None` for special tokens.
    pub sequences: Vec<Option<u8>>,
    /// Index of the word that each token belongs to, counted in its text (white space and punctuation separate words);
    /// `None` for special tokens.
    pub words: Vec<Option<u32>>,
    /// Whether tokens were cut off because of a length limit.
    pub truncated: bool,
}

impl Encoding {
    /// Creates an encoding from token ids alone: all of type 0, none with a text or an offset.
    ///
    /// ```
    /// let encoding = bertless::Encoding::from_ids(vec![101, 7592, 102]);
    /// assert_eq!((encoding.len(), encoding.type_ids), (3, vec![0, 0, 0]));
    /// ```
    pub fn from_ids(ids: Vec<u32>) -> Self {
        let len = ids.len();
        Self {
            ids,
            type_ids: vec![0; len],
            offsets: vec![(0, 0); len],
            sequences: vec![None; len],
            words: vec![None; len],
            truncated: false,
        }
    }

    /// The number of tokens, special ones included.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the encoding has no tokens.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Mask of the special tokens: true for each token that comes from no text.
    pub fn special_tokens_mask(&self) -> Vec<bool> {
        self.sequences.iter().map(Option::is_none).collect()
    }

    /// Converts the offsets to characters, as Python counts them. `input` is the text or pair that was encoded.
    ///
    /// ```
    /// use bertless::{Encoding, Input};
    /// let encoding = Encoding { offsets: vec![(0, 0), (0, 2), (3, 4)], sequences: vec![None, Some(0), Some(0)], ..Default::default() };
    /// assert_eq!(encoding.char_offsets("é n"), [(0, 0), (0, 1), (2, 3)]);
    /// ```
    pub fn char_offsets(&self, input: impl AsInput) -> Vec<(usize, usize)> {
        let input = input.as_input();
        let mut counters = [
            CharacterCounter::new(input.first()),
            CharacterCounter::new(input.second().unwrap_or_default()),
        ];
        let tokens = self.offsets.iter().zip(&self.sequences);
        tokens
            .map(|(&(start, end), sequence)| match sequence {
                None => (0, 0),
                Some(text) => {
                    let counter = &mut counters[usize::from(*text).min(1)];
                    (counter.before(start as usize), counter.before(end as usize))
                }
            })
            .collect()
    }
}

/// Converts byte offsets to character offsets, fast for offsets that mostly ascend.
pub(crate) struct CharacterCounter<'a> {
    text: &'a str,
    /// Byte offset up to which characters are counted.
    bytes: usize,
    /// Number of characters that start before `bytes`.
    characters: usize,
}

impl<'a> CharacterCounter<'a> {
    /// Creates a counter at the start of a text.
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: 0,
            characters: 0,
        }
    }

    /// Number of characters that start before this byte. A byte past the text's end counts as the end.
    pub(crate) fn before(&mut self, byte: usize) -> usize {
        let byte = byte.min(self.text.len());
        if byte < self.bytes {
            // Two tokens may share a character, and a second window starts again from the front: a step back is short,
            // or goes to the front.
            let behind = count(&self.text.as_bytes()[byte..self.bytes]);
            self.characters -= behind;
        } else {
            self.characters += count(&self.text.as_bytes()[self.bytes..byte]);
        }
        self.bytes = byte;
        self.characters
    }
}

/// Number of characters that start in these bytes of a text.
fn count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte & 0xC0 != 0x80).count()
}

/// Rows of each text that the encoder returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputRows {
    /// The rows of all tokens.
    All,
    /// The first row.
    First,
}

/// Tokens of many texts, concatenated without padding; each token is a row of the encoder's matrices.
///
/// Text `i` has rows `starts[i]..starts[i + 1]`. Every dense layer runs over all rows at once; only attention reads
/// `starts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Token ids of all texts, one after the other.
    pub(crate) ids: Vec<u32>,
    /// Token-type ids, parallel to `ids`.
    pub(crate) type_ids: Vec<u32>,
    /// First row of each text, followed by the number of rows: one entry more than there are texts.
    pub(crate) starts: Vec<usize>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            type_ids: Vec::new(),
            starts: vec![0],
        }
    }
}

impl Batch {
    /// Concatenates the tokens of these texts.
    pub(crate) fn new<'a>(encodings: impl IntoIterator<Item = &'a Encoding>) -> Self {
        let mut batch = Self::default();
        for encoding in encodings {
            batch.push(encoding);
        }
        batch
    }

    /// Appends one text.
    pub(crate) fn push(&mut self, encoding: &Encoding) {
        self.ids.extend_from_slice(&encoding.ids);
        self.type_ids.extend_from_slice(&encoding.type_ids);
        self.starts.push(self.ids.len());
    }

    /// First output row of each text, and the number of output rows.
    pub(crate) fn starts_of(&self, outputs: OutputRows) -> Cow<'_, [usize]> {
        match outputs {
            OutputRows::All => Cow::Borrowed(&self.starts),
            OutputRows::First => (0..self.starts.len()).collect(),
        }
    }

    /// Number of tokens of all texts.
    pub(crate) fn rows(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_concatenated() {
        let encoding = |ids: &[u32]| Encoding {
            ids: ids.to_vec(),
            type_ids: vec![0; ids.len()],
            ..Default::default()
        };
        let batch = Batch::new(&[encoding(&[101, 7592, 102]), encoding(&[101, 102])]);
        assert_eq!(batch.starts, [0, 3, 5]);
        assert_eq!(batch.rows(), 5);
    }
}
