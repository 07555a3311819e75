//! Weights of a model, by name and shape.
//!
//! A layer loads three kinds of weights, by BERT's names: a *matrix* that rows are multiplied with ([`Weights::matrix`],
//! [`Weights::matrix_transposed`]), a *table* whose rows are looked up ([`Weights::table`]), or a small *tensor*
//! ([`Weights::tensor`]). Only the [`Backend`] knows where they come from.

use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::embedding_rows::{EmbeddingRows, Residency};
use super::files::ModelFiles;
use super::names::{self, TensorNames};
use super::packed::{MatrixRequest, PackedFile, PackingWriter};
use super::source::Access;
use crate::error::{Error, Result};
use crate::kernels::Threads;
use crate::kernels::gemm::{Dtype, PackedWeights, Packer};

/// Weights in one folder of a model.
#[derive(Debug)]
pub(crate) struct Store {
    backend: Backend,
    packer: Packer,
    /// Number type that the encoder's matrices compute in.
    compute_dtype: Dtype,
    /// Prefix of this folder's names in a packed file: `""`, or the folder and a slash.
    prefix: String,
}

#[derive(Debug)]
enum Backend {
    Checkpoint(Checkpoint),
    Packed(Arc<PackedFile>),
    /// A checkpoint that is being packed: the writer encodes each tensor that the model loads.
    Packing(Checkpoint, Arc<PackingWriter>),
}

impl Store {
    /// Opens the weights in `folder` of a model. Matrices are packed on `threads`.
    ///
    /// # Errors
    /// `FileMissing`, `Io`, `Safetensors`, `WeightTwice`.
    pub(crate) fn open(
        files: &ModelFiles,
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

    /// Sets the number type that the encoder's matrices compute in.
    ///
    /// # Errors
    /// `Option` for a packed file whose matrices cannot compute in this type.
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

    /// Number type that the encoder's matrices compute in.
    pub(crate) fn compute_dtype(&self) -> Dtype {
        self.compute_dtype
    }

    /// View from the top level.
    pub(crate) fn weights(&self) -> Weights<'_> {
        Weights {
            store: self,
            scope: String::new(),
        }
    }

    /// Refuses a checkpoint with tensors that an encoder of `layers` layers should have loaded and has not. Call it after
    /// everything is loaded.
    ///
    /// # Errors
    /// `WeightUnexpected`.
    pub(crate) fn reject_unexpected(&self, layers: usize) -> Result<()> {
        match &self.backend {
            Backend::Checkpoint(c) | Backend::Packing(c, _) => c.reject_unexpected(layers),
            Backend::Packed(_) => Ok(()), // checked when the file was packed
        }
    }

    /// Number of parameters in the checkpoint.
    pub(crate) fn parameters(&self) -> usize {
        match &self.backend {
            Backend::Checkpoint(c) | Backend::Packing(c, _) => c.parameters(),
            Backend::Packed(file) => file.parameters(),
        }
    }

    /// Number type that most parameters are stored in, by its safetensors name; for a packed file, its precision.
    pub(crate) fn storage_dtype(&self) -> String {
        match &self.backend {
            Backend::Checkpoint(c) | Backend::Packing(c, _) => c.storage_dtype(),
            Backend::Packed(file) => file.precision().name().to_owned(),
        }
    }

    /// Total size of the files, in bytes.
    pub(crate) fn byte_len(&self) -> usize {
        match &self.backend {
            Backend::Checkpoint(c) | Backend::Packing(c, _) => c.byte_len(),
            Backend::Packed(file) => file.len(),
        }
    }

    /// Name in a packed file of a tensor or of a matrix joined from several tensors.
    fn packed_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Returns which of `names` (BERT's) are tensors in `folder` of a model. Returns none if the weights cannot be opened;
/// [`Store::open`] then reports why.
pub(crate) fn existing_tensors<'n>(
    files: &ModelFiles,
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

/// Prefix in a packed file of the names of weights in `folder` of a model.
fn prefix(folder: &str) -> String {
    match folder {
        "" => String::new(),
        folder => format!("{folder}/"),
    }
}

/// View of the weights from inside one module. All names are BERT's, relative to the module.
#[derive(Debug, Clone)]
pub(crate) struct Weights<'a> {
    store: &'a Store,
    scope: String,
}

impl Weights<'_> {
    /// View from inside the submodule `name`.
    pub(crate) fn scope(&self, name: &str) -> Self {
        Self {
            store: self.store,
            scope: self.full(name),
        }
    }

    /// Whether the module has a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        let name = self.full(name);
        match &self.store.backend {
            Backend::Checkpoint(c) | Backend::Packing(c, _) => c.has(&name),
            Backend::Packed(file) => file.has(&self.store.packed_name(&name)),
        }
    }

    /// Loads the `weight`s of these modules, each (outputs, inputs), as one matrix (modules * outputs, inputs).
    ///
    /// # Errors
    /// `WeightMissing`, `WeightShape`, `WeightType`, `NonFinite`; `Io` if the file cannot be read.
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

    /// Name in a packed file of the matrix that [`matrix`](Self::matrix) loads.
    pub(crate) fn matrix_name(&self, modules: &[&str]) -> String {
        let name = format!("{}.weight", self.full(&modules.join("+")));
        self.store.packed_name(&name)
    }

    /// Loads a matrix, (outputs, inputs), whose tensor is stored transposed.
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

    /// Loads a matrix from a packed file, or with `load` from a checkpoint, converted to the given type.
    fn load_matrix(
        &self,
        request: &MatrixRequest<'_>,
        load: impl FnOnce(&Checkpoint, Dtype) -> Result<PackedWeights>,
    ) -> Result<PackedWeights> {
        match &self.store.backend {
            Backend::Packed(file) => file.matrix(&self.store.packer, request),
            Backend::Checkpoint(checkpoint) => load(checkpoint, request.dtype),
            // The writer quantises, because it reports the error of that.
            Backend::Packing(checkpoint, writer) => {
                writer.matrix(request, load(checkpoint, Dtype::F32)?)
            }
        }
    }

    /// Loads an embedding table, (rows, width).
    ///
    /// # Errors
    /// Those of [`matrix`](Self::matrix). Rows that are read on demand are checked for NaN and infinity when they are read.
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

    /// Loads a tensor of the given shape.
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

    /// Whether the module has both tensors and their values differ.
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
            // Only a model whose tensors are equal can be packed, and the packed file holds one of them.
            _ => Ok(false),
        }
    }

    /// Excludes the tensors of the submodule `name` from the check for unexpected ones.
    pub(crate) fn ignore(&self, name: &str) {
        match &self.store.backend {
            Backend::Checkpoint(c) | Backend::Packing(c, _) => c.ignore(&self.full(name)),
            Backend::Packed(_) => {}
        }
    }

    /// Name from the top level.
    fn full(&self, name: &str) -> String {
        match (self.scope.as_str(), name) {
            ("", name) => name.to_owned(),
            (scope, "") => scope.to_owned(),
            (scope, name) => format!("{scope}.{name}"),
        }
    }
}
