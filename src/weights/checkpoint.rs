//! Checkpoints: safetensors files, read as named tensors.

use std::collections::BTreeMap;
use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::files::{self, ModelFiles};
use super::names::TensorNames;
use super::packed;
use super::source::{Access, Source};
use super::tensor::Tensor;
use crate::error::{Error, Result};
use crate::kernels::gemm::{self, PackedWeights, Packer};
use unexpected::UsedNames;

mod unexpected;

/// Maximum length of a header in bytes. One of a million tensors would fit.
const MAX_HEADER: usize = 100_000_000;

const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";
/// Weight files of PyTorch, which are not read: they are pickles, and reading a pickle can run code.
const PICKLED: [&str; 2] = ["pytorch_model.bin", "pytorch_model.bin.index.json"];

/// All tensors of a model. Their offsets are known and checked; parameters are read when they are loaded.
#[derive(Debug)]
pub(super) struct Checkpoint {
    names: TensorNames,
    /// Tensors by canonical name.
    tensors: BTreeMap<String, Tensor>,
    /// Total size of the files, in bytes.
    byte_len: usize,
    used: UsedNames,
}

impl Checkpoint {
    /// Opens the checkpoint in `folder` of a model: one file, or the shards that an index lists.
    pub(super) fn open(
        files: &ModelFiles,
        folder: &str,
        names: TensorNames,
        access: Access,
    ) -> Result<Self> {
        let mut checkpoint = Self {
            names,
            tensors: BTreeMap::new(),
            byte_len: 0,
            used: UsedNames::default(),
        };
        let single = files::join_within(folder, SINGLE_FILE, SINGLE_FILE)?;
        if files.has(&single) {
            checkpoint.add(open_source(files, single, access)?)?;
            return Ok(checkpoint);
        }
        let index = files::join_within(folder, INDEX_FILE, INDEX_FILE)?;
        let Some(bytes) = files.read_unrecorded(&index)? else {
            return Err(no_weights(files, folder)?);
        };
        for shard in shards(&bytes, &index)? {
            let name = files::join_within(folder, &shard, &index)?;
            checkpoint.add(open_source(files, name, access)?)?;
        }
        Ok(checkpoint)
    }

    /// Reads a file's header and adds its tensors.
    fn add(&mut self, source: Source) -> Result<()> {
        let (header, metadata) = read_header(&source)?;
        if packed::is_packed(&metadata) {
            return Err(Error::PackedInFolder { file: source.name });
        }
        self.byte_len += source.len();
        let source = Arc::new(source);
        for (name, info) in metadata.tensors() {
            let tensor = Tensor {
                source: Arc::clone(&source),
                dtype: info.dtype,
                shape: info.shape.clone(),
                start: header + info.data_offsets.0,
                name: name.clone(),
            };
            let canonical = self.names.canonical(&name);
            if let Some(other) = self.tensors.insert(canonical, tensor) {
                return Err(Error::WeightTwice {
                    name,
                    other: other.name,
                });
            }
        }
        Ok(())
    }

    /// Excludes the tensors of the module `name` (BERT's) from the check for unexpected ones.
    pub(super) fn ignore(&self, name: &str) {
        self.used.ignore(&self.names.checkpoint_name(name));
    }

    /// Refuses tensors that an encoder of `layers` layers should have used and has not. Call it after everything is loaded.
    ///
    /// # Errors
    /// `WeightUnexpected`.
    pub(super) fn reject_unexpected(&self, layers: usize) -> Result<()> {
        let prefix = self.names.checkpoint_name("encoder.layer.");
        let prefix = format!("{}.", prefix.trim_end_matches('.'));
        match self.used.unexpected(self.tensors.keys(), &prefix, layers) {
            Some((name, reason)) => Err(Error::WeightUnexpected {
                name: self.tensors[name].name.clone(),
                reason,
            }),
            None => Ok(()),
        }
    }

    /// Whether there is a tensor of this name (BERT's).
    pub(super) fn has(&self, name: &str) -> bool {
        let tensors = &self.tensors;
        tensors.contains_key(&self.names.checkpoint_name(name))
    }

