//! Pre-tokenizers, which cut a text into words, one per file.

pub(super) mod bert;
