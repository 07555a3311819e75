//! Where a safetensors file's bytes are.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Access;
use crate::error::{Error, Result};

/// One safetensors file.
#[derive(Debug)]
pub(super) struct Source {
    /// Its name, for errors.
    pub(super) name: String,
    place: Place,
}

enum Place {
    /// On disk: read piece by piece, so that a tensor and its packed copy are all that is ever in memory.
    File {
        path: PathBuf,
        file: Mutex<File>,
        len: usize,
    },
    Memory(Cow<'static, [u8]>),
    #[cfg(feature = "mmap")]
    Mapped(memmap2::Mmap),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "File({})", path.display()),
            Self::Memory(bytes) => write!(f, "Memory({})", bytes.len()),
            #[cfg(feature = "mmap")]
            Self::Mapped(map) => write!(f, "Mapped({})", map.len()),
        }
    }
}

impl Source {
    /// A file on disk.
    pub(super) fn open(name: String, path: &Path, access: Access) -> Result<Self> {
        let failed = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let place = match access {
            Access::Read => {
                let len = file.metadata().map_err(failed)?.len();
                Place::File {
                    path: path.to_owned(),
                    file: Mutex::new(file),
                    len: usize::try_from(len).unwrap_or(usize::MAX),
                }
            }
            #[cfg(feature = "mmap")]
            Access::Map(promise) => {
                Place::Mapped(super::map::open(&file, promise).map_err(failed)?)
            }
        };
        Ok(Self { name, place })
    }

    /// Bytes in memory.
    pub(super) fn memory(name: String, bytes: Cow<'static, [u8]>) -> Self {
        Self {
            name,
            place: Place::Memory(bytes),
        }
    }

    /// The length in bytes.
    pub(super) fn len(&self) -> usize {
        match &self.place {
            Place::File { len, .. } => *len,
            Place::Memory(bytes) => bytes.len(),
            #[cfg(feature = "mmap")]
            Place::Mapped(map) => map.len(),
        }
    }

    /// Fills `out` with the bytes from `start` on.
    pub(super) fn read(&self, start: usize, out: &mut [u8]) -> Result<()> {
        match &self.place {
            Place::File { path, file, .. } => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(start as u64))
                    .and_then(|_| file.read_exact(out))
                    .map_err(|source| Error::Io {
                        path: path.clone(),
                        source,
                    })
            }
            Place::Memory(bytes) => self.copy(bytes, start, out),
            #[cfg(feature = "mmap")]
            Place::Mapped(map) => self.copy(map, start, out),
        }
    }

    fn copy(&self, bytes: &[u8], start: usize, out: &mut [u8]) -> Result<()> {
        let piece = start
            .checked_add(out.len())
            .and_then(|end| bytes.get(start..end));
        let Some(piece) = piece else {
            return Err(Error::Safetensors {
                file: self.name.clone(),
                reason: format!("bytes {start} to {} are not there", start + out.len()),
            });
        };
        out.copy_from_slice(piece);
        Ok(())
    }
}
