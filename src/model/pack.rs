//! Packing: a whole model in one file, which is used in place.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Error as IoError, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Model, ModelOptions};
use crate::batch::{Batch, Input, OutputRows};
use crate::error::{Error, Result};
use crate::kernels::gemm::Dtype;
use crate::layers::Scratch;
use crate::tokenizer::{TokenizerWarning, without_vocabulary};
use crate::weights::{
    Access, Calibration, CalibrationSamples, Container, ModelFiles, PackOptions, PackedMatrix,
    PackedSummary, PackingWriter, TensorEntry, WeightFormat, check_name, open_packed,
};

/// A packed model in memory, to be written to a file; [`Model::pack`] makes it.
#[derive(Debug)]
pub struct Packed {
    container: Container,
    matrices: Vec<PackedMatrix>,
    warnings: Vec<TokenizerWarning>,
}

/// Count and size of the sections of one kind in a packed file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct PackedSection {
    /// Name of the kind: header, settings, vocabulary, numbers (biases and norms), matrices, tables (embedding tables),
    /// or padding.
    pub kind: &'static str,
    /// Number of sections.
    pub tensors: usize,
    /// Size of all of them together, in bytes.
    pub bytes: usize,
}

impl Model {
    /// Packs a model's folder into one file: aligned weights in the layout of the kernels, the built vocabulary, and
    /// the settings.
    ///
    /// [`Model::load`] opens the file without converting or building anything; [`Model::from_bytes`] opens one that is
    /// embedded in the program. It is a valid safetensors file. In [`WeightFormat::F32`] its answers equal those of the
    /// folder, bit for bit.
    ///
    /// ```
    /// # fn main() -> bertless::Result<()> {
    /// use bertless::{Model, WeightFormat};
    ///
    /// # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/bert-classify");
    /// # let temporary = tempfile::tempdir().unwrap();
    /// # let file = temporary.path().join("model.safetensors");
    /// Model::pack(dir, WeightFormat::F32)?.save(&file)?;
    /// let model = Model::load(&file)?;
    /// # assert_eq!(model.predict("Fine.")?, Model::load(dir)?.predict("Fine.")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`load`](Self::load), and `NonFinite` if a weight is too large for the precision.
    pub fn pack(dir: impl AsRef<Path>, precision: WeightFormat) -> Result<Packed> {
        Self::pack_with(dir, PackOptions::new(precision))
    }

    /// Packs a model's folder into one file, with options. They set the precision and, for int8, which matrices stay in
    /// f32.
    ///
    /// # Errors
    /// Those of [`pack`](Self::pack); `Option` for a pattern that matches nothing, a bound that is NaN or negative, an
    /// empty set of calibration texts, and for any of these in another precision than int8; `Input` for a text that
    /// cannot be tokenized.
    pub fn pack_with(dir: impl AsRef<Path>, options: PackOptions) -> Result<Packed> {
        options.check()?;
        let precision = options.precision();
        let texts = options.texts();
        let calibration = texts.map(|texts| sample(dir.as_ref(), texts, ModelOptions::new()));
        let writer = Arc::new(PackingWriter::new(options, calibration.transpose()?));
        let files = ModelFiles::being_packed(&writer, dir.as_ref());
        let options = ModelOptions::new().dtype(precision.compute_dtype());
        let model = Self::open(&files, options)?;
        let collected = writer.take()?;
        let weights = collected.weights.iter().map(|entry| &entry.name);
        let names = collected.files.keys().chain(weights);
        names.map(String::as_str).try_for_each(check_name)?;
        let mut prefix = Vec::new();
        for (name, bytes) in collected.files {
            if let Some(bytes) = without_vocabulary(&name, bytes)? {
                prefix.push(TensorEntry::bytes(&name, bytes));
            }
        }
        prefix.extend(model.tokenizer.parts());
        let metadata = [
            ("dtype", precision.name().to_owned()),
            ("parameters", model.summary.parameters.to_string()),
        ];
        Ok(Packed {
            container: Container::new(prefix, collected.weights, &metadata),
            matrices: collected.matrices,
            warnings: model.tokenizer.warnings(),
        })
    }
}

/// Runs these texts in f32 and keeps the inputs of the encoder's matrices for calibration.
fn sample(
    dir: &Path,
    texts: &[(String, Option<String>)],
    options: ModelOptions,
) -> Result<Calibration> {
    let model = Model::open(&ModelFiles::folder(dir), options.dtype(Dtype::F32))?;
    let samples = Arc::new(CalibrationSamples::default());
    let exec = model.engine.observed(samples.clone());
    let mut scratch = Scratch::default();
    for (index, (first, second)) in texts.iter().enumerate() {
        let encoding = model.tokenize(match second {
            Some(second) => Input::Pair(first, second),
            None => Input::Text(first),
        });
        let batch = encoding.map(|encoding| Batch::new([&encoding]));
        let passed = batch.and_then(|batch| {
            let (encoder, outputs) = (&model.encoder, OutputRows::All);
            let rows = encoder.forward(&exec, &batch, outputs, &mut scratch, |_, _| {});
            rows.map(drop)
        });
        passed.map_err(|error| error.at_index(index))?;
        if samples.are_full() {
            break;
        }
    }
    let engine = model.engine;
    Ok(Calibration { samples, engine })
}

impl Packed {
    /// Length of the file in bytes.
    pub fn bytes(&self) -> usize {
        self.container.len()
    }

