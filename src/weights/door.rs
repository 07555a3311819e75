//! The one door through which the model's parts get their weights.
//!
//! A part asks for one of three kinds of things, by BERT's name and by shape: a *matrix* that rows are multiplied with
//! ([`Weights::matrix`], [`Weights::columns`]), a *table* whose rows are looked up ([`Weights::table`]), or a few
//! *numbers* ([`Weights::tensor`]). It does not know what the answer was made of.

use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::packed::{Inputs, PackedFile, Recorder, Samples};
use super::rows::{Residence, Rows};
use super::{Access, Files};
use crate::config::Family;
use crate::error::{Error, Result};
use crate::kernels::Threads;
use crate::kernels::gemm::{Dtype, PackedWeights, Packer};

/// Where the layers are whose products are worth quantising; heads and projections of embeddings take little time.
const ENCODER_LAYERS: &str = "encoder.layer.";

/// The weights in one folder of a model.
#[derive(Debug)]
pub(crate) struct Store {
    place: Place,
    packer: Packer,
    /// What the encoder's matrices are to compute in.
    dtype: Dtype,
    /// What the names in a packed file start with: `""`, or the folder and a slash.
    prefix: String,
    /// Is told of every answer.
    recorder: Option<Arc<Recorder>>,
    /// Gets what goes into the encoder's matrices.
    samples: Option<Arc<Samples>>,
}

#[derive(Debug)]
enum Place {
    Checkpoint(Checkpoint),
    Packed(Arc<PackedFile>),
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
        let prefix = prefix(folder);
        let (place, floats, dtype) = match files.packed() {
            Some(file) => {
                file.populate();
                let floats = file.floats_to_read(&prefix);
                (Place::Packed(Arc::clone(file)), floats, file.computes_in())
            }
            None => {
                let checkpoint = Checkpoint::open(files, folder, family, access)?;
                let floats = checkpoint.packed_floats();
                (Place::Checkpoint(checkpoint), floats, Dtype::F32)
            }
        };
        Ok(Self {
            place,
            packer: Packer::new(threads, floats),
            dtype,
            prefix,
            recorder: files.recorder().cloned(),
            samples: files.samples().cloned(),
        })
    }

    /// The same, with an encoder whose matrices compute in this.
    ///
    /// # Errors
    /// `Option` for a type that those of a packed file cannot compute in.
    pub(crate) fn computing_in(self, dtype: Dtype) -> Result<Self> {
        match &self.place {
            Place::Packed(file) if !file.can_compute_in(dtype) => Err(Error::Option {
                name: "dtype",
                reason: format!(
                    "the file was packed to compute in {}, not in {dtype}: pack the model anew",
                    file.computes_in()
                ),
            }),
            _ => Ok(Self { dtype, ..self }),
        }
    }

    /// What the encoder's matrices compute in.
    pub(crate) fn computes_in(&self) -> Dtype {
        self.dtype
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
        match &self.place {
            Place::Checkpoint(checkpoint) => checkpoint.refuse_leftovers(layers),
            Place::Packed(_) => Ok(()), // it was done when the file was packed
        }
    }

    /// How many numbers all tensors of the checkpoint hold together.
    pub(crate) fn parameters(&self) -> usize {
        match &self.place {
            Place::Checkpoint(checkpoint) => checkpoint.parameters(),
            Place::Packed(file) => file.parameters(),
        }
    }

    /// The type that most numbers are stored in, as safetensors writes it.
    pub(crate) fn dtype(&self) -> String {
        match &self.place {
            Place::Checkpoint(checkpoint) => checkpoint.dtype(),
            Place::Packed(file) => file.precision().name().to_owned(),
        }
    }

    /// The length of all files in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match &self.place {
            Place::Checkpoint(checkpoint) => checkpoint.bytes(),
            Place::Packed(file) => file.len(),
        }
    }

    /// A packed file's name for a tensor, or for what several are together.
    fn packed_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Which of these weights are in `folder` of a model, by BERT's names. None are if the weights cannot be opened: opening the
