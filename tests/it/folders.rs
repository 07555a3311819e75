//! Folders of tokenizer files that `fixtures/tokenizer_folders.py` writes, with the ids that transformers gives.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

/// A file of such folders.
pub(crate) struct Folders(pub(crate) Value);

impl Folders {
    /// `fixtures/tokenizer/folders.json`.
    pub(crate) fn committed() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self::read(&root.join("fixtures/tokenizer/folders.json"))
    }

    pub(crate) fn read(file: &Path) -> Self {
        Self(serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap())
    }

    pub(crate) fn cases(&self) -> &[Value] {
        self.0["cases"].as_array().unwrap()
    }

    pub(crate) fn texts(&self) -> &[Value] {
        self.0["texts"].as_array().unwrap()
    }

    /// A case's files, with the vocabulary in the places that stand for it.
    pub(crate) fn files(&self, case: &Value) -> BTreeMap<String, String> {
        let tokens = self.0["vocabulary"].as_array().unwrap().iter();
        let tokens = || tokens.clone().map(|token| token.as_str().unwrap());
        let lines: String = tokens().map(|token| format!("{token}\n")).collect();
        let ids = tokens().zip(0..);
        let ids = ids.map(|(token, id)| (token.to_owned(), json!(id)));
        let map = Value::Object(ids.collect()).to_string();
        let files = case["files"].as_object().unwrap().iter();
        let filled = files.map(|(name, content)| {
            let content = content.as_str().unwrap();
            let content = match name.as_str() {
                "vocab.txt" => content.replace("VOCABULARY", &lines),
                _ => content.replace("\"VOCABULARY\"", &map),
            };
            (name.clone(), content)
        });
        filled.collect()
    }
}
