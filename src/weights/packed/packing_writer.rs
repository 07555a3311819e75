//! Collection of a packed file's contents while a model is loaded.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use safetensors::Dtype;

use super::calibrate::Calibration;
use super::choose;
use super::entry::TensorEntry;
use super::matrix::{self, MatrixRequest};
use super::options::{PackOptions, PackedMatrix};
use super::table;
use crate::error::Result;
use crate::kernels::gemm::{self, PackedWeights};
use crate::kernels::threads::lock;

/// Keeps each settings file that a model reads and encodes each tensor that it loads, by name.
#[derive(Debug)]
pub(crate) struct PackingWriter {
    options: PackOptions,
    calibration: Option<Calibration>,
    collected: Mutex<Collected>,
}

/// Contents of a packed file.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// Settings files by name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Weights in the order in which they were loaded.
    pub(crate) weights: Vec<TensorEntry>,
    /// Reports on the matrices that int8 applies to, in the order in which they were loaded.
    pub(crate) matrices: Vec<PackedMatrix>,
}

impl PackingWriter {
    /// Creates a writer without contents.
    pub(crate) fn new(options: PackOptions, calibration: Option<Calibration>) -> Self {
        Self {
            options,
            calibration,
            collected: Mutex::default(),
        }
    }

    /// Keeps a settings file.
    pub(in crate::weights) fn file(&self, name: &str, bytes: &[u8]) {
        let mut collected = self.lock();
        collected.files.insert(name.to_owned(), bytes.to_vec());
    }

    /// Encodes a matrix and returns the matrix that the packed file will hold, for the model to compute with.
    ///
    /// # Errors
    /// `NonFinite` if a weight is too large for the precision.
    pub(in crate::weights) fn matrix(
        &self,
        request: &MatrixRequest<'_>,
        floats: PackedWeights,
    ) -> Result<PackedWeights> {
        let name = request.name;
        let stored = match request.dtype {
            gemm::Dtype::F32 => floats,
            dtype @ gemm::Dtype::Bf16 => {
                PackedWeights::pack(dtype, &floats.unpack(), floats.n(), floats.k())
            }
            gemm::Dtype::Int8 => {
                let calibration = self.calibration.as_ref();
                let (stored, report) = choose::choose(&self.options, calibration, request, floats);
                let matrices = &mut self.lock().matrices;
                if matrices.iter().all(|known| known.name != name) {
                    matrices.push(report);
                }
                if let Some(Calibration { samples, .. }) = calibration {
                    self.options.report(matrices.len(), samples.matrices());
                }
                stored
            }
        };
        let precision = self.options.precision();
        self.add(name, || matrix::encode(name, &stored, precision))?;
        Ok(stored)
    }

    /// Encodes an embedding table, (rows, width).
    ///
    /// # Errors
    /// `NonFinite` if a value is too large for the precision.
    pub(in crate::weights) fn table(
        &self,
        name: &str,
        table: &[f32],
        shape: [usize; 2],
    ) -> Result<()> {
        let precision = self.options.precision();
        self.add(name, || table::encode(name, table, shape, precision))
    }

    /// Keeps a small tensor in f32: a bias, or the parameters of a norm.
    pub(in crate::weights) fn tensor(
        &self,
        name: &str,
        parameters: &[f32],
        shape: &[usize],
    ) -> Result<()> {
        self.add(name, || {
            let entry = TensorEntry::floats(name, Dtype::F32, shape.to_vec(), parameters)?;
            Ok(vec![entry])
        })
    }

    /// Takes the contents.
    ///
    /// # Errors
    /// `Option` for a pattern of [`PackOptions::keep_f32`] that matches no matrix.
    pub(crate) fn take(&self) -> Result<Collected> {
        let collected = std::mem::take(&mut *self.lock());
        self.options.check_matched(&collected.matrices)?;
        Ok(collected)
    }

    /// Adds the entries of a name unless the name is there already.
    fn add(&self, name: &str, entries: impl FnOnce() -> Result<Vec<TensorEntry>>) -> Result<()> {
        let weights = &mut self.lock().weights;
        if weights.iter().all(|entry| entry.name != name) {
            weights.extend(entries()?);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        lock(&self.collected)
    }
}
