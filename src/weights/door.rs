//! The one door through which the model's parts get their weights.
//!
//! A part asks for one of three kinds of things, by BERT's name and by shape: a *matrix* that rows are multiplied with
//! ([`Weights::matrix`], [`Weights::columns`]), a *table* whose rows are looked up ([`Weights::table`]), or a few
//! *numbers* ([`Weights::tensor`]). It does not know what the answer was made of.

use super::checkpoint::Checkpoint;
use super::rows::{Residence, Rows};
use super::{Access, Files};
use crate::config::Family;
use crate::error::Result;
use crate::kernels::Threads;
use crate::kernels::gemm::{PackedWeights, Packer};

/// The weights in one folder of a model.
#[derive(Debug)]
pub(crate) struct Store {
    checkpoint: Checkpoint,
    packer: Packer,
}

impl Store {
    /// Opens the weights in `folder` of a model; matrices are made ready by `threads`.
    ///
    /// # Errors
    /// `FileMissing`, `Io`, `Safetensors`, `WeightTwice`.
    pub(crate) fn open(
        files: &Files,
        folder: &str,
        family: Family,
        access: Access,
        threads: &Threads,
    ) -> Result<Self> {
        let checkpoint = Checkpoint::open(files, folder, family, access)?;
        let packer = Packer::new(threads, checkpoint.packed_floats());
        Ok(Self { checkpoint, packer })
    }

    /// The view from the top.
    pub(crate) fn weights(&self) -> Weights<'_> {
        Weights {
            store: self,
            scope: String::new(),
        }
    }

    /// To be called when everything is loaded: refuses what was left over where nothing should be. The encoder has
    /// `layers` layers.
    ///
    /// # Errors
    /// `WeightUnexpected`.
    pub(crate) fn refuse_leftovers(&self, layers: usize) -> Result<()> {
        self.checkpoint.refuse_leftovers(layers)
    }

    /// How many numbers all tensors hold together.
    pub(crate) fn parameters(&self) -> usize {
        self.checkpoint.parameters()
    }

    /// The type that most numbers are stored in, as safetensors writes it.
    pub(crate) fn dtype(&self) -> String {
        self.checkpoint.dtype()
    }

    /// The length of all files in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.checkpoint.bytes()
    }
}

/// The weights as seen from inside one module.
#[derive(Debug, Clone)]
pub(crate) struct Weights<'a> {
    store: &'a Store,
    scope: String,
}

impl Weights<'_> {
    /// The view from inside the module of this name, by BERT's names.
    pub(crate) fn at(&self, name: &str) -> Self {
        Self {
            store: self.store,
            scope: self.full(name),
        }
    }

    /// Whether there is a tensor of this name here.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.store.checkpoint.has(&self.full(name))
    }

    /// The `weight`s of these modules, each (outputs, inputs), as one matrix: their outputs stand side by side.
    ///
    /// # Errors
    /// `WeightMissing`, `WeightShape`, `WeightType`, `NonFinite`, and `Io` if the file cannot be read.
    pub(crate) fn matrix(
        &self,
        modules: &[&str],
        outputs: usize,
        inputs: usize,
    ) -> Result<PackedWeights> {
        let name = |module: &&str| self.at(module).full("weight");
        let names: Vec<String> = modules.iter().map(name).collect();
        let store = self.store;
        store
            .checkpoint
            .matrix(&store.packer, &names, (outputs, inputs))
    }

    /// The matrix that `tensor` holds the other way round, (inputs, outputs).
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub(crate) fn columns(
        &self,
        tensor: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<PackedWeights> {
        let (store, name) = (self.store, self.full(tensor));
        store
            .checkpoint
            .columns(&store.packer, &name, (outputs, inputs))
    }

    /// The table of this name, (rows, width).
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix); of a table that is left in place, `NonFinite` comes when a row is used.
    pub(crate) fn table(
        &self,
        name: &str,
        (rows, width): (usize, usize),
        residence: Residence,
    ) -> Result<Rows> {
        let tensor = self
            .store
            .checkpoint
            .find(&self.full(name), &[rows, width])?;
        Rows::of(tensor, width, residence)
    }

    /// The numbers of the tensor of this name, which must have this shape.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.store
            .checkpoint
            .find(&self.full(name), shape)?
            .to_vec()
    }

    /// Whether both these tensors are here, and differ.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub(crate) fn differ(&self, name: &str, other: &str, shape: &[usize]) -> Result<bool> {
        let both = self.has(name) && self.has(other);
        Ok(both && self.tensor(name, shape)? != self.tensor(other, shape)?)
    }

    /// Says that whatever is in the module of this name is known, and not used.
    pub(crate) fn pass_over(&self, name: &str) {
        self.store.checkpoint.pass_over(&self.full(name));
    }

    fn full(&self, name: &str) -> String {
        match (self.scope.as_str(), name) {
            ("", name) => name.to_owned(),
            (scope, "") => scope.to_owned(),
            (scope, name) => format!("{scope}.{name}"),
        }
    }
}
