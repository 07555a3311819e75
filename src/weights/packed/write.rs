//! Writing a packed file.

use std::io::Write;

use safetensors::Dtype;
use xxhash_rust::xxh3::Xxh3;

use super::stamp::{Stamp, hexadecimal};
use super::{ALIGNMENT, PADDING, VERSION, VOCABULARY, encode};
use crate::error::{Error, Result};
use crate::weights::packed::open::PackedSummary;

/// A tensor of a packed file.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Part {
    pub(super) fn new(name: &str, dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) -> Self {
        let numbers: usize = shape.iter().product();
        assert_eq!(bytes.len(), numbers * dtype.bitsize() / 8, "{name}");
        Self {
            name: name.to_owned(),
            dtype,
            shape,
            bytes,
        }
    }

    /// Numbers in some type of float.
    ///
    /// # Errors
    /// `NonFinite` if one of them is too large for it.
    pub(super) fn numbers(
        name: &str,
        dtype: Dtype,
        shape: Vec<usize>,
        numbers: &[f32],
    ) -> Result<Self> {
        let bytes = encode(numbers, dtype).ok_or_else(|| Error::NonFinite {
            what: format!("weight {name} in {dtype:?}"),
        })?;
        Ok(Self::new(name, dtype, shape, bytes))
    }

    /// Bytes.
    pub(crate) fn bytes(name: &str, bytes: Vec<u8>) -> Self {
        Self::new(name, Dtype::U8, vec![bytes.len()], bytes)
    }

    /// Whole numbers, of any shape.
    pub(crate) fn whole(name: &str, shape: Vec<usize>, numbers: &[u32]) -> Self {
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self::new(name, Dtype::U32, shape, bytes)
    }

    /// Numbers of two bytes, the lower first.
    pub(crate) fn short(name: &str, numbers: &[[u8; 2]]) -> Self {
        let bytes = numbers.as_flattened().to_vec();
        Self::new(name, Dtype::U16, vec![numbers.len()], bytes)
    }

    /// Which part of a file a tensor belongs to.
    pub(super) fn kind_of(name: &str, dimensions: usize, front: bool) -> &'static str {
        match dimensions {
            _ if name.starts_with(PADDING) => "padding",
            _ if name.starts_with(VOCABULARY) => "vocabulary",
            _ if front => "settings",
            0 | 1 => "numbers",
            2 => "tables",
            _ => "matrices",
        }
    }
}

/// A packed file ahead of its being written.
#[derive(Debug)]
pub(crate) struct Container {
    /// Everything up to the end of the vocabulary.
    front: Vec<u8>,
    /// What follows.
    weights: Vec<Part>,
    digest: String,
    /// Bytes by kind.
    inventory: Vec<(&'static str, usize)>,
}

impl Container {
    /// Of settings and vocabulary, of weights, and of what is worth knowing of them: keys and values.
    pub(crate) fn new(front: Vec<Part>, mut weights: Vec<Part>, facts: &[(&str, String)]) -> Self {
        // Tables go last; all else is in the order in which it is used.
        weights.sort_by_key(|part| match part.shape.len() {
            0 | 1 => 0,
            2 => 2,
            _ => 1,
        });
        let mut paddings = 0;
        let (front, weights) = (pad(front, &mut paddings), pad(weights, &mut paddings));
        let mut hash = Xxh3::new();
        weights.iter().for_each(|part| hash.update(&part.bytes));
        let front_len: usize = front.iter().map(|part| part.bytes.len()).sum();

        let mut header = String::new();
        let facts = facts.iter().map(|(key, value)| (*key, value.clone()));
        for (key, value) in facts.chain([("weights", hexadecimal(&hash))]) {
            header += &format!("{}:{},", json(key), json(&value));
        }
        header.pop(); // the last comma
        header.push('}');
        let mut start = 0;
        let mut inventory = Vec::new();
        for (index, part) in front.iter().chain(&weights).enumerate() {
            let end = start + part.bytes.len();
            header += &format!(
                ",{}:{{\"dtype\":\"{:?}\",\"shape\":{:?},\"data_offsets\":[{start},{end}]}}",
                json(&part.name),
                part.dtype,
                part.shape,
            );
            start = end;
            let kind = Part::kind_of(&part.name, part.shape.len(), index < front.len());
            inventory.push((kind, part.bytes.len()));
        }
        header.push('}');

        // The stamp is as long whatever it says.
        let data = (8 + Stamp::text(0).len() + header.len()).next_multiple_of(ALIGNMENT);
        let mut bytes = Vec::with_capacity(data + front_len);
        bytes.extend((data as u64 - 8).to_le_bytes());
        bytes.extend(Stamp::text(data + front_len));
        bytes.extend(header.as_bytes());
        bytes.resize(data, b' ');
        front.iter().for_each(|part| bytes.extend(&part.bytes));
        let digest = Stamp::seal(&mut bytes);
        inventory.insert(0, ("header", data));
        Self {
            front: bytes,
            weights,
            digest,
            inventory,
        }
    }

    /// The length of the file in bytes.
    pub(crate) fn len(&self) -> usize {
        let weights = self.weights.iter().map(|part| part.bytes.len());
        self.front.len() + weights.sum::<usize>()
    }

    pub(crate) fn summary(&self) -> PackedSummary {
        PackedSummary {
            version: VERSION,
            digest: self.digest.clone(),
        }
    }

    /// What the file is made of: kinds and bytes, one a tensor.
    pub(crate) fn inventory(&self) -> &[(&'static str, usize)] {
        &self.inventory
    }

    /// Writes all of it.
    pub(crate) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        out.write_all(&self.front)?;
        let mut weights = self.weights.iter();
        weights.try_for_each(|part| out.write_all(&part.bytes))
    }
}

/// The parts with whatever brings each to a multiple of the alignment.
fn pad(parts: Vec<Part>, count: &mut usize) -> Vec<Part> {
    let mut padded = Vec::with_capacity(parts.len());
    for part in parts {
        let len = part.bytes.len();
        let missing = len.next_multiple_of(ALIGNMENT) - len;
        padded.push(part);
        if missing > 0 {
            padded.push(Part::bytes(&format!("{PADDING}{count}"), vec![0; missing]));
            *count += 1;
        }
    }
    padded
}

/// A string as JSON has it.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
