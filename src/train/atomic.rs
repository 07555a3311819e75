//! Atomic file replacement: files are never half-written.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError};

use crate::error::{Error, Result};

/// Writes a file under a temporary name, syncs it to the disk, and only then renames it. Whenever the process ends, the file is
/// the old one or the new one, complete.
///
/// # Errors
/// `Io`, which names the file.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let io = |cause| Error::Io {
        path: path.to_owned(),
        cause,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.new"));
    write(&fresh)
        .and_then(|()| File::open(&fresh)?.sync_all())
        .and_then(|()| fs::rename(&fresh, path))
        .map_err(|source| {
            let _ = fs::remove_file(&fresh); // it may never have been there
            io(source)
        })?;
    // The rename is on the disk once its folder is synced; systems that cannot open a folder do this by themselves.
    if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
        folder.sync_all().map_err(io)?;
    }
    Ok(())
}

/// Returns whether two paths lead to one existing file or folder.
pub(crate) fn is_same_file(a: &Path, b: &Path) -> bool {
    let there = |path: &Path| path.canonicalize().ok();
    there(a).is_some_and(|a| there(b) == Some(a))
}

/// Writes bytes atomically; see [`replace`].
///
/// # Errors
/// `Io`, which names the file.
pub(crate) fn replace_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |fresh| fs::write(fresh, bytes))
}

/// Writes tensors and one metadata entry atomically; see [`replace`]. More entries would be written in a random order.
///
/// # Errors
/// `Io`, which names the file.
pub(crate) fn replace_tensors<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (String, TensorView<'a>)>,
    key: &str,
    value: String,
) -> Result<()> {
    let facts = HashMap::from([(key.to_owned(), value)]);
    replace(path, |fresh| {
        // Gives the file ordinary permissions; safetensors makes it readable for its owner alone.
        let rights = File::create(fresh)?.metadata()?.permissions();
        safetensors::serialize_to_file(tensors, Some(facts), fresh).map_err(
            |error| match error {
                SafeTensorError::IoError(error) => error,
                other => std::io::Error::other(other),
            },
        )?;
        fs::set_permissions(fresh, rights)
    })
}

/// Wraps floats as a tensor of a file.
pub(crate) fn view<'a>(shape: &[usize], values: &'a [f32]) -> TensorView<'a> {
    TensorView::new(Dtype::F32, shape.to_vec(), bytemuck::cast_slice(values))
        .expect("a parameter has as many values as its shape says")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        replace_bytes(&path, b"old").unwrap();
        let half = |fresh: &Path| {
            fs::write(fresh, b"ne")?;
            Err(std::io::Error::other("full"))
        };
        let error = replace(&path, half).unwrap_err();
        assert!(
            matches!(&error, Error::Io { path: named, .. } if named == &path),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        replace_bytes(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn tensors_have_the_rights_of_other_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        replace_bytes(&path("other"), b"").unwrap();
        let view = TensorView::new(safetensors::Dtype::U8, vec![1], &[7]).unwrap();
        let tensors = std::iter::once(("t".to_owned(), view));
        replace_tensors(&path("tensors"), tensors, "format", "pt".to_owned()).unwrap();
        let rights = |name: &str| fs::metadata(path(name)).unwrap().permissions();
        assert_eq!(rights("tensors"), rights("other"));
    }

    #[test]
    fn no_folder_no_file() {
        let dir = tempfile::tempdir().unwrap();
        assert!(replace_bytes(&dir.path().join("no/f"), b"").is_err());
    }
}
