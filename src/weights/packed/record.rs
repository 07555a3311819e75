//! Watching a model being loaded, to write down what it gets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use safetensors::Dtype;

use super::quantize::{self, PackOptions, PackedMatrix};
use super::{Part, Samples, matrix, table};
use crate::error::Result;
use crate::kernels::gemm::{self, PackedWeights};
use crate::kernels::threads::lock;

/// Keeps a copy of every answer, under the name that was asked for.
#[derive(Debug)]
pub(crate) struct Recorder {
    options: PackOptions,
    /// What matrices are calibrated by.
    samples: Option<Arc<Samples>>,
    /// Files that were read, by name.
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    weights: Mutex<Vec<Part>>,
    /// Matrices that may become bytes, as they are stored.
    matrices: Mutex<Vec<PackedMatrix>>,
}

impl Recorder {
    /// Writes large weights down as these say, calibrated by what went into them.
    pub(crate) fn new(options: PackOptions, samples: Option<Arc<Samples>>) -> Self {
        Self {
            options,
            samples,
            files: Mutex::default(),
            weights: Mutex::default(),
            matrices: Mutex::default(),
        }
    }

    /// A file and what it holds.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) {
        lock(&self.files).insert(name.to_owned(), bytes.to_vec());
    }

    /// Writes down a matrix of floats that is to compute in `dtype`. Returns what it computes with.
    ///
    /// # Errors
    /// `NonFinite` if a number is too large for the precision.
    pub(crate) fn matrix(
        &self,
        name: &str,
        floats: PackedWeights,
        dtype: gemm::Dtype,
    ) -> Result<PackedWeights> {
        let answer = match dtype {
            gemm::Dtype::F32 => floats,
            gemm::Dtype::Bf16 => {
                PackedWeights::pack(dtype, &floats.unpack(), floats.n(), floats.k())
            }
            gemm::Dtype::Int8 => {
                let rows = self.samples.as_ref().and_then(|samples| samples.take(name));
                let (answer, report) =
                    quantize::choose(&self.options, name, floats, rows.as_deref());
                let mut matrices = lock(&self.matrices);
                if matrices.iter().all(|known| known.name != name) {
                    matrices.push(report);
                }
                if let Some(samples) = &self.samples {
                    self.options.tell(matrices.len(), samples.matrices());
                }
                answer
            }
        };
        let precision = self.options.precision();
        self.note(name, || matrix::encode(name, &answer, precision))?;
        Ok(answer)
    }

    /// A table of (rows, width).
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub(crate) fn table(&self, name: &str, numbers: &[f32], shape: (usize, usize)) -> Result<()> {
        let precision = self.options.precision();
        self.note(name, || table::encode(name, numbers, shape, precision))
    }

    /// A few numbers, which stay as they are.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub(crate) fn numbers(&self, name: &str, numbers: &[f32], shape: &[usize]) -> Result<()> {
        self.note(name, || {
            let part = Part::numbers(name, Dtype::F32, shape.to_vec(), numbers)?;
            Ok(vec![part])
        })
    }

    /// The files that were read, and the weights in the order in which they were asked for.
    pub(crate) fn take(&self) -> (BTreeMap<String, Vec<u8>>, Vec<Part>) {
        let files = std::mem::take(&mut *lock(&self.files));
        (files, std::mem::take(&mut *lock(&self.weights)))
    }

    /// What became of matrices that might be bytes, in the order in which they were asked for.
    ///
    /// # Errors
    /// `Option` if some were to be kept that are not there.
    pub(crate) fn matrices(&self) -> Result<Vec<PackedMatrix>> {
        let matrices = std::mem::take(&mut *lock(&self.matrices));
        self.options.check_matched(&matrices)?;
        Ok(matrices)
    }

    /// Each name once, however often it is asked for.
    fn note(&self, name: &str, parts: impl FnOnce() -> Result<Vec<Part>>) -> Result<()> {
        let known = |weights: &[Part]| weights.iter().any(|part| part.name == name);
        if !known(&lock(&self.weights)) {
            let parts = parts()?;
            lock(&self.weights).extend(parts);
        }
        Ok(())
    }
}
