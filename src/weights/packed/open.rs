//! Opening of packed files.

use std::ops::Range;
use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use xxhash_rust::xxh3::Xxh3;

use super::format::{VERSION, VOCABULARY};
use super::preamble::{self, Preamble, damaged, hexadecimal};
use super::weight_format::WeightFormat;
use crate::error::{Error, Result};
use crate::kernels::gemm;
use crate::weights::bytes::Bytes;
use crate::weights::source::Source;
use crate::weights::tensor::Tensor;

/// Bytes that are read and hashed at a time.
const HASH_CHUNK: usize = 1 << 20;

/// A packed file whose header, settings and vocabulary have been checked.
#[derive(Debug)]
pub(crate) struct PackedFile {
    /// The whole file.
    source: Arc<Source>,
    /// The file up to the end of the vocabulary, in memory, with its digest checked.
    prefix: Arc<Source>,
    preamble: Preamble,
    header: Metadata,
    precision: WeightFormat,
}

/// Version and digest of a packed file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct PackedSummary {
    /// Version of the packed format.
    pub version: u32,
    /// Digest of header, settings and vocabulary, in hexadecimal. It covers the weights, too, as the header holds their
    /// digest.
    pub digest: String,
}

impl PackedFile {
    /// Opens a file and checks everything but its weights, which are not read.
    ///
    /// # Errors
    /// `PackedForeign`, `PackedVersion`, `PackedDamaged`, `Safetensors`, `Io`.
    pub(in crate::weights) fn open(source: Source) -> Result<Self> {
        let source = source.into_aligned();
        let mut beginning = vec![0; preamble::LEN.min(source.len())];
        source.read(0, &mut beginning)?;
        let preamble = Preamble::read(&source.name, &beginning)?;
        if preamble.checked_len > source.len() {
            return Err(damaged(&source.name, "end, which is missing"));
        }
        let source = Arc::new(source);
        let prefix = match source.bytes() {
            Some(_) => Arc::clone(&source),
            None => Arc::new(source.read_prefix(preamble.checked_len)?),
        };
        let bytes = &prefix.bytes().unwrap_or_default()[..preamble.checked_len];
        preamble.check(&source.name, bytes)?;
        let invalid = |reason: String| Error::Safetensors {
            file: source.name.clone(),
            reason,
        };
        // Parsing checks that the tensors are contiguous and have the lengths of their shapes and types.
        let header: Metadata = serde_json::from_slice(&bytes[8..preamble.data_start])
            .map_err(|error| invalid(error.to_string()))?;
        let (expected, data) = (header.data_len(), source.len() - preamble.data_start);
        if expected > data {
            return Err(damaged(&source.name, "end, which is missing"));
        }
        if expected < data {
            let reason = format!("its tensors take {expected} bytes, it has {data}");
            return Err(invalid(reason));
        }
        let metadata = header.metadata().as_ref();
        let dtype = metadata.and_then(|metadata| metadata.get("dtype"));
        let mut known = WeightFormat::ALL.into_iter();
        let precision = known
            .find(|precision| dtype.is_some_and(|dtype| dtype == precision.name()))
            .ok_or_else(|| damaged(&source.name, "dtype, which is not a known one"))?;
        Ok(Self {
            source,
            prefix,
            preamble,
            header,
            precision,
        })
    }

    /// Name of the file, for errors.
    pub(crate) fn name(&self) -> &str {
        &self.source.name
    }

    /// Length of the file in bytes.
    pub(crate) fn len(&self) -> usize {
        self.source.len()
    }

    /// Version and digest of the file.
    pub(crate) fn summary(&self) -> PackedSummary {
        PackedSummary {
            version: VERSION,
            digest: self.preamble.digest.clone(),
        }
    }

    /// Number type in which large weights are stored.
    pub(crate) fn precision(&self) -> WeightFormat {
        self.precision
    }

    /// Number type that the encoder's matrices compute in by default.
    pub(crate) fn compute_dtype(&self) -> gemm::Dtype {
        self.precision.compute_dtype()
    }

    /// Whether the encoder's matrices can compute in a number type.
    pub(crate) fn can_compute_in(&self, dtype: gemm::Dtype) -> bool {
        // Weights in bf16 can be widened.
        let widened = self.precision == WeightFormat::Bf16 && dtype == gemm::Dtype::F32;
        widened || dtype == self.compute_dtype()
    }

    /// Number of parameters of the unpacked checkpoint.
    pub(crate) fn parameters(&self) -> usize {
        let parameters = self.metadata("parameters");
        parameters
            .and_then(|parameters| parameters.parse().ok())
            .unwrap_or_default()
    }

    /// Contents of one of the model's settings files.
    pub(crate) fn settings_file(&self, name: &str) -> Option<Bytes> {
        let known = !name.starts_with(VOCABULARY);
        known.then(|| self.checked_bytes(name)).flatten()
    }

    /// Bytes of a tensor before the weights, which the digest covers.
    pub(crate) fn checked_bytes(&self, name: &str) -> Option<Bytes> {
        let range = self.range(self.header.info(name)?);
        let checked = range.end <= self.preamble.checked_len;
        checked
            .then(|| Bytes::slice_of(&self.prefix, range))
            .flatten()
    }

