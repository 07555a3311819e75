//! A tokenizer in a packed file: the vocabulary's arrays as they are after building, and the files without it.

use super::document::TOKENIZER;
use super::listed::VOCAB;
use super::places::{Places, TwoBytes};
use super::table::Table;
use super::vocab::{Prefix, Vocab, wrong};
use crate::error::{Error, Result};
use crate::weights::{Bytes, Files, PodBuf, TensorEntry, VOCABULARY};

const TEXT: &str = "text";
const STARTS: &str = "starts";
const RUNS: &str = "runs";
const WHOLE: &str = "whole";
const CONTINUING: &str = "continuing";
/// What the name of a table is followed by for the third bytes of its ids, if there are any.
const HIGH: &str = ".high";
const LONGEST: &str = "longest";

fn named(array: &str) -> String {
    format!("{VOCABULARY}{array}")
}

impl Vocab {
    /// The vocabulary that a packed file holds, used where it lies; `None` if these files are none.
    ///
    /// # Errors
    /// `Vocabulary` if it is not one that this crate has built.
    pub(super) fn stored(files: &Files, prefix: &str) -> Option<Result<Self>> {
        let packed = files.packed()?;
        let vocab = Self::of_arrays(|name| packed.stored(name), prefix).filter(Self::is_sound);
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

    /// Whether looking up can neither fail nor go on for ever.
    fn is_sound(&self) -> bool {
        let tables = [&self.whole, &self.continuing];
        let sound = |table: &&Table| table.slots().is_sound(self.len());
        tables.iter().all(sound) && self.longest.len() == tables.len()
    }

    /// What a packed file holds of it.
    pub(super) fn parts(&self) -> Vec<TensorEntry> {
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

/// What a packed file holds of a model's file: all of it, or what is left without the vocabulary; `None` for nothing.
///
/// # Errors
/// `Json` for a tokenizer.json that is read only as far as its unknown parts are not looked at.
pub(crate) fn without_vocabulary(name: &str, bytes: Vec<u8>) -> Result<Option<Vec<u8>>> {
    let json = |source| Error::Json {
        file: name.to_owned(),
        source,
    };
    match name.rsplit('/').next() {
        Some(VOCAB) => Ok(None),
        Some(TOKENIZER) => {
            let mut tokenizer: serde_json::Value = serde_json::from_slice(&bytes).map_err(json)?;
            if let Some(model) = tokenizer
                .get_mut("model")
                .and_then(|model| model.as_object_mut())
            {
                model.remove("vocab");
            }
            serde_json::to_vec(&tokenizer).map(Some).map_err(json)
        }
        _ => Ok(Some(bytes)),
    }
}
