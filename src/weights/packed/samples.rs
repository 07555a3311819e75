//! What goes into the encoder's matrices when real texts are computed: what calibration goes by.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::kernels::threads::lock;

/// The rows that are kept of each matrix's input, one a token. All-MiniLM-L6-v2 has six matrices of 1,536 input channels
/// and eighteen of 384: 131 MB.
const MOST_ROWS: usize = 8 * 1024;

/// The inputs of matrices, by the names that these have in a packed file.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    inputs: Mutex<BTreeMap<String, Arc<Inputs>>>,
}

/// The first rows of one matrix's input.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// Input channels.
    width: usize,
    rows: Mutex<Vec<f32>>,
}

impl Samples {
    /// Where the rows are kept that go into this matrix.
    pub(crate) fn of(&self, name: &str, width: usize) -> Arc<Inputs> {
        let mut inputs = lock(&self.inputs);
        let own = inputs.entry(name.to_owned()).or_insert_with(|| {
            let rows = Mutex::default();
            Arc::new(Inputs { width, rows })
        });
        Arc::clone(own)
    }

    /// Whether there are as many rows of each as are kept, so that more texts change nothing.
    pub(crate) fn are_full(&self) -> bool {
        let inputs = lock(&self.inputs);
        inputs
            .values()
            .all(|own| own.is_full(lock(&own.rows).len()))
    }

    /// How many matrices there are.
    pub(super) fn matrices(&self) -> usize {
        lock(&self.inputs).len()
    }

    /// The rows that went into each matrix.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> std::collections::BTreeMap<String, Vec<f32>> {
        let inputs = lock(&self.inputs);
        let rows = inputs
            .iter()
            .map(|(name, own)| (name.clone(), lock(&own.rows).clone()));
        rows.collect()
    }

    /// The rows that went into this matrix, which are given away; `None` if there were none.
    pub(super) fn take(&self, name: &str) -> Option<Vec<f32>> {
        let inputs = lock(&self.inputs);
        let rows = std::mem::take(&mut *lock(&inputs.get(name)?.rows));
        (!rows.is_empty()).then_some(rows)
    }
}

impl Inputs {
    /// Shows it some rows that go in.
    pub(crate) fn see(&self, x: &[f32]) {
        let mut rows = lock(&self.rows);
        let room = MOST_ROWS * self.width - rows.len();
        rows.extend_from_slice(&x[..x.len().min(room)]);
    }

    fn is_full(&self, len: usize) -> bool {
        len == MOST_ROWS * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rows_of_each_are_kept() {
        let samples = Samples::default();
        let (a, b) = (samples.of("a", 2), samples.of("b", 3));
        assert!(!samples.are_full());
        a.see(&[1.0, 2.0]);
        samples.of("a", 2).see(&[3.0, 4.0]);
        a.see(&vec![5.0; 2 * MOST_ROWS]);
        assert!(!samples.are_full());
        b.see(&vec![6.0; 3 * MOST_ROWS]);
        assert!(samples.are_full());
        let rows = samples.take("a").unwrap();
        assert_eq!(rows.len(), 2 * MOST_ROWS);
        assert_eq!(rows[..5], [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(samples.take("a").is_none() && samples.take("c").is_none());
    }
}