    /// Summary that the file will carry.
    pub fn summary(&self) -> PackedSummary {
        self.container.summary()
    }

    /// Kinds of sections that make up the file, in the order in which they are written.
    pub fn sections(&self) -> Vec<PackedSection> {
        let mut kinds: Vec<PackedSection> = Vec::new();
        for &(kind, bytes) in self.container.sections() {
            match kinds.iter_mut().find(|known| known.kind == kind) {
                Some(known) => {
                    known.tensors += 1;
                    known.bytes += bytes;
                }
                None => kinds.push(PackedSection {
                    kind,
                    tensors: 1,
                    bytes,
                }),
            }
        }
        kinds
    }

    /// Encoder matrices that int8 applies to, with the outcome of each; empty in another precision.
    pub fn matrices(&self) -> &[PackedMatrix] {
        &self.matrices
    }

    /// Warnings about the tokenizer's files, as [`Tokenizer::warnings`](crate::Tokenizer::warnings) returns them.
    pub fn warnings(&self) -> &[TokenizerWarning] {
        &self.warnings
    }

    /// Bytes of the file.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes());
        let written = self.container.write(&mut bytes);
        debug_assert!(written.is_ok(), "memory takes all");
        bytes
    }

    /// Writes the file to a path that must not exist yet.
    ///
    /// It is written under another name in the same folder and renamed, so a file at `path` is always complete. (A
    /// process that is killed in between leaves a file whose name starts with a dot.)
    ///
    /// # Errors
    /// `Io`, of kind `AlreadyExists` if the path exists.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        refuse_existing(path)?;
        self.write_beside(path)?.rename_to_new()
    }

    /// Writes the file to a path, and replaces a file that exists there. A process that has the old file open keeps its
    /// contents.
    ///
    /// # Errors
    /// `Io`, of kind `InvalidInput` if the path is not a file but, for example, a folder or a device.
    pub fn replace(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        // Follows links: /dev/stdout may lead to a pipe.
        match path.metadata() {
            Ok(there) if !there.is_file() => Err(Error::Io {
                path: path.to_owned(),
                cause: IoError::new(
                    ErrorKind::InvalidInput,
                    "this is not a regular file, so it is kept",
                ),
            }),
            _ => self.write_beside(path)?.rename(),
        }
    }

    fn write_beside<'a>(&self, path: &'a Path) -> Result<Temporary<'a>> {
        let write = || -> std::io::Result<Temporary<'a>> {
            let (temporary, file) = Temporary::beside(path)?;
            let mut out = BufWriter::new(file);
            self.container.write(&mut out)?;
            out.flush()?;
            out.get_ref().sync_all()?;
            Ok(temporary)
        };
        write().map_err(|cause| Error::Io {
            path: path.to_owned(),
            cause,
        })
    }

    /// Checks all of a packed file, including the weights, which [`Model::load`] does not check.
    ///
    /// # Errors
    /// `PackedDamaged` for a damaged file; otherwise those of opening a packed file.
    pub fn verify(path: impl AsRef<Path>) -> Result<PackedSummary> {
        let file = open_packed(path.as_ref(), Access::Read)?;
        file.verify()?;
        Ok(file.summary())
    }
}

/// A temporary file, removed on drop unless it was renamed to its target.
struct Temporary<'a> {
    path: PathBuf,
    target: &'a Path,
    /// Whether the file was renamed to its target.
    done: bool,
}

impl<'a> Temporary<'a> {
    /// Creates and opens a temporary file in the target's folder.
    fn beside(target: &'a Path) -> std::io::Result<(Self, File)> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let mut name = OsString::from(".");
            name.push(target.file_name().unwrap_or_default());
            name.push(format!(".{}.{count}", std::process::id()));
            let path = target.with_file_name(name);
            // Never opens an existing file: a process with the same id, in another container, may be writing it.
            match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let done = false;
                    return Ok((Self { path, target, done }, file));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Renames the file to its target, which must not exist.
    fn rename_to_new(self) -> Result<()> {
        // Creating a hard link fails, atomically, if the target exists; the first name is removed on drop.
        match std::fs::hard_link(&self.path, self.target) {
            Ok(()) => Ok(()),
            // Some file systems have no hard links.
            Err(_) => {
                refuse_existing(self.target)?;
                self.rename()
            }
        }
    }

    fn rename(mut self) -> Result<()> {
        std::fs::rename(&self.path, self.target).map_err(|cause| Error::Io {
            path: self.target.to_owned(),
            cause,
        })?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn refuse_existing(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(_) => Err(Error::Io {
            path: path.to_owned(),
            cause: IoError::new(ErrorKind::AlreadyExists, "there is such a file already"),
        }),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The samples of a matrix's inputs are the first rows, in their order, so a packed file does not depend on the
    /// number of threads.
    #[test]
    fn samples_are_the_same_at_any_number_of_threads() {
        let text = "the quick brown fox jumps over the lazy dog in the city ".repeat(3);
        for name in ["bert-base", "mobilebert-base"] {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("fixtures/models")
                .join(name);
            let rows = |threads| {
                let texts = [(text.clone(), None), ("a good film".to_owned(), None)];
                let options = ModelOptions::new().threads(threads);
                sample(&dir, &texts, options).unwrap().samples.rows()
            };
            let expected = rows(1);
            assert!(expected.len() > 4 && expected.values().all(|rows| !rows.is_empty()));
            for _ in 0..20 {
                assert_eq!(rows(3), expected, "{name}");
            }
        }
    }
}
