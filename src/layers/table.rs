//! Embedding tables.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::weights::{Residence, Rows, Weights};

/// A vector for each id.
#[derive(Debug)]
pub(crate) struct Table {
    /// What it is, for errors.
    name: &'static str,
    count: usize,
    rows: Rows,
}

impl Table {
    /// `tensor` of (rows, width).
    pub(crate) fn load(
        weights: &Weights<'_>,
        tensor: &str,
        name: &'static str,
        shape: (usize, usize),
        residence: Residence,
    ) -> Result<Self> {
        Ok(Self {
            name,
            count: shape.0,
            rows: weights.table(tensor, shape, residence)?,
        })
    }

    /// The whole table, (rows, width).
    ///
    /// # Errors
    /// Of a table that was left in place, those of reading it now: `NonFinite`, `Io`.
    pub(crate) fn whole(&self) -> Result<Cow<'_, [f32]>> {
        self.rows.whole()
    }

    /// Copies the vector of an id.
    ///
    /// # Errors
    /// `EmbeddingOutOfRange`; of a table that was left in place `NonFinite`, which is not looked for ahead of use, and
    /// `Io`.
    pub(crate) fn copy(&self, id: usize, row: &mut [f32]) -> Result<()> {
        self.check(id)?;
        self.rows.copy(id, row)
    }

    /// Adds the vector of an id.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub(crate) fn add(&self, id: usize, row: &mut [f32]) -> Result<()> {
        self.check(id)?;
        let vector = self.rows.row(id)?;
        row.iter_mut().zip(&*vector).for_each(|(sum, x)| *sum += x);
        Ok(())
    }

    /// Once all is loaded: gives back what memory holds beside a table that was left in place there.
    pub(crate) fn keep_alone(&mut self) {
        self.rows.keep_alone();
    }

    fn check(&self, id: usize) -> Result<()> {
        if id < self.count {
            Ok(())
        } else {
            Err(Error::EmbeddingOutOfRange {
                table: self.name,
                id,
                rows: self.count,
            })
        }
    }
}
