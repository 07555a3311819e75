//! Embedding tables.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::weights::{Tensor, Weights};

/// A vector for each id, in memory.
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
        (rows, width): (usize, usize),
    ) -> Result<Self> {
        Ok(Self {
            name,
            rows,
            width,
            data: weights.tensor(tensor, &[rows, width])?,
        })
    }

    /// Adds the vector of an id.
    ///
    /// # Errors
    /// `EmbeddingOutOfRange`.
    pub(crate) fn add(&self, id: usize, row: &mut [f32]) -> Result<()> {
        check(self.name, id, self.rows)?;
        let vector = &self.data[id * self.width..][..self.width];
        row.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
        Ok(())
    }
}

/// The table of words, the largest tensor of most models.
#[derive(Debug)]
pub(crate) struct Words {
    rows: usize,
    width: usize,
    data: Data,
}

/// Where the vectors of words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residence {
    /// In memory, all of them: for a table that is needed whole.
    Loaded,
    /// Where the checkpoint has them. A text needs few rows of a table of words that is larger than all layers together
    /// (all-MiniLM-L6-v2: 47 MB and 43 MB). Out of a file in the system's cache a row takes 0.5 to 1 us, less than 1 % of a
    /// text of 512 tokens; in a text of 8, 2 us, which is 2 %, since the system's code has left the caches (Zen 5).
    InPlace,
}

#[derive(Debug)]
enum Data {
    /// (rows, width).
    Loaded(Vec<f32>),
    InPlace(Tensor),
}

impl Words {
    /// `tensor` of (rows, width).
    pub(crate) fn load(
        weights: &Weights<'_>,
        tensor: &str,
        (rows, width): (usize, usize),
        residence: Residence,
    ) -> Result<Self> {
        let tensor = weights.find(tensor, &[rows, width])?;
        Ok(Self {
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
        check("the table of words", id, self.rows)?;
        let start = id * self.width;
        match &self.data {
            Data::Loaded(data) => row.copy_from_slice(&data[start..][..self.width]),
            Data::InPlace(tensor) => tensor.read(start, row)?,
        }
        Ok(())
    }

    /// Once all is loaded: gives back what memory holds beside a table that was left in place there.
    pub(crate) fn keep_alone(&mut self) {
        if let Data::InPlace(tensor) = &mut self.data {
            tensor.keep_alone();
        }
    }
}

fn check(table: &'static str, id: usize, rows: usize) -> Result<()> {
    match id < rows {
        true => Ok(()),
        false => Err(Error::EmbeddingOutOfRange { table, id, rows }),
    }
}
