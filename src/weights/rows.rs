//! Tables whose rows are looked up one by one.

use std::borrow::Cow;

use super::tensor::Tensor;
use crate::error::Result;

/// Where a table's rows are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residence {
    /// In memory, all of them: for small tables, and for those that are needed whole.
    Loaded,
    /// Where the checkpoint has them. A text needs few rows of a table of words that is larger than all layers together
    /// (all-MiniLM-L6-v2: 47 MB and 43 MB); out of a file in the system's cache a row takes half a microsecond.
    InPlace,
}

/// The rows of a table, (rows, width), however they are stored.
#[derive(Debug)]
pub(crate) struct Rows {
    width: usize,
    data: Data,
}

#[derive(Debug)]
enum Data {
    /// (rows, width).
    Loaded(Vec<f32>),
    InPlace(Tensor),
}

impl Rows {
    /// A tensor of rows of `width` numbers.
    pub(super) fn of(tensor: Tensor, width: usize, residence: Residence) -> Result<Self> {
        let data = match residence {
            Residence::Loaded => Data::Loaded(tensor.to_vec()?),
            Residence::InPlace => Data::InPlace(tensor),
        };
        Ok(Self { width, data })
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

    /// Copies a row, which must be there.
    ///
    /// # Errors
    /// Of a table that was left in place `NonFinite`, which is not looked for ahead of use, and `Io`.
    pub(crate) fn copy(&self, index: usize, row: &mut [f32]) -> Result<()> {
        let start = index * self.width;
        match &self.data {
            Data::Loaded(data) => row.copy_from_slice(&data[start..][..self.width]),
            Data::InPlace(tensor) => tensor.read(start, row)?,
        }
        Ok(())
    }

    /// A row, which must be there.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub(crate) fn row(&self, index: usize) -> Result<Cow<'_, [f32]>> {
        match &self.data {
            Data::Loaded(data) => Ok(Cow::Borrowed(&data[index * self.width..][..self.width])),
            Data::InPlace(_) => {
                let mut row = vec![0.0; self.width];
                self.copy(index, &mut row)?;
                Ok(Cow::Owned(row))
            }
        }
    }
}
