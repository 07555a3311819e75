//! The weights of a model, by name and shape.
//!
//! A part of the model asks for one of three kinds of things, by BERT's name and by shape: a *matrix* that rows are
//! multiplied with ([`Weights::matrix`], [`Weights::matrix_transposed`]), a *table* whose rows are looked up
//! ([`Weights::table`]), or a small *tensor* ([`Weights::tensor`]). It does not know where the answer comes from: a
//! [`Backend`] does.

use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::embedding_rows::{EmbeddingRows, Residency};
use super::files::Files;
use super::names::{self, TensorNames};
use super::packed::{MatrixRequest, PackedFile, PackingWriter};
use super::source::Access;
use crate::error::{Error, Result};
use crate::kernels::Threads;
use crate::kernels::gemm::{Dtype, PackedWeights, Packer};

/// The weights in one folder of a model.
#[derive(Debug)]
pub(crate) struct Store {
    backend: Backend,
    packer: Packer,
    /// What the encoder's matrices are to compute in.
    compute_dtype: Dtype,
    /// What the names in a packed file start with: `""`, or the folder and a slash.
    prefix: String,
}

#[derive(Debug)]
enum Backend {
    Checkpoint(Checkpoint),
    Packed(Arc<PackedFile>),
    /// A checkpoint of which a packed file is made: the writer encodes each tensor that the model asks for.
    Packing(Checkpoint, Arc<PackingWriter>),
}

impl Store {
    /// Opens the weights in `folder` of a model; matrices are made ready by `threads`.
    ///
    /// # Errors
    /// `FileMissing`, `Io`, `Safetensors`, `WeightTwice`.
    pub(crate) fn open(
        files: &Files,
        folder: &str,
        names: TensorNames,
        access: Access,
        threads: &Threads,
    ) -> Result<Self> {
        let prefix = prefix(folder);
        let (backend, floats, compute_dtype) = match files.packed() {
            Some(file) => {
                file.populate();
                let floats = file.floats_to_read(&prefix);
                (
                    Backend::Packed(Arc::clone(file)),
                    floats,
                    file.compute_dtype(),
                )
            }
            None => {
                let checkpoint = Checkpoint::open(files, folder, names, access)?;
                let floats = checkpoint.packed_floats();
                let backend = match files.packing() {
                    Some(writer) => Backend::Packing(checkpoint, Arc::clone(writer)),
                    None => Backend::Checkpoint(checkpoint),
                };
                (backend, floats, Dtype::F32)
            }
        };
        Ok(Self {
            backend,
            packer: Packer::new(threads, floats),
            compute_dtype,
            prefix,
        })
    }

    /// Has the encoder's matrices compute in this type.
    ///
    /// # Errors
    /// `Option` for a type that those of a packed file cannot compute in.
    pub(crate) fn with_compute_dtype(self, compute_dtype: Dtype) -> Result<Self> {
        match &self.backend {
            Backend::Packed(file) if !file.can_compute_in(compute_dtype) => Err(Error::Option {
                name: "dtype",
                reason: format!(
                    "the file was packed to compute in {}, not in {compute_dtype}: pack the model anew",
                    file.compute_dtype()
                ),
            }),
            _ => Ok(Self {
                compute_dtype,
                ..self
            }),
        }
    }

    /// What the encoder's matrices compute in.
    pub(crate) fn compute_dtype(&self) -> Dtype {
        self.compute_dtype
    }

    /// The view from the top.
    pub(crate) fn weights(&self) -> Weights<'_> {
        Weights {
            store: self,
            scope: String::new(),
        }
    }

    /// Refuses tensors that should have been used and were not. To be called when everything is loaded; the encoder has
    /// `layers` layers.
    ///
    /// # Errors
    /// `WeightUnexpected`.
    pub(crate) fn reject_unexpected(&self, layers: usize) -> Result<()> {
        match &self.backend {
            Backend::Checkpoint(c) | Backend::Packing(c, _) => c.reject_unexpected(layers),
            Backend::Packed(_) => Ok(()), // it was done when the file was packed
        }
    }

    /// Number of parameters of all tensors of the checkpoint together.
    pub(crate) fn parameters(&self) -> usize {
        match &self.backend {
            Backend::Checkpoint(c) | Backend::Packing(c, _) => c.parameters(),
            Backend::Packed(file) => file.parameters(),
        }
    }

    /// The type that most parameters are stored in, as safetensors writes it.
    pub(crate) fn storage_dtype(&self) -> String {
        match &self.backend {
            Backend::Checkpoint(c) | Backend::Packing(c, _) => c.storage_dtype(),
            Backend::Packed(file) => file.precision().name().to_owned(),
        }
    }

    /// The length of all files in bytes.
    pub(crate) fn byte_len(&self) -> usize {
        match &self.backend {
            Backend::Checkpoint(c) | Backend::Packing(c, _) => c.byte_len(),
            Backend::Packed(file) => file.len(),
        }
    }

    /// A packed file's name for a tensor, or for what several are together.
    fn packed_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Which of these weights are in `folder` of a model, by BERT's names. None are if the weights cannot be opened: opening the
/// [`Store`] says why.
pub(crate) fn existing_tensors<'n>(
    files: &Files,
    folder: &str,
    tensor_names: TensorNames,
    names: &[&'n str],
) -> Vec<&'n str> {
    let names = names.iter().copied();
    match files.packed() {
        Some(file) => {
            let prefix = prefix(folder);
            names
                .filter(|name| file.has(&format!("{prefix}{name}")))
                .collect()
        }
        None => match Checkpoint::open(files, folder, tensor_names, Access::Read) {
            Ok(checkpoint) => names.filter(|name| checkpoint.has(name)).collect(),
            Err(_) => Vec::new(),
        },
    }
}

