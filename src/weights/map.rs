//! The one call that maps a file.

use std::fs::File;

use memmap2::Mmap;

/// The promise that mapping a model's files asks for.
///
/// A mapped file is memory that somebody else can change: where another process truncates it, the next access kills
/// this process, and where it is overwritten, weights change under a running model. So this value can only be made in
/// an `unsafe` block, by whoever knows that nobody will.
#[derive(Debug, Clone, Copy)]
pub struct MapContract(());

impl MapContract {
    /// Promises that the files stay as they are.
    ///
    /// # Safety
    /// No file of the model is changed or truncated, by any process, from when it is opened until the model is
    /// dropped. A read-only disk, such as that of a deployed function, guarantees it.
    #[allow(
        unsafe_code,
        reason = "the caller's promise is what makes `open` sound"
    )]
    pub unsafe fn files_stay_unchanged() -> Self {
        Self(())
    }
}

/// Maps a whole file for reading.
pub(super) fn open(file: &File, _promise: MapContract) -> std::io::Result<Mmap> {
    // SAFETY: the promise can only have been made by a caller of `files_stay_unchanged`, whose contract is the one
    // that a shared mapping needs: the bytes do not change while it lives.
    #[allow(unsafe_code, reason = "mapping a file is unsafe by nature")]
    unsafe {
        Mmap::map(file)
    }
}

/// The promise of a test, whose folder is its own.
#[cfg(test)]
pub(super) fn promise_of_a_test() -> MapContract {
    MapContract(())
}
