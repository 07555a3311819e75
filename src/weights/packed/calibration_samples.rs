//! Samples of the encoder's matrix inputs, recorded while a model computes calibration texts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use crate::kernels::InputObserver;
use crate::kernels::threads::lock;
use crate::weights::names;

/// Maximum number of rows kept per matrix, one per token. For all-MiniLM-L6-v2, with six matrices of 1,536 input channels
/// and eighteen of 384, they take 528 MB.
const MAX_ROWS: usize = 8 * 1024;

/// First input rows of each matrix of the encoder's layers, by the matrix's name in a packed file.
#[derive(Debug, Default)]
pub(crate) struct CalibrationSamples {
    inputs: Mutex<BTreeMap<String, InputSamples>>,
}

/// First input rows of one matrix.
#[derive(Debug, Default)]
struct InputSamples {
    /// Number of input channels.
    width: usize,
    rows: Vec<f32>,
}

impl CalibrationSamples {
    /// Whether each observed matrix has the maximum number of rows, so that more texts would change nothing.
    pub(crate) fn are_full(&self) -> bool {
        self.lock().values().all(InputSamples::is_full)
    }

    /// Number of observed matrices.
    pub(super) fn matrices(&self) -> usize {
        self.lock().len()
    }

    /// Copies the rows of each matrix.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> BTreeMap<String, Vec<f32>> {
        let inputs = self.lock();
        let rows = inputs.iter();
        rows.map(|(name, input)| (name.clone(), input.rows.clone()))
            .collect()
    }

    /// Takes the rows of a matrix. Returns `None` if there are none.
    pub(super) fn take(&self, name: &str) -> Option<Vec<f32>> {
        let rows = std::mem::take(&mut self.lock().get_mut(name)?.rows);
        (!rows.is_empty()).then_some(rows)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, InputSamples>> {
        lock(&self.inputs)
    }
}

impl InputObserver for CalibrationSamples {
    /// Keeps rows of `width` floats, up to the maximum, if the matrix belongs to an encoder layer.
    fn observe(&self, name: &str, width: usize, rows: &[f32]) {
        if names::in_encoder_layer(name) {
            let mut inputs = self.lock();
            let input = inputs.entry(name.to_owned()).or_default();
            input.width = width;
            input.push(rows);
        }
    }
}

impl InputSamples {
    fn push(&mut self, rows: &[f32]) {
        let room = MAX_ROWS * self.width - self.rows.len();
        self.rows.extend_from_slice(&rows[..rows.len().min(room)]);
    }

    fn is_full(&self) -> bool {
        self.rows.len() == MAX_ROWS * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rows_of_each_layer_s_matrix_are_kept() {
        let samples = CalibrationSamples::default();
        let (a, b) = ("encoder.layer.0.a", "0_Transformer/encoder.layer.0.b");
        samples.observe(a, 2, &[1.0, 2.0]);
        samples.observe(b, 3, &[]);
        samples.observe("embeddings_project.weight", 2, &[1.0, 2.0]);
        assert!(samples.matrices() == 2 && !samples.are_full());
        samples.observe(a, 2, &[3.0, 4.0]);
        samples.observe(a, 2, &vec![5.0; 2 * MAX_ROWS]);
        assert!(!samples.are_full());
        samples.observe(b, 3, &vec![6.0; 3 * MAX_ROWS]);
        assert!(samples.are_full());
        let rows = samples.take(a).unwrap();
        assert_eq!(rows.len(), 2 * MAX_ROWS);
        assert_eq!(rows[..5], [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(samples.take(a).is_none() && samples.take("c").is_none());
    }
}
