//! Memory mapping of files, which only `unsafe` code can request:
//!
//! ```compile_fail,E0133
//! let options = bertless::ModelOptions::new().map();
//! ```

use std::fs::File;

use memmap2::Mmap;

/// Proof of the caller's promise that files do not change while they are mapped.
///
/// A mapped file is memory that another process can change. If it truncates the file, the next access kills this process;
/// if it overwrites the file, weights change under a running model. So only an `unsafe` function makes this value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unchanging(());

impl Unchanging {
    /// Makes the proof.
    ///
    /// # Safety
    /// No process may change or truncate a file that was opened with this value or a copy of it while the map exists.
    #[allow(
        unsafe_code,
        reason = "the caller's promise is what makes `open` sound"
    )]
    pub(crate) unsafe fn promised() -> Self {
        Self(())
    }
}

/// Maps a whole file for reading.
pub(super) fn open(file: &File, _: Unchanging) -> std::io::Result<Mmap> {
    // SAFETY: the second argument proves that the file does not change while the map exists, as `Mmap::map` requires.
    #[allow(unsafe_code, reason = "mapping a file is unsafe by nature")]
    unsafe {
        Mmap::map(file)
    }
}
