//! Watching a model being loaded, to write down what it gets.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use safetensors::Dtype;

use super::{Part, Precision, matrix, table};
use crate::error::Result;
use crate::kernels::gemm::PackedWeights;

/// Keeps a copy of every answer, under the name that was asked for.
#[derive(Debug)]
pub(crate) struct Recorder {
    precision: Precision,
    /// Files that were read, by name.
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    weights: Mutex<Vec<Part>>,
}

impl Recorder {
    /// Writes large weights down in this precision.
    pub(crate) fn new(precision: Precision) -> Self {
        Self {
            precision,
            files: Mutex::default(),
            weights: Mutex::default(),
        }
    }

    /// A file and what it holds.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) {
        lock(&self.files).insert(name.to_owned(), bytes.to_vec());
    }

    /// # Errors
    /// `NonFinite` if a number is too large for the precision.
    pub(crate) fn matrix(&self, name: &str, matrix: &PackedWeights) -> Result<()> {
        self.note(name, || matrix::encode(name, matrix, self.precision))
    }

    /// A table of (rows, width).
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub(crate) fn table(&self, name: &str, numbers: &[f32], shape: (usize, usize)) -> Result<()> {
        self.note(name, || table::encode(name, numbers, shape, self.precision))
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
