//! Embedding tables.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::weights::{EmbeddingRows, Residency, Weights};

/// Embedding table: a vector for each id.
#[derive(Debug)]
pub(crate) struct Embedding {
    /// Name of the table in error messages.
    name: &'static str,
    /// Number of ids.
    count: usize,
    rows: EmbeddingRows,
}

impl Embedding {
    /// Loads `tensor` of (ids, width).
    pub(crate) fn load(
        weights: &Weights<'_>,
        tensor: &str,
        name: &'static str,
        shape: [usize; 2],
        residency: Residency,
    ) -> Result<Self> {
        Ok(Self {
            name,
            count: shape[0],
            rows: weights.table(tensor, shape, residency)?,
        })
    }

    /// Returns the whole table, (ids, width).
    ///
    /// # Errors
    /// `NonFinite` and `Io` if rows are read on demand.
    pub(crate) fn whole(&self) -> Result<Cow<'_, [f32]>> {
        self.rows.whole()
    }

    /// Copies the vector of an id to `row`.
    ///
    /// # Errors
    /// `EmbeddingOutOfRange`; `NonFinite` and `Io` if rows are read on demand.
    pub(crate) fn copy(&self, id: usize, row: &mut [f32]) -> Result<()> {
        self.check(id)?;
        self.rows.copy(id, row)
    }

    /// Adds the vector of an id to `row`.
    ///
    /// # Errors
    /// Those of [`copy`](Self::copy).
    pub(crate) fn add(&self, id: usize, row: &mut [f32]) -> Result<()> {
        self.check(id)?;
        let vector = self.rows.row(id)?;
        row.iter_mut().zip(&*vector).for_each(|(sum, x)| *sum += x);
        Ok(())
    }

    /// Frees the other tensors of an in-memory checkpoint that a table read on demand keeps alive, unless something
    /// else holds them. The caller does so once everything is loaded.
    pub(crate) fn release_other_bytes(&mut self) {
        self.rows.release_other_bytes();
    }

    fn check(&self, id: usize) -> Result<()> {
        if id >= self.count {
            return Err(Error::EmbeddingOutOfRange {
                table: self.name,
                id,
                rows: self.count,
            });
        }
        Ok(())
    }
}
