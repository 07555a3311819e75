//! A tokenizer in a packed file: the vocabulary's arrays as they are after building, and the files without it.

use super::settings::{TOKENIZER, VOCAB};
use super::table::Slots;
use super::vocab::{ABSENT, LONGEST, Vocab, wrong};
use crate::error::{Error, Result};
use crate::weights::{Bytes, Files, Numbers, Part, VOCABULARY};

const TEXT: &str = "text";
const SPANS: &str = "spans";
const WHOLE: &str = "whole";
const CONTINUING: &str = "continuing";
const LONGEST_WHOLE: &str = "longest_whole";
const LONGEST_CONTINUING: &str = "longest_continuing";

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
        let read = |array: &str| packed.stored(&named(array));
        let vocab = Self::of_arrays(read, prefix).filter(Self::is_sound);
        Some(vocab.ok_or_else(|| wrong(packed.name(), "its vocabulary is not in order".to_owned())))
    }

    fn of_arrays(read: impl Fn(&str) -> Option<Bytes>, prefix: &str) -> Option<Self> {
        Some(Self {
            text: Numbers::stored(read(TEXT)?)?,
            spans: Numbers::stored(read(SPANS)?)?,
            whole: Numbers::stored(read(WHOLE)?)?,
            continuing: Numbers::stored(read(CONTINUING)?)?,
            longest: [
                Numbers::stored(read(LONGEST_WHOLE)?)?,
                Numbers::stored(read(LONGEST_CONTINUING)?)?,
            ],
            prefix: prefix.len(),
        })
    }

    /// Whether looking up can neither fail nor go on for ever.
    fn is_sound(&self) -> bool {
        let (text, spans) = (self.text.len(), &*self.spans);
        let inside = |[start, end]: [u32; 2]| (start <= end) & (end as usize <= text);
        let known = |all: bool, &span: &[u32; 2]| all & ((span == ABSENT) | inside(span));
        spans.iter().fold(true, known)
            && u32::try_from(spans.len()).is_ok()
            && Slots(&self.whole).is_sound(spans.len())
            && Slots(&self.continuing).is_sound(spans.len())
            && self.longest.iter().all(|lens| lens.len() == LONGEST)
    }

    /// What a packed file holds of it.
    pub(super) fn parts(&self) -> Vec<Part> {
        let whole = |name: &str, width: usize, numbers: &[u32]| {
            Part::whole(&named(name), vec![numbers.len() / width, width], numbers)
        };
        let bytes = |name: &str, bytes: &[u8]| Part::bytes(&named(name), bytes.to_vec());
        vec![
            bytes(TEXT, &self.text),
            whole(SPANS, 2, self.spans.as_flattened()),
            whole(WHOLE, 4, self.whole.as_flattened()),
            whole(CONTINUING, 4, self.continuing.as_flattened()),
            bytes(LONGEST_WHOLE, &self.longest[0]),
            bytes(LONGEST_CONTINUING, &self.longest[1]),
        ]
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
