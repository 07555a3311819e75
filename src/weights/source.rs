//! Where a safetensors file's bytes are.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Access;
use super::recent::Recent;
use crate::error::{Error, Result};
use crate::kernels::memory::AlignedFloats;

/// Bytes of a cache line, which the first of numbers that are used in place starts.
const LINE: usize = 64;

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
    /// A file of which one table's rows are read one by one.
    Rows(Arc<Source>, Recent),
    Memory(Arc<Cow<'static, [u8]>>),
    /// A copy whose first byte is at a cache line's start, and its length.
    Aligned(AlignedFloats, usize),
    #[cfg(feature = "mmap")]
    Mapped(memmap2::Mmap),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "File({})", path.display()),
            Self::Rows(file, _) => write!(f, "Rows({:?})", file.place),
            Self::Memory(bytes) => write!(f, "Memory({})", bytes.len()),
            Self::Aligned(_, len) => write!(f, "Aligned({len})"),
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
            Access::Map(unchanging) => {
                Place::Mapped(super::map::open(&file, unchanging).map_err(failed)?)
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

    /// The same, and what is read of a table's rows of `row` bytes, of which the first is at `start`, is kept for a while if
    /// it is on disk.
    pub(super) fn by_rows(self: Arc<Self>, start: usize, row: usize) -> Arc<Self> {
        match self.place {
            Place::File { .. } => Arc::new(Self {
                name: self.name.clone(),
                place: Place::Rows(self, Recent::new(start, row)),
            }),
            _ => self,
        }
    }

    /// The length in bytes.
    pub(super) fn len(&self) -> usize {
        match &self.place {
            Place::File { len, .. } => *len,
            Place::Rows(file, _) => file.len(),
            Place::Memory(bytes) => bytes.len(),
            Place::Aligned(_, len) => *len,
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
            Place::Rows(file, recent) => recent.read(start, out, |out| file.read(start, out)),
            _ => self.copy(self.bytes().unwrap_or_default(), start, out),
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

    /// All of it, if it is in memory.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match &self.place {
            Place::File { .. } | Place::Rows(..) => None,
            Place::Memory(bytes) => Some(bytes),
            Place::Aligned(floats, len) => Some(&bytemuck::cast_slice(floats)[..*len]),
            #[cfg(feature = "mmap")]
            Place::Mapped(map) => Some(map),
        }
    }

    /// The same with its bytes at the start of a cache line, if it is in memory: copied if they are elsewhere.
    pub(super) fn aligned(self) -> Self {
        let copy = match self.bytes() {
            Some(bytes) if !(bytes.as_ptr() as usize).is_multiple_of(LINE) => {
                let mut floats = AlignedFloats::zeros(bytes.len().div_ceil(size_of::<f32>()));
                bytemuck::cast_slice_mut(&mut floats)[..bytes.len()].copy_from_slice(bytes);
                Place::Aligned(floats, bytes.len())
            }
            _ => return self,
        };
        Self {
            name: self.name,
            place: copy,
        }
    }

    /// Asks the system for the pages of a mapped file ahead of their use.
    pub(super) fn populate(&self, _range: Range<usize>) {
        #[cfg(all(feature = "mmap", target_os = "linux"))]
        if let Place::Mapped(map) = &self.place {
            // Older systems than Linux 5.14 refuse, and then pages come one by one.
            let _ = map.advise_range(memmap2::Advice::PopulateRead, _range.start, _range.len());
        }
    }

    /// The beginning of it, in memory.
    pub(super) fn beginning(&self, len: usize) -> Result<Self> {
        let mut floats = AlignedFloats::zeros(len.div_ceil(size_of::<f32>()));
        self.read(0, &mut bytemuck::cast_slice_mut(&mut floats)[..len])?;
        Ok(Self {
            name: self.name.clone(),
            place: Place::Aligned(floats, len),
        })
    }

    fn copy(&self, bytes: &[u8], start: usize, out: &mut [u8]) -> Result<()> {
        let piece = start
            .checked_add(out.len())
            .and_then(|end| bytes.get(start..end));
        let Some(piece) = piece else {
            return Err(Error::Safetensors {
                file: self.name.clone(),
                reason: format!("{} bytes from byte {start} on are not there", out.len()),
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
