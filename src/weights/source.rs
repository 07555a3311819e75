//! Bytes of a safetensors file: on disk, in memory or mapped.

use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "mmap")]
use super::map::{self, Unchanging};
use super::row_cache::RowCache;
use crate::error::{Error, Result};
use crate::kernels::memory::AlignedFloats;

/// Bytes per cache line. Weights that are used in place start at a multiple of it.
const CACHE_LINE: usize = 64;

/// Way to open weight files.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Access {
    /// Reads each tensor when it is loaded.
    #[default]
    Read,
    /// Maps the file, which must not change.
    #[cfg(feature = "mmap")]
    Map(Unchanging),
}

/// One safetensors file.
#[derive(Debug)]
pub(super) struct Source {
    /// Name of the file, for errors.
    pub(super) name: String,
    storage: Storage,
}

enum Storage {
    /// On disk, kept open. Reads go through the system's page cache, which does not count as memory of this process; pages of
    /// a map would.
    File {
        path: PathBuf,
        file: PositionedFile,
        len: usize,
    },
    /// A file on disk, with a cache for the rows of one table.
    Rows(Arc<Source>, RowCache),
    Memory(Arc<Cow<'static, [u8]>>),
    /// A copy that starts at a cache line, and its length in bytes.
    Aligned(AlignedFloats, usize),
    #[cfg(feature = "mmap")]
    Mapped(memmap2::Mmap),
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "File({})", path.display()),
            Self::Rows(file, _) => write!(f, "Rows({:?})", file.storage),
            Self::Memory(bytes) => write!(f, "Memory({})", bytes.len()),
            Self::Aligned(_, len) => write!(f, "Aligned({len})"),
            #[cfg(feature = "mmap")]
            Self::Mapped(map) => write!(f, "Mapped({})", map.len()),
        }
    }
}

impl Source {
    /// Opens a file on disk.
    pub(super) fn open(name: String, path: &Path, access: Access) -> Result<Self> {
        let failed = |cause| Error::Io {
            path: path.to_owned(),
            cause,
        };
        let file = File::open(path).map_err(failed)?;
        let storage = match access {
            Access::Read => {
                let len = file.metadata().map_err(failed)?.len();
                Storage::File {
                    path: path.to_owned(),
                    file: PositionedFile::new(file),
                    len: usize::try_from(len).unwrap_or(usize::MAX),
                }
            }
            #[cfg(feature = "mmap")]
            Access::Map(unchanging) => {
                Storage::Mapped(map::open(&file, unchanging).map_err(failed)?)
            }
        };
        Ok(Self { name, storage })
    }

    /// Creates a source from bytes in memory.
    pub(super) fn memory(name: String, bytes: Arc<Cow<'static, [u8]>>) -> Self {
        Self {
            name,
            storage: Storage::Memory(bytes),
        }
    }

