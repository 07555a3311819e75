//! Tables whose rows are looked up one by one.

use std::borrow::Cow;

use super::bytes::Numbers;
use super::tensor::Tensor;
use crate::error::Result;

/// Where a table's rows are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residence {
    /// In memory, all of them: for small tables, and for those that are needed whole.
    Loaded,
    /// Where the checkpoint has them. A text needs few rows of a table of words that is larger than all layers together
    /// (all-MiniLM-L6-v2: 47 MB and 43 MB). Out of a file in the system's cache a row takes 0.5 to 1 us, which would be 2 %
    /// of a text in bytes, so that those read last are kept (Zen 5).
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
    Held(Numbers<f32>),
    InPlace(Tensor),
    /// Whole numbers, and what those of each row are multiplied by.
    Scaled(Tensor, Numbers<f32>),
}

impl Rows {
    /// A tensor of rows of `width` numbers.
    pub(super) fn of(tensor: Tensor, width: usize, residence: Residence) -> Result<Self> {
        let data = match residence {
            Residence::Loaded => Data::Held(tensor.to_vec()?.into()),
            Residence::InPlace => Data::InPlace(tensor.by_rows(width)),
        };
        Ok(Self { width, data })
    }

    /// Rows of `width` numbers that are in memory already.
    pub(super) fn held(numbers: Numbers<f32>, width: usize) -> Self {
        let data = Data::Held(numbers);
        Self { width, data }
    }

    /// A tensor of rows of `width` whole numbers, and a scale for each row.
    pub(super) fn scaled(
        tensor: Tensor,
        scales: Numbers<f32>,
        width: usize,
        residence: Residence,
    ) -> Result<Self> {
        let data = match residence {
            Residence::Loaded => {
                let data = Data::Scaled(tensor, scales);
                let rows = Self { width, data }.whole()?.into_owned();
                Data::Held(rows.into())
            }
            Residence::InPlace => Data::Scaled(tensor.by_rows(width), scales),
        };
        Ok(Self { width, data })
    }

    /// The whole table, (rows, width).
    ///
    /// # Errors
    /// Of a table that was left in place, those of reading it now: `NonFinite`, `Io`.
    pub(crate) fn whole(&self) -> Result<Cow<'_, [f32]>> {
        match &self.data {
            Data::Held(data) => Ok(Cow::Borrowed(data)),
            Data::InPlace(tensor) => tensor.to_vec().map(Cow::Owned),
            Data::Scaled(tensor, scales) => {
                let mut table = tensor.to_vec()?;
                for (row, &factor) in table.chunks_exact_mut(self.width).zip(&**scales) {
                    scale(row, factor);
                }
                Ok(Cow::Owned(table))
            }
        }
    }

    /// Copies a row, which must be there.
    ///
    /// # Errors
    /// Of a table that was left in place `Io`, and, if it is a checkpoint's, `NonFinite`, which is not looked for ahead of
    /// use.
    pub(crate) fn copy(&self, index: usize, row: &mut [f32]) -> Result<()> {
        let start = index * self.width;
        match &self.data {
            Data::Held(data) => row.copy_from_slice(&data[start..][..self.width]),
            Data::InPlace(tensor) => tensor.read(start, row)?,
            Data::Scaled(tensor, scales) => {
                tensor.read(start, row)?;
                scale(row, scales[index]);
            }
        }
        Ok(())
    }

    /// Once all is loaded: gives back what memory holds beside a table that was left in place there.
    pub(crate) fn keep_alone(&mut self) {
        if let Data::InPlace(tensor) = &mut self.data {
            tensor.keep_alone();
        }
    }

    /// A row, which must be there.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub(crate) fn row(&self, index: usize) -> Result<Cow<'_, [f32]>> {
        match &self.data {
            Data::Held(data) => Ok(Cow::Borrowed(&data[index * self.width..][..self.width])),
            Data::InPlace(_) | Data::Scaled(..) => {
                let mut row = vec![0.0; self.width];
                self.copy(index, &mut row)?;
                Ok(Cow::Owned(row))
            }
        }
    }
}

fn scale(row: &mut [f32], scale: f32) {
    row.iter_mut().for_each(|x| *x *= scale);
}
