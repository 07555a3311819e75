//! Eviction of files from the page cache, so that the next read comes from the disk.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{Advice, fadvise};

/// Evicts a file, or all files of a folder, from the page cache. Pages that a process has mapped stay.
pub(crate) fn evict(path: &Path) -> Result<()> {
    let named = || path.display().to_string();
    let about = fs::symlink_metadata(path).with_context(named)?;
    if about.is_dir() {
        for entry in fs::read_dir(path).with_context(named)? {
            evict(&entry?.path())?;
        }
    } else if about.is_file() {
        let file = File::open(path).with_context(named)?;
        // Pages that are not yet written to the disk would stay.
        file.sync_data().with_context(named)?;
        fadvise(&file, 0, None, Advice::DontNeed).with_context(named)?;
    }
    Ok(())
}
