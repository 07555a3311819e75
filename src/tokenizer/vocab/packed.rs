//! Vocabularies in packed files: the arrays of a built vocabulary.

use super::hash_table::HashTable;
use super::token_spans::{TokenSpans, TwoBytes};
use super::{Prefix, Vocab, vocab_error};
use crate::error::Result;
use crate::weights::{Bytes, ModelFiles, PodBuf, TensorEntry, VOCABULARY};

const TEXT: &str = "text";
const STARTS: &str = "starts";
const RUNS: &str = "runs";
const WHOLE: &str = "whole";
const CONTINUING: &str = "continuing";
/// Suffix of a table's name for the array of its ids' third bytes, if there is one.
const HIGH: &str = ".high";
const LONGEST: &str = "longest";

fn named(array: &str) -> String {
    format!("{VOCABULARY}{array}")
}

impl Vocab {
    /// Opens the vocabulary of a packed file in place; `None` if `files` are not a packed file.
    ///
    /// # Errors
    /// `Vocabulary` if this crate cannot have built it.
    pub(in crate::tokenizer) fn stored(files: &ModelFiles, prefix: &str) -> Option<Result<Self>> {
        let packed = files.packed()?;
        let vocab =
            Self::of_arrays(|name| packed.checked_bytes(name), prefix).filter(Self::is_sound);
        Some(
            vocab.ok_or_else(|| {
                vocab_error(packed.name(), "its vocabulary is not in order".to_owned())
            }),
        )
    }

    fn of_arrays(read: impl Fn(&str) -> Option<Bytes>, prefix: &str) -> Option<Self> {
        let text: PodBuf<u8> = PodBuf::from_le_bytes(read(&named(TEXT))?)?;
        let starts: PodBuf<TwoBytes> = PodBuf::from_le_bytes(read(&named(STARTS))?)?;
        let token_spans = TokenSpans::stored(
            starts,
            PodBuf::from_le_bytes(read(&named(RUNS))?)?,
            text.len(),
        )?;
        let table = |name: &str| {
            let high = read(&named(&format!("{name}{HIGH}")));
            Some(HashTable {
                buckets: PodBuf::from_le_bytes(read(&named(name))?)?,
                high: high.map_or(Some(Vec::new().into()), PodBuf::from_le_bytes)?,
            })
        };
        Some(Self {
            text,
            token_spans,
            word_start: table(WHOLE)?,
            continuation: table(CONTINUING)?,
            longest: PodBuf::from_le_bytes(read(&named(LONGEST))?)?,
            prefix: Prefix::new(prefix),
        })
    }

    /// Whether look-ups can neither fail nor loop forever.
    fn is_sound(&self) -> bool {
        let tables = [&self.word_start, &self.continuation];
        let sound = |table: &&HashTable| table.slots().is_sound(self.len());
        tables.iter().all(sound) && self.longest.len() == tables.len()
    }

    /// Sections of a packed file that hold the vocabulary.
    pub(in crate::tokenizer) fn parts(&self) -> Vec<TensorEntry> {
        let bytes = |name: &str, bytes: &[u8]| TensorEntry::bytes(&named(name), bytes.to_vec());
        let starts = TensorEntry::u16s(&named(STARTS), &self.token_spans.starts);
        let run_starts = &self.token_spans.run_starts;
        let run_starts = TensorEntry::u32s(&named(RUNS), vec![run_starts.len()], run_starts);
        let mut parts = vec![bytes(TEXT, &self.text), starts, run_starts];
        for (name, table) in [(WHOLE, &self.word_start), (CONTINUING, &self.continuation)] {
            parts.push(bytes(name, table.buckets.as_flattened()));
            if !table.high.is_empty() {
                parts.push(bytes(&format!("{name}{HIGH}"), table.high.as_flattened()));
            }
        }
        parts.push(bytes(LONGEST, self.longest.as_flattened()));
        parts
    }
}