/// What a packed file's names of the weights in this folder of a model start with.
fn prefix(folder: &str) -> String {
    match folder {
        "" => String::new(),
        folder => format!("{folder}/"),
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
    pub(crate) fn scope(&self, name: &str) -> Self {
        Self {
            store: self.store,
            scope: self.full(name),
        }
    }

    /// Whether there is a tensor of this name here.
    pub(crate) fn has(&self, name: &str) -> bool {
        let name = self.full(name);
        match &self.store.backend {
            Backend::Checkpoint(c) | Backend::Packing(c, _) => c.has(&name),
            Backend::Packed(file) => file.has(&self.store.packed_name(&name)),
        }
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
        let name = self.matrix_name(modules);
        let request = MatrixRequest {
            dtype: if names::in_encoder_layer(&name) {
                self.store.compute_dtype
            } else {
                Dtype::F32
            },
            name: &name,
            n: modules.len() * outputs,
            k: inputs,
        };
        self.load_matrix(&request, |checkpoint, dtype| {
            let name = |module: &&str| self.scope(module).full("weight");
            let names: Vec<String> = modules.iter().map(name).collect();
            checkpoint.matrix(&self.store.packer, dtype, &names, outputs, inputs)
        })
    }

    /// A packed file's name for the matrix of [`matrix`](Self::matrix).
    pub(crate) fn matrix_name(&self, modules: &[&str]) -> String {
        let name = format!("{}.weight", self.full(&modules.join("+")));
        self.store.packed_name(&name)
    }

    /// The matrix that `tensor` holds transposed, (inputs, outputs).
    ///
    /// # Errors
    /// Those of [`matrix`](Self::matrix).
    pub(crate) fn matrix_transposed(
        &self,
        tensor: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<PackedWeights> {
        let tensor = self.full(tensor);
        let request = MatrixRequest {
            name: &self.store.packed_name(&tensor),
            n: outputs,
            k: inputs,
            dtype: Dtype::F32,
        };
        self.load_matrix(&request, |checkpoint, _| {
            checkpoint.matrix_transposed(&self.store.packer, &tensor, outputs, inputs)
        })
    }

    /// The matrix of a packed file, or what `load` makes of a checkpoint to compute in a type.
    fn load_matrix(
        &self,
        request: &MatrixRequest<'_>,
        load: impl FnOnce(&Checkpoint, Dtype) -> Result<PackedWeights>,
    ) -> Result<PackedWeights> {
        match &self.store.backend {
            Backend::Packed(file) => file.matrix(&self.store.packer, request),
            Backend::Checkpoint(checkpoint) => load(checkpoint, request.dtype),
            // The writer quantises, since it reports what that changes.
            Backend::Packing(checkpoint, writer) => {
                writer.matrix(request, load(checkpoint, Dtype::F32)?)
            }
        }
    }

    /// The embedding table of this name, (rows, width).
    ///
    /// # Errors
    /// Those of [`matrix`](Self::matrix); `NonFinite` of a table on demand comes when a row is used.
    pub(crate) fn table(
        &self,
        name: &str,
        shape: [usize; 2],
        residency: Residency,
    ) -> Result<EmbeddingRows> {
        let name = self.full(name);
        let load = |checkpoint: &Checkpoint| {
            let tensor = checkpoint.find(&name, &shape)?;
            EmbeddingRows::from_tensor(tensor, shape[1], residency)
        };
        match &self.store.backend {
            Backend::Packed(file) => file.table(&self.store.packed_name(&name), shape, residency),
            Backend::Checkpoint(checkpoint) => load(checkpoint),
            Backend::Packing(checkpoint, writer) => {
                let table = load(checkpoint)?;
                writer.table(&self.store.packed_name(&name), &table.whole()?, shape)?;
                Ok(table)
            }
        }
    }

    /// The parameters of the tensor of this name, which must have this shape.
    ///
    /// # Errors
    /// Those of [`matrix`](Self::matrix).
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = self.full(name);
        match &self.store.backend {
            Backend::Packed(file) => {
                let tensor = file.tensor(&self.store.packed_name(&name), shape)?;
                tensor.check_type()?;
                tensor.to_vec()
            }
            Backend::Checkpoint(checkpoint) => checkpoint.find(&name, shape)?.to_vec(),
            Backend::Packing(checkpoint, writer) => {
                let parameters = checkpoint.find(&name, shape)?.to_vec()?;
                writer.tensor(&self.store.packed_name(&name), &parameters, shape)?;
                Ok(parameters)
            }
        }
    }

    /// Whether both these tensors are here, and differ.
    ///
    /// # Errors
    /// Those of [`matrix`](Self::matrix).
    pub(crate) fn are_untied(&self, name: &str, other: &str, shape: &[usize]) -> Result<bool> {
        match &self.store.backend {
            Backend::Checkpoint(checkpoint) | Backend::Packing(checkpoint, _)
                if self.has(name) && self.has(other) =>
            {
                let find = |name: &str| checkpoint.find(&self.full(name), shape);
                Ok(!find(name)?.equals(&find(other)?)?)
            }
            // A packed file has one of them, and was packed because they do not.
            _ => Ok(false),
        }
    }

    /// Marks whatever is in the module of this name as known and not used.
    pub(crate) fn ignore(&self, name: &str) {
        match &self.store.backend {
            Backend::Checkpoint(c) | Backend::Packing(c, _) => c.ignore(&self.full(name)),
            Backend::Packed(_) => {}
        }
    }

    fn full(&self, name: &str) -> String {
        match (self.scope.as_str(), name) {
            ("", name) => name.to_owned(),
            (scope, "") => scope.to_owned(),
            (scope, name) => format!("{scope}.{name}"),
        }
    }
}