    /// Finds a tensor by name (BERT's) and checks its shape. Its parameters are read later.
    ///
    /// # Errors
    /// `WeightMissing`, `WeightShape`, `WeightType`.
    pub(super) fn find(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let name = self.names.checkpoint_name(name);
        let Some(tensor) = self.tensors.get(&name) else {
            return Err(Error::WeightMissing { name });
        };
        self.used.note(&name);
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

    /// Packs the matrices of these names, each (outputs, inputs), as one matrix (names * outputs, inputs).
    ///
    /// # Errors
    /// Those of [`find`](Self::find) and of reading.
    pub(super) fn matrix(
        &self,
        packer: &Packer,
        dtype: gemm::Dtype,
        names: &[String],
        outputs: usize,
        inputs: usize,
    ) -> Result<PackedWeights> {
        let find = |name: &String| self.find(name, &[outputs, inputs]);
        let matrices: Vec<Tensor> = names.iter().map(find).collect::<Result<_>>()?;
        let shape = (matrices.len() * outputs, inputs);
        packer.rows(dtype, shape.0, shape.1, |mut rows, mut out| {
            // A range of rows may span the end of one matrix and the start of the next.
            while !rows.is_empty() {
                let (matrix, row) = (rows.start / outputs, rows.start % outputs);
                let count = rows.len().min(outputs - row);
                let block;
                (block, out) = out.split_at_mut(count * inputs);
                matrices[matrix].read(row * inputs, block)?;
                rows.start += count;
            }
            Ok(())
        })
    }

    /// Packs a matrix whose tensor is stored transposed, (inputs, outputs).
    ///
    /// # Errors
    /// Those of [`find`](Self::find) and of reading.
    pub(super) fn matrix_transposed(
        &self,
        packer: &Packer,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<PackedWeights> {
        let matrix = self.find(name, &[inputs, outputs])?;
        packer.columns(outputs, inputs, |row, out| matrix.read(row * outputs, out))
    }

    /// Number of parameters of all tensors. Integers are not parameters.
    pub(super) fn parameters(&self) -> usize {
        let tensors = self.tensors.values();
        tensors
            .filter(|tensor| tensor.dtype != Dtype::I64)
            .map(Tensor::len)
            .sum()
    }

    /// Upper bound for the number of floats that all packed matrices take together; embedding tables are not packed.
    pub(super) fn packed_floats(&self) -> usize {
        let matrices = self.tensors.iter().filter_map(|(name, tensor)| {
            let table = name.starts_with("embeddings.") && name.ends_with("_embeddings.weight");
            match tensor.shape[..] {
                [n, k] if !table => PackedWeights::packed_len(n, k),
                _ => None,
            }
        });
        matrices.fold(0, usize::saturating_add)
    }

    /// Number type of the largest tensor, by its safetensors name.
    pub(super) fn storage_dtype(&self) -> String {
        let largest = self.tensors.values().max_by_key(|tensor| tensor.byte_len());
        largest.map_or_else(String::new, |tensor| format!("{:?}", tensor.dtype))
    }

    /// Total size of the files, in bytes.
    pub(super) fn byte_len(&self) -> usize {
        self.byte_len
    }
}

/// Error for a folder without safetensors files. It names a weight file of PyTorch if there is one.
fn no_weights(files: &ModelFiles, folder: &str) -> Result<Error> {
    for name in PICKLED {
        let name = files::join_within(folder, name, name)?;
        if files.has(&name) {
            let file = files.display_path(&name);
            return Ok(Error::WeightsPickled { file });
        }
    }
    let single = files::join_within(folder, SINGLE_FILE, SINGLE_FILE)?;
    let what = "model.safetensors and no model.safetensors.index.json";
    Ok(files.missing_error(&single, what))
}

/// Opens a file of a checkpoint, on disk or in memory.
fn open_source(files: &ModelFiles, name: String, access: Access) -> Result<Source> {
    match files.path(&name) {
        Some(path) => Source::open(name, &path, access),
        None => {
            let bytes = files.share(&name);
            let bytes =
                bytes.ok_or_else(|| files.missing_error(&name, "a shard that its index lists"))?;
            Ok(Source::memory(name, bytes))
        }
    }
}

/// Returns the files that an index lists, each once.
fn shards(index: &[u8], file: &str) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct IndexFile {
        weight_map: BTreeMap<String, String>,
    }
    let index: IndexFile = serde_json::from_slice(index).map_err(|cause| Error::Json {
        file: file.to_owned(),
        cause,
    })?;
    let mut shards: Vec<String> = index.weight_map.into_values().collect();
    shards.sort_unstable();
    shards.dedup();
    Ok(shards)
}

/// Reads and checks a header, and returns it with the offset of the tensors' bytes.
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
    // Parsing checks that the tensors are contiguous and have the lengths of their shapes and types.
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

#[cfg(test)]
mod tests;
