//! Embedding tables.

use crate::error::{Error, Result};
use crate::weights::Weights;

/// A vector for each id.
#[derive(Debug)]
pub(crate) struct Table {
    /// What it is, for errors.
    name: &'static str,
    rows: usize,
    width: usize,
    /// (rows, width).
    data: Vec<f32>,
}

impl Table {
    /// `tensor` of (rows, width).
    pub(crate) fn load(
        weights: &Weights<'_>,
        tensor: &str,
        name: &'static str,
        rows: usize,
        width: usize,
    ) -> Result<Self> {
        Ok(Self {
            name,
            rows,
            width,
            data: weights.tensor(tensor, &[rows, width])?,
        })
    }

    /// The whole table, (rows, width).
    pub(crate) fn data(&self) -> &[f32] {
        &self.data
    }

    /// The vector of an id.
    ///
    /// # Errors
    /// `EmbeddingOutOfRange`.
    pub(crate) fn row(&self, id: usize) -> Result<&[f32]> {
        if id < self.rows {
            Ok(&self.data[id * self.width..][..self.width])
        } else {
            Err(Error::EmbeddingOutOfRange {
                table: self.name,
                id,
                rows: self.rows,
            })
        }
    }
}
