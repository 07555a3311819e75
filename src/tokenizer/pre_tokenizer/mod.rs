//! Pre-tokenizers, which cut a text into words, one a file.

pub(super) mod bert;
