//! Layout and writing of a packed file.

use std::io::Write;

use xxhash_rust::xxh3::Xxh3;

use super::entry::TensorEntry;
use super::format::{ALIGNMENT, PADDING, VERSION};
use super::open::PackedSummary;
use super::preamble::{Preamble, hexadecimal};

/// A packed file that is ready to be written.
#[derive(Debug)]
pub(crate) struct Container {
    /// Bytes up to the end of the vocabulary, which the preamble's digest covers.
    prefix: Vec<u8>,
    /// Tensors that follow.
    weights: Vec<TensorEntry>,
    digest: String,
    /// Kind and length in bytes of the header and each tensor.
    sections: Vec<(&'static str, usize)>,
}

impl Container {
    /// Lays out a file. `prefix` holds settings and vocabulary; `metadata` holds keys and values of the header.
    pub(crate) fn new(
        prefix: Vec<TensorEntry>,
        mut weights: Vec<TensorEntry>,
        metadata: &[(&str, String)],
    ) -> Self {
        // Vectors come first, then matrices (of three or four dimensions), then tables, each in the order of loading.
        weights.sort_by_key(|entry| match entry.shape.len() {
            0 | 1 => 0,
            2 => 2,
            _ => 1,
        });
        let mut paddings = 0;
        let (prefix, weights) = (pad(prefix, &mut paddings), pad(weights, &mut paddings));
        let mut hash = Xxh3::new();
        weights.iter().for_each(|entry| hash.update(&entry.bytes));
        let prefix_len: usize = prefix.iter().map(|entry| entry.bytes.len()).sum();

        let mut header = String::new();
        let metadata = metadata.iter().map(|(key, value)| (*key, value.clone()));
        for (key, value) in metadata.chain([("weights", hexadecimal(&hash))]) {
            header += &format!("{}:{},", json(key), json(&value));
        }
        header.pop(); // the last comma
        header.push('}');
        let mut start = 0;
        let mut sections = Vec::new();
        for (index, entry) in prefix.iter().chain(&weights).enumerate() {
            let end = start + entry.bytes.len();
            header += &format!(
                ",{}:{{\"dtype\":\"{:?}\",\"shape\":{:?},\"data_offsets\":[{start},{end}]}}",
                json(&entry.name),
                entry.dtype,
                entry.shape,
            );
            start = end;
            let kind = entry.kind(index < prefix.len());
            sections.push((kind, entry.bytes.len()));
        }
        header.push('}');

        // The preamble's length does not depend on its contents.
        let data = (8 + Preamble::bytes(0).len() + header.len()).next_multiple_of(ALIGNMENT);
        let mut bytes = Vec::with_capacity(data + prefix_len);
        bytes.extend((data as u64 - 8).to_le_bytes());
        bytes.extend(Preamble::bytes(data + prefix_len));
        bytes.extend(header.as_bytes());
        bytes.resize(data, b' ');
        prefix.iter().for_each(|entry| bytes.extend(&entry.bytes));
        let digest = Preamble::write_digest(&mut bytes);
        sections.insert(0, ("header", data));
        Self {
            prefix: bytes,
            weights,
            digest,
            sections,
        }
    }

    /// Length of the file in bytes.
    pub(crate) fn len(&self) -> usize {
        let weights = self.weights.iter().map(|entry| entry.bytes.len());
        self.prefix.len() + weights.sum::<usize>()
    }

    /// Summary that the file carries.
    pub(crate) fn summary(&self) -> PackedSummary {
        PackedSummary {
            version: VERSION,
            digest: self.digest.clone(),
        }
    }

    /// Kind and length in bytes of the header and each tensor, in the order of the file.
    pub(crate) fn sections(&self) -> &[(&'static str, usize)] {
        &self.sections
    }

    /// Writes the whole file.
    pub(crate) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        out.write_all(&self.prefix)?;
        let mut weights = self.weights.iter();
        weights.try_for_each(|entry| out.write_all(&entry.bytes))
    }
}

/// Inserts padding behind each entry whose length is not a multiple of the alignment.
fn pad(entries: Vec<TensorEntry>, count: &mut usize) -> Vec<TensorEntry> {
    let mut padded = Vec::with_capacity(entries.len());
    for entry in entries {
        let len = entry.bytes.len();
        let missing = len.next_multiple_of(ALIGNMENT) - len;
        padded.push(entry);
        if missing > 0 {
            padded.push(TensorEntry::bytes(
                &format!("{PADDING}{count}"),
                vec![0; missing],
            ));
            *count += 1;
        }
    }
    padded
}

/// Formats a string as JSON, quoted and escaped.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