    /// Whether there is a weight of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.header.info(name).is_some()
    }

    /// Finds a tensor of any type and checks its shape.
    ///
    /// # Errors
    /// `WeightMissing`, `WeightShape`.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let info = self.info(name)?;
        if info.shape != shape {
            return Err(Error::WeightShape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: info.shape.clone(),
            });
        }
        Ok(Tensor {
            name: name.to_owned(),
            source: Arc::clone(&self.source),
            dtype: info.dtype,
            shape: info.shape.clone(),
            start: self.range(info).start,
        })
    }

    /// Number type in which a weight is stored.
    ///
    /// # Errors
    /// `WeightMissing`.
    pub(super) fn dtype_of(&self, name: &str) -> Result<Dtype> {
        self.info(name).map(|info| info.dtype)
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        let info = self.header.info(name);
        info.ok_or_else(|| Error::WeightMissing {
            name: name.to_owned(),
        })
    }

    /// Upper bound, in floats, for the memory that the matrices under `prefix` need. Matrices that are used in place need
    /// none.
    pub(crate) fn floats_to_read(&self, prefix: &str) -> usize {
        let tensors = self.header.tensors();
        let matrices = tensors.iter().filter_map(|(name, info)| {
            let as_stored = matches!(info.dtype, Dtype::F32 | Dtype::I8);
            let in_place = self.source.bytes().is_some() && as_stored;
            let wanted = name.starts_with(prefix) && info.shape.len() > 2 && !in_place;
            // Int8 stays int8 and any other type may become f32. Matrices that stay in bf16 are counted twice; the memory
            // that they do not need is never touched.
            let per_float = if info.dtype == Dtype::I8 { 4 } else { 1 };
            wanted.then(|| info.shape.iter().product::<usize>().div_ceil(per_float))
        });
        matrices.fold(0, usize::saturating_add)
    }

    /// Loads the pages of all matrices with one system call, if the file is mapped. If the page cache holds the file in small
    /// pages, a page fault for every 64 KB takes longer than computing: a process that embeds one short text with
    /// all-MiniLM-L6-v2 in f32 takes 10.4 ms without this call and 8.5 ms with it. With large pages both take 5.3 ms.
    pub(crate) fn populate(&self) {
        let tensors = self.header.tensors();
        let matrices = tensors.values().filter(|info| info.shape.len() > 2);
        let end = matrices.map(|info| self.range(info).end).max();
        self.source.populate(0..end.unwrap_or_default());
    }

    /// Checks the digest of the weights.
    ///
    /// # Errors
    /// `PackedDamaged`, `Io`.
    pub(crate) fn verify(&self) -> Result<()> {
        let mut hash = Xxh3::new();
        let mut at = self.preamble.checked_len;
        let mut chunk = Vec::new();
        while at < self.source.len() {
            chunk.resize(HASH_CHUNK.min(self.source.len() - at), 0);
            self.source.read(at, &mut chunk)?;
            hash.update(&chunk);
            at += chunk.len();
        }
        if self.metadata("weights") != Some(&hexadecimal(&hash)) {
            return Err(damaged(&self.source.name, "weights"));
        }
        Ok(())
    }

    /// Byte range of a tensor in the file.
    fn range(&self, info: &TensorInfo) -> Range<usize> {
        let (start, end) = info.data_offsets;
        self.preamble.data_start + start..self.preamble.data_start + end
    }

    /// Value of a key in the header's metadata.
    fn metadata(&self, key: &str) -> Option<&String> {
        self.header.metadata().as_ref()?.get(key)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::weights::Access;
    use crate::weights::packed::container::Container;
    use crate::weights::packed::entry::TensorEntry;

    fn file(weights: Vec<TensorEntry>) -> Vec<u8> {
        let settings = vec![TensorEntry::bytes("config.json", vec![b' '; 64])];
        let mut bytes = Vec::new();
        let container = Container::new(settings, weights, &[("dtype", "f32".to_owned())]);
        container.write(&mut bytes).unwrap();
        bytes
    }

    fn in_memory(bytes: Vec<u8>) -> PackedFile {
        PackedFile::open(Source::memory("m".to_owned(), Arc::new(Cow::Owned(bytes)))).unwrap()
    }

    #[test]
    fn a_file_may_end_with_its_settings() {
        let bytes = file(Vec::new());
        let packed = in_memory(bytes.clone());
        assert_eq!((packed.name(), packed.len()), ("m", bytes.len()));
        assert_eq!(packed.preamble.checked_len, bytes.len());
        packed.verify().unwrap();
    }

    #[test]
    fn every_chunk_of_the_weights_is_verified() {
        let len = 2 * HASH_CHUNK + 64;
        let table = TensorEntry::new("table", Dtype::I8, vec![len / 64, 64], vec![1; len]);
        let bytes = file(vec![table]);
        in_memory(bytes.clone()).verify().unwrap();
        for from_end in [1, HASH_CHUNK, len] {
            let mut bytes = bytes.clone();
            let at = bytes.len() - from_end;
            bytes[at] ^= 1;
            assert!(in_memory(bytes).verify().is_err(), "{from_end}");
        }
    }

    #[test]
    fn memory_is_counted_for_matrices_that_are_not_used_in_place() {
        let zeros = |name: &str, dtype: Dtype, shape: &[usize]| {
            let len = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            TensorEntry::new(name, dtype, shape.to_vec(), vec![0; len])
        };
        let bytes = file(vec![
            zeros("a.bias", Dtype::F32, &[16]),
            zeros("a.f32", Dtype::F32, &[1, 2, 16]),
            zeros("a.f16", Dtype::F16, &[1, 3, 16]),
            zeros("a.i8", Dtype::I8, &[1, 1, 16, 4]),
            zeros("b.f16", Dtype::F16, &[1, 5, 16]),
            zeros("a.table", Dtype::F32, &[7, 16]),
        ]);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m");
        std::fs::write(&path, &bytes).unwrap();
        let source = Source::open("m".to_owned(), &path, Access::Read).unwrap();
        let read = PackedFile::open(source).unwrap();
        assert_eq!(read.floats_to_read("a."), (2 + 3) * 16 + 64 / 4);
        assert_eq!(in_memory(bytes).floats_to_read("a."), 3 * 16);
    }
}
