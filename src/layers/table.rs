//! Embedding tables.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::weights::{Tensor, Weights};

/// A vector for each id.
#[derive(Debug)]
pub(crate) struct Table {
    /// What it is, for errors.
    name: &'static str,
    rows: usize,
    width: usize,
    data: Data,
}

/// Where a table's vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residence {
    /// In memory, all of them: for small tables, and for those that are needed whole.
    Loaded,
    /// Where the checkpoint has them. A text needs few rows of a table of words that is larger than all layers together
    /// (all-MiniLM-L6-v2: 47 MB and 43 MB); out of a file in the system's cache a row takes half a microsecond.
    InPlace,
}

#[derive(Debug)]
enum Data {
    /// (rows, width).
    Loaded(Vec<f32>),
    InPlace(Tensor),
}

impl Table {
    /// `tensor` of (rows, width).
    pub(crate) fn load(
        weights: &Weights<'_>,
        tensor: &str,
        name: &'static str,
        (rows, width): (usize, usize),
        residence: Residence,
    ) -> Result<Self> {
        let tensor = weights.find(tensor, &[rows, width])?;
        Ok(Self {
            name,
            rows,
            width,
            data: match residence {
                Residence::Loaded => Data::Loaded(tensor.to_vec()?),
                Residence::InPlace => Data::InPlace(tensor),
            },
        })
    }

    /// The whole table, (rows, width).
    ///
    /// # Errors
    /// Of a table that was left in place, those of reading it now: `NonFinite`, `Io`.
    pub(crate) fn whole(&self) -> Result<Cow<'_, [f32]>> {
        match &self.data {
            Data::Loaded(data) => Ok(Cow::Borrowed(data)),
            Data::InPlace(tensor) => tensor.to_vec().map(Cow::Owned),
        }
    }

    /// Copies the vector of an id.
    ///
    /// # Errors
    /// `EmbeddingOutOfRange`; of a table that was left in place `NonFinite`, which is not looked for ahead of use, and
    /// `Io`.
    pub(crate) fn copy(&self, id: usize, row: &mut [f32]) -> Result<()> {
        self.check(id)?;
        let start = id * self.width;
        match &self.data {
            Data::Loaded(data) => row.copy_from_slice(&data[start..][..self.width]),
            Data::InPlace(tensor) => tensor.read(start, row)?,
        }
        Ok(())
    }

    /// Adds the vector of an id.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub(crate) fn add(&self, id: usize, row: &mut [f32]) -> Result<()> {
        self.check(id)?;
        let start = id * self.width;
        let vector = match &self.data {
            Data::Loaded(data) => Cow::Borrowed(&data[start..][..self.width]),
            Data::InPlace(tensor) => {
                let mut vector = vec![0.0; self.width];
                tensor.read(start, &mut vector)?;
                Cow::Owned(vector)
            }
        };
        row.iter_mut().zip(&*vector).for_each(|(sum, x)| *sum += x);
        Ok(())
    }

    fn check(&self, id: usize) -> Result<()> {
        match id < self.rows {
            true => Ok(()),
            false => Err(Error::EmbeddingOutOfRange {
                table: self.name,
                id,
                rows: self.rows,
            }),
        }
    }
}
