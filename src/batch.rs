//! Plain data between the tokenizer and the encoder: what goes in ([`Input`]), one text as tokens
//! ([`Encoding`]), many texts as rows ([`Batch`]).

/// What a model is asked about: one text, or two that belong together.
///
/// Both convert by themselves, so `predict("text")` and `predict(("question", "context"))` read as they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// One text.
    Text(&'a str),
    /// Two texts: sentence and sentence, query and passage, question and context, premise and hypothesis.
    Pair(&'a str, &'a str),
}

impl<'a> Input<'a> {
    /// The first, or only, text.
    pub fn first(self) -> &'a str {
        match self {
            Input::Text(text) | Input::Pair(text, _) => text,
        }
    }

    /// The second text, if there are two.
    pub fn second(self) -> Option<&'a str> {
        match self {
            Input::Text(_) => None,
            Input::Pair(_, second) => Some(second),
        }
    }
}

impl<'a> From<&'a str> for Input<'a> {
    fn from(text: &'a str) -> Self {
        Input::Text(text)
    }
}

impl<'a> From<&'a String> for Input<'a> {
    fn from(text: &'a String) -> Self {
        Input::Text(text)
    }
}

impl<'a> From<&&'a str> for Input<'a> {
    fn from(text: &&'a str) -> Self {
        Input::Text(text)
    }
}

impl<'a> From<(&'a str, &'a str)> for Input<'a> {
    fn from((first, second): (&'a str, &'a str)) -> Self {
        Input::Pair(first, second)
    }
}

impl<'a> From<&(&'a str, &'a str)> for Input<'a> {
    fn from(&(first, second): &(&'a str, &'a str)) -> Self {
        Input::Pair(first, second)
    }
}

impl<'a> From<&'a (String, String)> for Input<'a> {
    fn from((first, second): &'a (String, String)) -> Self {
        Input::Pair(first, second)
    }
}

impl<'a> From<&Input<'a>> for Input<'a> {
    fn from(input: &Input<'a>) -> Self {
        *input
    }
}

/// One text, or one pair, as the tokens that the model reads.
///
/// The vectors run in step: entry `i` of each is about token `i`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoding {
    /// Rows of the word-embedding table.
    pub ids: Vec<u32>,
    /// Rows of the token-type table: 0, and 1 for the second text of a pair where the family tells them apart.
    pub type_ids: Vec<u32>,
    /// Where each token stands in its own text: bytes, end exclusive. `(0, 0)` for special tokens.
    pub offsets: Vec<(u32, u32)>,
    /// Which text each token comes from, 0 or 1; `None` for special tokens.
    pub sequences: Vec<Option<u8>>,
    /// Which word (by white space and punctuation) of its text each token belongs to; `None` for special tokens.
    pub words: Vec<Option<u32>>,
    /// Whether tokens were cut off to keep to a length limit.
    pub truncated: bool,
}

impl Encoding {
    /// The number of tokens, special ones included.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// Many texts as one run of rows, without padding.
///
/// Text `i` owns rows `starts[i]..starts[i + 1]`; every dense layer runs over all rows at once, and only attention
/// looks at `starts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Token ids of all texts, one after the other.
    pub ids: Vec<u32>,
    /// Token-type ids, in step with `ids`.
    pub type_ids: Vec<u32>,
    /// Where each text starts, and at the end the number of rows; so one entry more than there are texts.
    pub starts: Vec<usize>,
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
    /// The texts' tokens, one text after the other.
    ///
    /// ```
    /// use bertless::{Batch, Encoding};
    /// let encoding = |ids: &[u32]| Encoding { ids: ids.to_vec(), type_ids: vec![0; ids.len()], ..Default::default() };
    /// let batch = Batch::new(&[encoding(&[101, 7592, 102]), encoding(&[101, 102])]);
    /// assert_eq!(batch.starts, [0, 3, 5]);
    /// ```
    pub fn new<'a>(encodings: impl IntoIterator<Item = &'a Encoding>) -> Self {
        let mut batch = Self::default();
        for encoding in encodings {
            batch.push(encoding);
        }
        batch
    }

    /// Adds one text.
    pub fn push(&mut self, encoding: &Encoding) {
        self.ids.extend_from_slice(&encoding.ids);
        self.type_ids.extend_from_slice(&encoding.type_ids);
        self.starts.push(self.ids.len());
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of tokens of all texts together.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }
}
