//! Embedding tables.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::weights::{EmbeddingRows, Residency, Weights};

/// An embedding table: a vector for each id.
#[derive(Debug)]
pub(crate) struct Embedding {
    /// What it holds, for errors.
    name: &'static str,
    count: usize,
    rows: EmbeddingRows,
}

impl Embedding {
    /// `tensor` of (rows, width).
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

    /// The whole table, (rows, width).
    ///
    /// # Errors
    /// `NonFinite` and `Io` if rows are read on demand.
    pub(crate) fn whole(&self) -> Result<Cow<'_, [f32]>> {
        self.rows.whole()
    }

    /// Copies the vector of an id.
    ///
    /// # Errors
    /// `EmbeddingOutOfRange`; `NonFinite` and `Io` if rows are read on demand.
    pub(crate) fn copy(&self, id: usize, row: &mut [f32]) -> Result<()> {
        self.check(id)?;
        self.rows.copy(id, row)
    }

    /// Adds the vector of an id.
    ///
    /// # Errors
    /// Those of [`copy`](Self::copy).
    pub(crate) fn add(&self, id: usize, row: &mut [f32]) -> Result<()> {
        self.check(id)?;
        let vector = self.rows.row(id)?;
        row.iter_mut().zip(&*vector).for_each(|(sum, x)| *sum += x);
        Ok(())
    }

    /// Frees the rest of the checkpoint in memory that a table on demand keeps alive, if nothing else holds it. To be called
    /// when everything is loaded.
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