/// [`Store`] says why.
pub(crate) fn held<'n>(
    files: &Files,
    folder: &str,
    family: Family,
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
        None => match Checkpoint::open(files, folder, family, Access::Read) {
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
    pub(crate) fn at(&self, name: &str) -> Self {
        Self {
            store: self.store,
            scope: self.full(name),
        }
    }

    /// Whether there is a tensor of this name here.
    pub(crate) fn has(&self, name: &str) -> bool {
        let name = self.full(name);
        match &self.store.place {
            Place::Checkpoint(checkpoint) => checkpoint.has(&name),
            Place::Packed(file) => file.has(&self.store.packed_name(&name)),
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
        let joined = self.joined_name(modules);
        let dtype = match joined.starts_with(ENCODER_LAYERS) {
            true => self.store.dtype,
            false => Dtype::F32,
        };
        let asked = Asked {
            name: &joined,
            shape: (modules.len() * outputs, inputs),
            dtype,
        };
        self.answer_matrix(asked, |checkpoint, dtype| {
            let name = |module: &&str| self.at(module).full("weight");
            let names: Vec<String> = modules.iter().map(name).collect();
            checkpoint.matrix(&self.store.packer, dtype, &names, (outputs, inputs))
        })
    }

    /// Where what goes into such a matrix is to be kept, if it is.
    pub(crate) fn inputs(&self, modules: &[&str], inputs: usize) -> Option<Arc<Inputs>> {
        let name = self.joined_name(modules);
        let samples = self.store.samples.as_ref();
        let samples = samples.filter(|_| name.starts_with(ENCODER_LAYERS))?;
        Some(samples.of(&self.store.packed_name(&name), inputs))
    }

    /// The name of several matrices as one.
    fn joined_name(&self, modules: &[&str]) -> String {
        format!("{}.weight", self.full(&modules.join("+")))
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
        let name = self.full(tensor);
        let asked = Asked {
            name: &name,
            shape: (outputs, inputs),
            dtype: Dtype::F32,
        };
        self.answer_matrix(asked, |checkpoint, _| {
            checkpoint.columns(&self.store.packer, &name, (outputs, inputs))
        })
    }

    /// The matrix of a packed file, or what `load` makes of a checkpoint to compute in a type.
    fn answer_matrix(
        &self,
        asked: Asked<'_>,
        load: impl FnOnce(&Checkpoint, Dtype) -> Result<PackedWeights>,
    ) -> Result<PackedWeights> {
        let store = self.store;
        let name = store.packed_name(asked.name);
        match &store.place {
            Place::Packed(file) => file.matrix(&store.packer, &name, asked.shape, asked.dtype),
            Place::Checkpoint(checkpoint) => match &store.recorder {
                None => load(checkpoint, asked.dtype),
                // It quantises itself, since it says what that changes.
                Some(recorder) => {
                    let floats = load(checkpoint, Dtype::F32)?;
                    recorder.matrix(&name, floats, asked.dtype)
                }
            },
        }
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
        let store = self.store;
        let name = self.full(name);
        match &store.place {
            Place::Packed(file) => file.table(&store.packed_name(&name), (rows, width), residence),
            Place::Checkpoint(checkpoint) => {
                let tensor = checkpoint.find(&name, &[rows, width])?;
                let table = Rows::of(tensor, width, residence)?;
                if let Some(recorder) = &store.recorder {
                    let numbers = table.whole()?;
                    recorder.table(&store.packed_name(&name), &numbers, (rows, width))?;
                }
                Ok(table)
            }
        }
    }

    /// The numbers of the tensor of this name, which must have this shape.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = self.full(name);
        let packed_name = self.store.packed_name(&name);
        match &self.store.place {
            Place::Checkpoint(checkpoint) => {
                let numbers = checkpoint.find(&name, shape)?.to_vec()?;
                if let Some(recorder) = &self.store.recorder {
                    recorder.numbers(&packed_name, &numbers, shape)?;
                }
                Ok(numbers)
            }
            Place::Packed(file) => {
                let tensor = file.tensor(&packed_name, shape)?;
                tensor.check_type()?;
                tensor.to_vec()
            }
        }
    }

    /// Whether both these tensors are here, and differ.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub(crate) fn differ(&self, name: &str, other: &str, shape: &[usize]) -> Result<bool> {
        match &self.store.place {
            Place::Checkpoint(checkpoint) if self.has(name) && self.has(other) => {
                let find = |name: &str| checkpoint.find(&self.full(name), shape);
                Ok(!find(name)?.equals(&find(other)?)?)
            }
            // A packed file has one of them, and was packed because they do not.
            _ => Ok(false),
        }
    }

    /// Says that whatever is in the module of this name is known, and not used.
    pub(crate) fn pass_over(&self, name: &str) {
        if let Place::Checkpoint(checkpoint) = &self.store.place {
            checkpoint.pass_over(&self.full(name));
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

/// A matrix that is asked for.
struct Asked<'a> {
    name: &'a str,
    /// (n, k).
    shape: (usize, usize),
    dtype: Dtype,
}
