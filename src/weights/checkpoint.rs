//! Safetensors files as named tensors.

use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::source::Source;
use super::{Access, Files, files, names};
use crate::config::Family;
use crate::error::{Error, Result};
use leftovers::Asked;

mod leftovers;

/// The longest header that is read: a million tensors would fit.
const MAX_HEADER: usize = 100_000_000;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// All tensors of a model: their places are known and checked, their numbers are read when asked for.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    family: Family,
    sources: Vec<Source>,
    /// By name without the family's prefix.
    tensors: BTreeMap<String, Entry>,
    asked: Asked,
}

#[derive(Debug)]
struct Entry {
    /// The name in the file.
    name: String,
    source: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    /// First byte in the file, and one past the last.
    bytes: (usize, usize),
}

impl Checkpoint {
    /// The checkpoint in `folder` of a model: one file, or the shards that an index lists.
    pub(crate) fn open(
        files: &Files,
        folder: &str,
        family: Family,
        access: Access,
    ) -> Result<Self> {
        let mut checkpoint = Self {
            family,
            sources: Vec::new(),
            tensors: BTreeMap::new(),
            asked: Asked::default(),
        };
        let single = files::inside(folder, SINGLE, SINGLE)?;
        if files.has(&single) {
            checkpoint.add(open_source(files, single, access)?)?;
            return Ok(checkpoint);
        }
        let index = files::inside(folder, INDEX, INDEX)?;
        let bytes = files.require(
            &index,
            "model.safetensors and no model.safetensors.index.json (weights in pytorch_model.bin have to be converted)",
        )?;
        for shard in shards(&bytes, &index)? {
            let name = files::inside(folder, &shard, &index)?;
            checkpoint.add(open_source(files, name, access)?)?;
        }
        Ok(checkpoint)
    }

    /// Reads a file's header and takes in its tensors.
    fn add(&mut self, source: Source) -> Result<()> {
        let (header, metadata) = read_header(&source)?;
        for (name, info) in metadata.tensors() {
            let entry = Entry {
                source: self.sources.len(),
                dtype: info.dtype,
                shape: info.shape.clone(),
                bytes: (header + info.data_offsets.0, header + info.data_offsets.1),
                name: name.clone(),
            };
            let bare = names::without_spelling(self.family, &name);
            if let Some(other) = self.tensors.insert(bare, entry) {
                return Err(Error::WeightTwice {
                    name,
                    other: other.name,
                });
            }
        }
        self.sources.push(source);
        Ok(())
    }

    /// A view from the top.
    pub(crate) fn weights(&self) -> Weights<'_> {
        Weights {
            checkpoint: self,
            scope: String::new(),
        }
    }

    /// How many numbers all tensors hold together.
    pub(crate) fn parameters(&self) -> usize {
        let count = |entry: &Entry| entry.shape.iter().product::<usize>();
        self.tensors
            .values()
            .filter(|entry| entry.dtype != Dtype::I64)
            .map(count)
            .sum()
    }

    /// The type that most numbers are stored in, as safetensors writes it.
    pub(crate) fn dtype(&self) -> String {
        let largest = self
            .tensors
            .values()
            .max_by_key(|entry| entry.bytes.1 - entry.bytes.0);
        largest.map_or_else(String::new, |entry| format!("{:?}", entry.dtype))
    }

    /// The length of all files in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.sources.iter().map(Source::len).sum()
    }
}

fn open_source(files: &Files, name: String, access: Access) -> Result<Source> {
    match files.path(&name) {
        Some(path) => Source::open(name, &path, access),
        None => {
            let bytes = files.require(&name, "a shard that its index lists")?;
            Ok(Source::memory(name, bytes))
        }
    }
}

/// The files that an index lists, each once.
fn shards(index: &[u8], file: &str) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(index).map_err(|source| Error::Json {
        file: file.to_owned(),
        source,
    })?;
    let mut shards: Vec<String> = index.weight_map.into_values().collect();
    shards.sort_unstable();
    shards.dedup();
    Ok(shards)
}

