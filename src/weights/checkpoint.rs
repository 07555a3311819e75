//! Safetensors files as named tensors.

use std::collections::BTreeMap;
use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::source::Source;
use super::tensor::Tensor;
use super::{Access, Files, files, names};
use crate::config::Family;
use crate::error::{Error, Result};
use crate::kernels::gemm::{self, PackedWeights, Packer};
use leftovers::Asked;

mod leftovers;

/// The longest header that is read: a million tensors would fit.
const MAX_HEADER: usize = 100_000_000;

/// Where the layers are whose products are worth quantising; heads and projections of embeddings take little time.
const ENCODER_LAYERS: &str = "encoder.layer.";

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// All tensors of a model: their places are known and checked, their numbers are read when asked for.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    family: Family,
    /// By name without the family's prefix.
    tensors: BTreeMap<String, Tensor>,
    /// The length of all files.
    bytes: usize,
    asked: Asked,
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
            tensors: BTreeMap::new(),
            bytes: 0,
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
        self.bytes += source.len();
        let source = Arc::new(source);
        for (name, info) in metadata.tensors() {
            let tensor = Tensor {
                source: Arc::clone(&source),
                dtype: info.dtype,
                shape: info.shape.clone(),
                start: header + info.data_offsets.0,
                name: name.clone(),
            };
            let bare = names::without_spelling(self.family, &name);
            if let Some(other) = self.tensors.insert(bare, tensor) {
                return Err(Error::WeightTwice {
                    name,
                    other: other.name,
                });
            }
        }
        Ok(())
    }

    /// A view from the top, with what packs the matrices that are read through it.
    pub(crate) fn weights<'a>(&'a self, packer: &'a Packer) -> Weights<'a> {
        Weights {
            checkpoint: self,
            packer,
            dtype: gemm::Dtype::F32,
            scope: String::new(),
        }
    }

    /// How many numbers all tensors hold together.
    pub(crate) fn parameters(&self) -> usize {
        let tensors = self.tensors.values();
        tensors
            .filter(|tensor| tensor.dtype != Dtype::I64)
            .map(Tensor::len)
            .sum()
    }

    /// At least as many floats as all matrices take once they are packed, but for the tables of embeddings.
    pub(crate) fn packed_floats(&self) -> usize {
        let matrices = self.tensors.iter().filter_map(|(name, tensor)| {
            let table = name.starts_with("embeddings.") && name.ends_with("_embeddings.weight");
            match tensor.shape[..] {
                [n, k] if !table => PackedWeights::floats(n, k),
                _ => None,
            }
        });
        matrices.fold(0, usize::saturating_add)
    }

    /// The type that most numbers are stored in, as safetensors writes it.
    pub(crate) fn dtype(&self) -> String {
        let largest = self.tensors.values().max_by_key(|tensor| tensor.bytes());
        largest.map_or_else(String::new, |tensor| format!("{:?}", tensor.dtype))
    }

    /// The length of all files in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn open_source(files: &Files, name: String, access: Access) -> Result<Source> {
    match files.path(&name) {
        Some(path) => Source::open(name, &path, access),
        None => {
            let bytes = files.share(&name);
            let bytes = bytes.ok_or_else(|| files.missing("a shard that its index lists"))?;
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
    packer: &'a Packer,
    dtype: gemm::Dtype,
    scope: String,
}

impl Weights<'_> {
    /// The view from inside the module of this name, by BERT's names.
    pub(crate) fn at(&self, name: &str) -> Self {
        Self {
            scope: self.full(name),
            ..self.clone()
        }
    }

    /// The same view, with an encoder whose dense layers compute in this.
    pub(crate) fn computing_in(self, dtype: gemm::Dtype) -> Self {
        Self { dtype, ..self }
    }

    /// What the dense layer of this name computes in.
    pub(crate) fn dtype(&self, name: &str) -> gemm::Dtype {
        match self.full(name).starts_with(ENCODER_LAYERS) {
            true => self.dtype,
            false => gemm::Dtype::F32,
        }
    }

    /// What packs the matrices of this checkpoint.
    pub(crate) fn packer(&self) -> &Packer {
        self.packer
    }

    /// Whether there is a tensor of this name here.
    pub(crate) fn has(&self, name: &str) -> bool {
        let tensors = &self.checkpoint.tensors;
        tensors.contains_key(&self.in_checkpoint(name))
    }

    /// The tensor of this name, which must have this shape; its numbers are still to be read.
    ///
    /// # Errors
    /// `WeightMissing`, `WeightShape`, `WeightType`.
    pub(crate) fn find(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let name = self.in_checkpoint(name);
        let Some(tensor) = self.checkpoint.tensors.get(&name) else {
            return Err(Error::WeightMissing { name });
        };
        self.checkpoint.asked.note(&name);
        if tensor.shape != shape {
            return Err(Error::WeightShape {
                name: tensor.name.clone(),
                expected: shape.to_vec(),
                found: tensor.shape.clone(),
            });
        }
        tensor.check_type()?;
        Ok(tensor.clone())
    }

    /// The numbers of the tensor of this name, which must have this shape.
    ///
    /// # Errors
    /// `WeightMissing`, `WeightShape`, `WeightType`, `NonFinite`, and `Io` if the file cannot be read.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.find(name, shape)?.to_vec()
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
}

#[cfg(test)]
mod tests;
