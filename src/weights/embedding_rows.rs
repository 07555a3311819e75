//! Embedding tables, whose rows are looked up one by one.

use std::borrow::Cow;

use super::bytes::PodBuf;
use super::tensor::Tensor;
use crate::error::Result;

/// Time at which a table's rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residency {
    /// All rows when the table is loaded: for small tables, and for those that are used whole.
    InMemory,
    /// Each row when it is used. A text needs few rows of the word embeddings, a table that is larger than all layers
    /// together (all-MiniLM-L6-v2: 47 MB and 43 MB). A `pread` from the page cache takes 0.5 to 1 us a row, about 2 % of the
    /// time for a short text in int8 on Zen 5, so recently read rows are cached.
    OnDemand,
}

/// Rows of an embedding table, in memory or read on demand.
#[derive(Debug)]
pub(crate) struct EmbeddingRows {
    width: usize,
    data: RowStorage,
}

#[derive(Debug)]
enum RowStorage {
    /// Floats, (rows, width).
    InMemory(PodBuf<f32>),
    OnDemand(Tensor),
    /// Rows in int8 that are read on demand, and a scale for each row.
    Int8(Tensor, PodBuf<f32>),
}

impl EmbeddingRows {
    /// Loads a tensor of rows of `width` values.
    pub(super) fn from_tensor(tensor: Tensor, width: usize, residency: Residency) -> Result<Self> {
        let data = match residency {
            Residency::InMemory => RowStorage::InMemory(tensor.to_vec()?.into()),
            Residency::OnDemand => RowStorage::OnDemand(tensor.with_row_cache(width)),
        };
        Ok(Self { width, data })
    }

    /// Creates a table from rows of `width` values in memory.
    pub(super) fn in_memory(values: PodBuf<f32>, width: usize) -> Self {
        let data = RowStorage::InMemory(values);
        Self { width, data }
    }

    /// Loads an int8 tensor of rows of `width` values, with a scale for each row.
    pub(super) fn from_int8(
        tensor: Tensor,
        scales: PodBuf<f32>,
        width: usize,
        residency: Residency,
    ) -> Result<Self> {
        let data = match residency {
            Residency::InMemory => {
                let data = RowStorage::Int8(tensor, scales);
                let rows = Self { width, data }.whole()?.into_owned();
                RowStorage::InMemory(rows.into())
            }
            Residency::OnDemand => RowStorage::Int8(tensor.with_row_cache(width), scales),
        };
        Ok(Self { width, data })
    }

    /// Returns the whole table, (rows, width).
    ///
    /// # Errors
    /// `NonFinite` and `Io` if rows are read on demand.
    pub(crate) fn whole(&self) -> Result<Cow<'_, [f32]>> {
        match &self.data {
            RowStorage::InMemory(data) => Ok(Cow::Borrowed(data)),
            RowStorage::OnDemand(tensor) => tensor.to_vec().map(Cow::Owned),
            RowStorage::Int8(tensor, scales) => {
                let mut table = tensor.to_vec()?;
                for (row, &factor) in table.chunks_exact_mut(self.width).zip(&**scales) {
                    multiply(row, factor);
                }
                Ok(Cow::Owned(table))
            }
        }
    }

    /// Copies a row, which must exist, to `row`.
    ///
    /// # Errors
    /// `Io` and `NonFinite` if rows are read on demand; a checkpoint's rows are checked only then.
    pub(crate) fn copy(&self, index: usize, row: &mut [f32]) -> Result<()> {
        let start = index * self.width;
        match &self.data {
            RowStorage::InMemory(data) => row.copy_from_slice(&data[start..][..self.width]),
            RowStorage::OnDemand(tensor) => tensor.read(start, row)?,
            RowStorage::Int8(tensor, scales) => {
                tensor.read(start, row)?;
                multiply(row, scales[index]);
            }
        }
        Ok(())
    }

    /// Frees the other bytes of a checkpoint in memory that a table read on demand keeps alive, if nothing else holds them.
    /// Call it after everything is loaded.
    pub(crate) fn release_other_bytes(&mut self) {
        if let RowStorage::OnDemand(tensor) = &mut self.data {
            tensor.release_other_bytes();
        }
    }

    /// Returns a row, which must exist.
    ///
    /// # Errors
    /// Those of [`copy`](Self::copy).
    pub(crate) fn row(&self, index: usize) -> Result<Cow<'_, [f32]>> {
        match &self.data {
            RowStorage::InMemory(data) => {
                Ok(Cow::Borrowed(&data[index * self.width..][..self.width]))
            }
            RowStorage::OnDemand(_) | RowStorage::Int8(..) => {
                let mut row = vec![0.0; self.width];
                self.copy(index, &mut row)?;
                Ok(Cow::Owned(row))
            }
        }
    }
}

fn multiply(row: &mut [f32], factor: f32) {
    row.iter_mut().for_each(|x| *x *= factor);
}