/// Checks a header and gives where its tensors' bytes start.
fn read_header(source: &Source) -> Result<(usize, Metadata)> {
    let invalid = |reason: String| Error::Safetensors {
        file: source.name.clone(),
        reason,
    };
    let mut length = [0; 8];
    if source.len() < length.len() {
        return Err(invalid(format!("it has only {} bytes", source.len())));
    }
    source.read(0, &mut length)?;
    let available = source.len() - length.len();
    let header = usize::try_from(u64::from_le_bytes(length))
        .ok()
        .filter(|&header| header <= available.min(MAX_HEADER))
        .ok_or_else(|| {
            let claimed = u64::from_le_bytes(length);
            invalid(format!("its header claims {claimed} bytes of {available}"))
        })?;
    let mut json = vec![0; header];
    source.read(length.len(), &mut json)?;
    // Parsing checks that the tensors lie one behind the other and are as long as their shapes and types say.
    let metadata: Metadata =
        serde_json::from_slice(&json).map_err(|error| invalid(error.to_string()))?;
    let data = available - header;
    if metadata.data_len() != data {
        let expected = metadata.data_len();
        return Err(invalid(format!(
            "its tensors take {expected} bytes, it has {data}"
        )));
    }
    Ok((length.len() + header, metadata))
}

/// The tensors of a checkpoint as seen from inside one module.
#[derive(Debug, Clone)]
pub(crate) struct Weights<'a> {
    checkpoint: &'a Checkpoint,
    scope: String,
}

impl Weights<'_> {
    /// The view from inside the module of this name, by BERT's names.
    pub(crate) fn at(&self, name: &str) -> Self {
        Self {
            checkpoint: self.checkpoint,
            scope: self.full(name),
        }
    }

    /// Whether there is a tensor of this name here.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entry(&self.in_checkpoint(name)).is_some()
    }

    /// The numbers of the tensor of this name, which must have this shape.
    ///
    /// # Errors
    /// `WeightMissing`, `WeightShape`, `WeightType`, `NonFinite`, and `Io` if the file cannot be read.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = self.in_checkpoint(name);
        let Some(entry) = self.entry(&name) else {
            return Err(Error::WeightMissing { name });
        };
        self.checkpoint.asked.note(&name);
        if entry.shape != shape {
            return Err(Error::WeightShape {
                name: entry.name.clone(),
                expected: shape.to_vec(),
                found: entry.shape.clone(),
            });
        }
        let numbers = self.read(entry)?;
        if !numbers.iter().all(|x| x.is_finite()) {
            return Err(Error::NonFinite {
                what: format!("weight {}", entry.name),
            });
        }
        Ok(numbers)
    }

    fn read(&self, entry: &Entry) -> Result<Vec<f32>> {
        let source = &self.checkpoint.sources[entry.source];
        let (start, end) = entry.bytes;
        if entry.dtype == Dtype::F32 {
            let mut numbers = vec![0f32; (end - start) / 4];
            source.read(start, bytemuck::cast_slice_mut(&mut numbers))?;
            if cfg!(target_endian = "big") {
                numbers
                    .iter_mut()
                    .for_each(|x| *x = f32::from_bits(x.to_bits().swap_bytes()));
            }
            return Ok(numbers);
        }
        let mut bytes = vec![0; end - start];
        source.read(start, &mut bytes)?;
        let numbers = match entry.dtype {
            Dtype::F16 => convert(&bytes, |b| half::f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => convert(&bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
            Dtype::F64 => convert(&bytes, |b| f64::from_le_bytes(b) as f32),
            Dtype::I64 => convert(&bytes, |b| i64::from_le_bytes(b) as f32),
            other => {
                return Err(Error::WeightType {
                    name: entry.name.clone(),
                    found: format!("{other:?}"),
                });
            }
        };
        Ok(numbers)
    }

    fn full(&self, name: &str) -> String {
        match (self.scope.as_str(), name) {
            ("", name) => name.to_owned(),
            (scope, "") => scope.to_owned(),
            (scope, name) => format!("{scope}.{name}"),
        }
    }

    fn in_checkpoint(&self, name: &str) -> String {
        names::in_checkpoint(self.checkpoint.family, &self.full(name))
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.checkpoint.tensors.get(name)
    }
}

fn convert<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&b| number(b)).collect()
}

#[cfg(test)]
mod tests;
