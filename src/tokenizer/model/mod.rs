//! Models that split words into tokens, one per file.

pub(super) mod wordpiece;

/// A token with its position in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) id: u32,
    /// First byte of the token in the text; `end` is one past the last.
    pub(super) start: u32,
    pub(super) end: u32,
    /// Index of its word in the text.
    pub(super) word: u32,
}
