//! Vocabularies in packed files: the arrays of a built vocabulary.

use super::hash_table::Table;
use super::token_spans::{Places, TwoBytes};
use super::{Prefix, Vocab, wrong};
use crate::error::Result;
use crate::weights::{Bytes, Files, PodBuf, TensorEntry, VOCABULARY};

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
    pub(in crate::tokenizer) fn stored(files: &Files, prefix: &str) -> Option<Result<Self>> {
        let packed = files.packed()?;
        let vocab =
            Self::of_arrays(|name| packed.checked_bytes(name), prefix).filter(Self::is_sound);
        Some(vocab.ok_or_else(|| wrong(packed.name(), "its vocabulary is not in order".to_owned())))
    }

    fn of_arrays(read: impl Fn(&str) -> Option<Bytes>, prefix: &str) -> Option<Self> {
        let text: PodBuf<u8> = PodBuf::from_le_bytes(read(&named(TEXT))?)?;
        let starts: PodBuf<TwoBytes> = PodBuf::from_le_bytes(read(&named(STARTS))?)?;
        let places = Places::stored(
            starts,
            PodBuf::from_le_bytes(read(&named(RUNS))?)?,
            text.len(),
        )?;
        let table = |name: &str| {
            let high = read(&named(&format!("{name}{HIGH}")));
            Some(Table {
                buckets: PodBuf::from_le_bytes(read(&named(name))?)?,
                high: high.map_or(Some(Vec::new().into()), PodBuf::from_le_bytes)?,
            })
        };
        Some(Self {
            text,
            places,
            whole: table(WHOLE)?,
            continuing: table(CONTINUING)?,
            longest: PodBuf::from_le_bytes(read(&named(LONGEST))?)?,
            prefix: Prefix::new(prefix),
        })
    }

    /// Whether look-ups can neither fail nor loop forever.
    fn is_sound(&self) -> bool {
        let tables = [&self.whole, &self.continuing];
        let sound = |table: &&Table| table.slots().is_sound(self.len());
        tables.iter().all(sound) && self.longest.len() == tables.len()
    }

    /// Sections of a packed file that hold the vocabulary.
    pub(in crate::tokenizer) fn parts(&self) -> Vec<TensorEntry> {
        let bytes = |name: &str, bytes: &[u8]| TensorEntry::bytes(&named(name), bytes.to_vec());
        let starts = TensorEntry::u16s(&named(STARTS), &self.places.starts);
        let runs = &self.places.runs;
        let runs = TensorEntry::u32s(&named(RUNS), vec![runs.len()], runs);
        let mut parts = vec![bytes(TEXT, &self.text), starts, runs];
        for (name, table) in [(WHOLE, &self.whole), (CONTINUING, &self.continuing)] {
            parts.push(bytes(name, table.buckets.as_flattened()));
            if !table.high.is_empty() {
                parts.push(bytes(&format!("{name}{HIGH}"), table.high.as_flattened()));
            }
        }
        parts.push(bytes(LONGEST, self.longest.as_flattened()));
        parts
    }
}
