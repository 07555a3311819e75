//! Where a safetensors file's bytes are.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// On disk, kept open: what is read is copied by the system and belongs to nobody's memory afterwards, where a
    /// map's pages would count as this process's.
    File {
        path: PathBuf,
        file: Shared,
        len: usize,
    },
    Memory(Arc<Cow<'static, [u8]>>),
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
                    file: Shared::new(file),
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
    pub(super) fn memory(name: String, bytes: Arc<Cow<'static, [u8]>>) -> Self {
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
                let read = file.read(start as u64, out);
                read.map_err(|source| Error::Io {
                    path: path.clone(),
                    source,
                })
            }
            Place::Memory(bytes) => self.copy(bytes, start, out),
            #[cfg(feature = "mmap")]
            Place::Mapped(map) => self.copy(map, start, out),
        }
    }

    /// Keeps these bytes alone, which then start at 0, if the file is in memory that is nobody else's: gives whether it
    /// did. They move to the front and the rest is cut off, so that they are never there twice.
    pub(super) fn keep(&mut self, bytes: Range<usize>) -> bool {
        let Place::Memory(shared) = &mut self.place else {
            return false;
        };
        let Some(Cow::Owned(all)) = Arc::get_mut(shared) else {
            return false;
        };
        let len = bytes.len();
        all.copy_within(bytes, 0);
        all.truncate(len);
        all.shrink_to_fit();
        true
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

/// A file that many read at once, each at a place of its own.
#[cfg(unix)]
struct Shared(File);

#[cfg(unix)]
impl Shared {
    fn new(file: File) -> Self {
        Self(file)
    }

    fn read(&self, start: u64, out: &mut [u8]) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, out, start)
    }
}

/// The same where reading moves the file's only position: one after the other.
#[cfg(not(unix))]
struct Shared(std::sync::Mutex<File>);

#[cfg(not(unix))]
impl Shared {
    fn new(file: File) -> Self {
        Self(std::sync::Mutex::new(file))
    }

    fn read(&self, start: u64, out: &mut [u8]) -> std::io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let lock = self.0.lock();
        let mut file = lock.unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(out)
    }
}
