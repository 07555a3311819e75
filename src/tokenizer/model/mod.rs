//! The models that make tokens of words, one a file.

pub(super) mod wordpiece;

/// A token of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) id: u32,
    /// The bytes of the text that it stands for.
    pub(super) start: u32,
    pub(super) end: u32,
    /// The number of its word.
    pub(super) word: u32,
}
