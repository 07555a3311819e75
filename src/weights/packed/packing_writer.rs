//! Collecting what a packed file will hold, while a model is loaded.

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

/// Encodes each file and tensor that a model asks for, under the name that it asks by.
#[derive(Debug)]
pub(crate) struct PackingWriter {
    options: PackOptions,
    calibration: Option<Calibration>,
    collected: Mutex<Collected>,
}

/// What a packed file is made of.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// Small files by name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Weights in the order in which they were asked for.
    pub(crate) weights: Vec<TensorEntry>,
    /// Reports on the matrices that could become int8, in the order in which they were asked for.
    pub(crate) matrices: Vec<PackedMatrix>,
}

impl PackingWriter {
    /// A writer that has nothing yet.
    pub(crate) fn new(options: PackOptions, calibration: Option<Calibration>) -> Self {
        Self {
            options,
            calibration,
            collected: Mutex::default(),
        }
    }

    /// Keeps a small file.
    pub(in crate::weights) fn file(&self, name: &str, bytes: &[u8]) {
        let mut collected = self.lock();
        collected.files.insert(name.to_owned(), bytes.to_vec());
    }

    /// Encodes a matrix and returns what the model computes with: the matrix as it is stored.
    ///
    /// # Errors
    /// `NonFinite` if a weight is too large for the precision.
    pub(in crate::weights) fn matrix(
        &self,
        request: &MatrixRequest<'_>,
        floats: PackedWeights,
    ) -> Result<PackedWeights> {
        let name = request.name;
        let answer = match request.dtype {
            gemm::Dtype::F32 => floats,
            dtype @ gemm::Dtype::Bf16 => {
                PackedWeights::pack(dtype, &floats.unpack(), floats.n(), floats.k())
            }
            gemm::Dtype::Int8 => {
                let calibration = self.calibration.as_ref();
                let (answer, report) = choose::choose(&self.options, calibration, request, floats);
                let matrices = &mut self.lock().matrices;
                if matrices.iter().all(|known| known.name != name) {
                    matrices.push(report);
                }
                if let Some(Calibration { samples, .. }) = calibration {
                    self.options.report(matrices.len(), samples.matrices());
                }
                answer
            }
        };
        let precision = self.options.precision();
        self.add(name, || matrix::encode(name, &answer, precision))?;
        Ok(answer)
    }

    /// Encodes an embedding table.
    ///
    /// # Errors
    /// `NonFinite` if a parameter is too large for the precision.
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
    ///
    /// # Errors
    /// `NonFinite` if a parameter is NaN or infinite.
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

    /// Gives away what was collected.
    ///
    /// # Errors
    /// `Option` for a pattern of [`PackOptions::keep_f32`] that matches no matrix.
    pub(crate) fn take(&self) -> Result<Collected> {
        let collected = std::mem::take(&mut *self.lock());
        self.options.check_matched(&collected.matrices)?;
        Ok(collected)
    }

    /// Adds each name once, however often it is asked for.
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
