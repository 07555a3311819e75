//! The one call that maps a file.
//!
//! Only `unsafe` code can ask for it:
//!
//! ```compile_fail,E0133
//! let options = bertless::ModelOptions::new().map();
//! ```

use std::fs::File;

use memmap2::Mmap;

/// Proof of a promise that files stay as they are while they are mapped.
///
/// A mapped file is memory that another process can change: where it truncates the file, the next access kills this
/// process, and where it overwrites it, weights change under a running model. So only an `unsafe` function makes this value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unchanging(());

impl Unchanging {
    /// The proof.
    ///
    /// # Safety
    /// No file that is opened with this value or a copy of it may be changed or truncated, by any process, as long as what
    /// was opened lives.
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
    // SAFETY: the second argument proves that the bytes do not change while the map lives, which is what a shared map needs.
    #[allow(unsafe_code, reason = "mapping a file is unsafe by nature")]
    unsafe {
        Mmap::map(file)
    }
}