    /// Reads `len` bytes from `reader` into memory that starts at a cache line.
    ///
    /// # Errors
    /// `Io` if the reader fails, and if it ends earlier or later.
    pub(super) fn from_reader(name: String, mut reader: impl Read, len: usize) -> Result<Self> {
        // An announced length can be anything. Memory that cannot be had is an error, not the end of the process.
        if Vec::<u8>::new().try_reserve_exact(len).is_err() {
            return Err(Error::Io {
                path: name.into(),
                cause: std::io::Error::new(
                    ErrorKind::OutOfMemory,
                    format!("{len} bytes were announced, and there is no memory for them"),
                ),
            });
        }
        let mut floats = AlignedFloats::zeros(len.div_ceil(size_of::<f32>()));
        let bytes = &mut bytemuck::cast_slice_mut(&mut floats)[..len];
        let read = match reader.read_exact(bytes) {
            Ok(()) => match reader.read_exact(&mut [0]) {
                Ok(()) => Err(unexpected_len("more", len)),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
                Err(error) => Err(error),
            },
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(unexpected_len("fewer", len))
            }
            Err(error) => Err(error),
        };
        match read {
            Ok(()) => Ok(Self {
                name,
                storage: Storage::Aligned(floats, len),
            }),
            Err(cause) => Err(Error::Io {
                path: name.into(),
                cause,
            }),
        }
    }

    /// Caches rows of one table, if the file is on disk. The table begins at byte `start`, and a row has `row` bytes.
    pub(super) fn with_row_cache(self: Arc<Self>, start: usize, row: usize) -> Arc<Self> {
        match self.storage {
            Storage::File { .. } => Arc::new(Self {
                name: self.name.clone(),
                storage: Storage::Rows(self, RowCache::new(start, row)),
            }),
            _ => self,
        }
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> usize {
        match &self.storage {
            Storage::File { len, .. } => *len,
            Storage::Rows(file, _) => file.len(),
            Storage::Memory(bytes) => bytes.len(),
            Storage::Aligned(_, len) => *len,
            #[cfg(feature = "mmap")]
            Storage::Mapped(map) => map.len(),
        }
    }

    /// Fills `out` with the bytes from `start` on.
    pub(super) fn read(&self, start: usize, out: &mut [u8]) -> Result<()> {
        match &self.storage {
            Storage::File { path, file, .. } => {
                let read = file.read(start as u64, out);
                read.map_err(|cause| Error::Io {
                    path: path.clone(),
                    cause,
                })
            }
            Storage::Rows(file, cache) => cache.read(start, out, |out| file.read(start, out)),
            _ => self.copy_from(self.bytes().unwrap_or_default(), start, out),
        }
    }

    /// Frees all bytes but these, if the file is in memory that nothing else holds, and returns whether it did. The bytes
    /// then start at 0. They are moved within their memory, so they are never held twice.
    pub(super) fn retain_only(&mut self, bytes: Range<usize>) -> bool {
        let Storage::Memory(shared) = &mut self.storage else {
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

    /// The whole file, if it is in memory or mapped.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match &self.storage {
            Storage::File { .. } | Storage::Rows(..) => None,
            Storage::Memory(bytes) => Some(bytes),
            Storage::Aligned(floats, len) => Some(&bytemuck::cast_slice(floats)[..*len]),
            #[cfg(feature = "mmap")]
            Storage::Mapped(map) => Some(map),
        }
    }

    /// Copies a file in memory so that it starts at a cache line, unless it does already.
    pub(super) fn into_aligned(self) -> Self {
        let copy = match self.bytes() {
            Some(bytes) if !(bytes.as_ptr() as usize).is_multiple_of(CACHE_LINE) => {
                let mut floats = AlignedFloats::zeros(bytes.len().div_ceil(size_of::<f32>()));
                bytemuck::cast_slice_mut(&mut floats)[..bytes.len()].copy_from_slice(bytes);
                Storage::Aligned(floats, bytes.len())
            }
            _ => return self,
        };
        Self {
            name: self.name,
            storage: copy,
        }
    }

    /// Asks the system to load a range of a mapped file before it is used.
    pub(super) fn populate(&self, _range: Range<usize>) {
        #[cfg(all(feature = "mmap", target_os = "linux"))]
        if let Storage::Mapped(map) = &self.storage {
            // Linux before 5.14 refuses. Pages are then loaded one by one.
            let _ = map.advise_range(memmap2::Advice::PopulateRead, _range.start, _range.len());
        }
    }

    /// Reads the first `len` bytes into memory, as a source of their own.
    pub(super) fn read_prefix(&self, len: usize) -> Result<Self> {
        let mut floats = AlignedFloats::zeros(len.div_ceil(size_of::<f32>()));
        self.read(0, &mut bytemuck::cast_slice_mut(&mut floats)[..len])?;
        Ok(Self {
            name: self.name.clone(),
            storage: Storage::Aligned(floats, len),
        })
    }

    /// Fills `out` with `bytes` from `start` on.
    fn copy_from(&self, bytes: &[u8], start: usize, out: &mut [u8]) -> Result<()> {
        let found = start
            .checked_add(out.len())
            .and_then(|end| bytes.get(start..end));
        let Some(found) = found else {
            return Err(Error::Safetensors {
                file: self.name.clone(),
                reason: format!("{} bytes from byte {start} on are not there", out.len()),
            });
        };
        out.copy_from_slice(found);
        Ok(())
    }
}

/// Error of a reader that does not give the promised number of bytes.
fn unexpected_len(comparison: &str, len: usize) -> std::io::Error {
    let kind = if comparison == "fewer" {
        ErrorKind::UnexpectedEof
    } else {
        ErrorKind::InvalidData
    };
    std::io::Error::new(
        kind,
        format!("the reader has {comparison} than the {len} bytes that were announced"),
    )
}

/// A file that threads read at once, each at its own offset.
#[cfg(unix)]
struct PositionedFile(File);

#[cfg(unix)]
impl PositionedFile {
    fn new(file: File) -> Self {
        Self(file)
    }

    fn read(&self, start: u64, out: &mut [u8]) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, out, start)
    }
}

/// A file that threads read one after the other, because reading moves the file's only position.
#[cfg(not(unix))]
struct PositionedFile(std::sync::Mutex<File>);

#[cfg(not(unix))]
impl PositionedFile {
    fn new(file: File) -> Self {
        Self(std::sync::Mutex::new(file))
    }

    fn read(&self, start: u64, out: &mut [u8]) -> std::io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = crate::kernels::threads::lock(&self.0);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_there_are_an_error_wherever_they_begin() {
        let source = Source::memory("x".to_owned(), Arc::new(Cow::Borrowed(b"abc")));
        let mut out = [0; 2];
        source.read(1, &mut out).unwrap();
        assert_eq!(out, *b"bc");
        for start in [2, 4, usize::MAX] {
            let error = source.read(start, &mut out).unwrap_err().to_string();
            let expected = format!("2 bytes from byte {start} on are not there");
            assert!(error.contains(&expected), "{error}");
        }
    }
}
