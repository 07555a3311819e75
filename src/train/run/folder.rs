//! The output folder of a training: its ownership, its lock, and the leftovers of a killed run.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::train::atomic::is_same_file;

/// Name of the subfolder with the state, the log and the lock file.
pub(crate) const TRAINING: &str = "training";

/// Checks that a training may write to a folder. The folder must not exist, be empty, or be a training's, and must not be one of
/// the models that the training reads.
///
/// # Errors
/// `Option` for any other folder.
pub(crate) fn check(output: &Path, models: &[&Path]) -> Result<()> {
    let wrong = |reason: &str| {
        Err(Error::Option {
            name: "output",
            reason: format!("{}: {reason}", output.display()),
        })
    };
    if !output.exists() {
        return Ok(());
    }
    if models.iter().any(|model| is_same_file(model, output)) {
        return wrong("that is the folder of the model itself: choose another one");
    }
    if !output.is_dir() {
        return wrong("that is a file");
    }
    let is_empty = fs::read_dir(output).is_ok_and(|mut entries| entries.next().is_none());
    if is_empty || output.join(TRAINING).is_dir() {
        Ok(())
    } else {
        wrong("it has files, and none of a training: choose another folder, or empty it")
    }
}

/// Creates the folder if needed, locks it for as long as the returned file is open, and removes files that a killed run had not
/// finished. Returns the path of the training's subfolder.
///
/// # Errors
/// `Io`; `State` if another run is active in the folder.
pub(crate) fn open(output: &Path) -> Result<(PathBuf, File)> {
    let folder = output.join(TRAINING);
    fs::create_dir_all(&folder).map_err(|cause| Error::Io {
        path: folder.clone(),
        cause,
    })?;
    let lock = lock(&folder)?;
    remove_stale_temporaries(output);
    remove_stale_temporaries(&folder);
    Ok((folder, lock))
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|cause| Error::Io {
        path: path.clone(),
        cause,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::State {
            file: folder.display().to_string(),
            reason: "another run is at work here".to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(Error::Io {
            path,
            cause: source,
        }),
    }
}

/// Removes temporary files that a killed run left: `.NAME.new`, and those of safetensors, `.tmp` and six characters. Ignores files
/// that cannot be removed.
fn remove_stale_temporaries(folder: &Path) {
    let is_unfinished = |name: &str| {
        let temporary = name.strip_prefix(".tmp");
        (name.starts_with('.') && name.ends_with(".new"))
            || temporary.is_some_and(|rest| rest.len() == 6 && !rest.contains('.'))
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_unfinished) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_writes_into_folders_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["model", "empty", "foreign", "trained/training"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        for name in [
            "model/config.json",
            "foreign/README.md",
            "trained/README.md",
        ] {
            fs::write(path(name), "").unwrap();
        }
        let model = path("model");
        let refused = |name: &str| {
            let found = check(&path(name), &[&model]);
            found.err().map(|error| error.to_string())
        };
        for fine in ["new", "new/below", "empty", "trained"] {
            assert_eq!(refused(fine), None);
        }
        for (wrong, says) in [
            ("model", "the model itself"),
            ("empty/../model", "the model itself"),
            ("foreign", "none of a training"),
            ("model/config.json", "a file"),
        ] {
            let error = refused(wrong).unwrap();
            assert!(error.contains(says) && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn what_a_killed_run_had_not_finished_goes() {
        let dir = tempfile::tempdir().unwrap();
        let all = [
            ".state.safetensors.new",
            ".tmpAb12xY",
            ".tmp",
            ".hidden",
            "new",
            ".tmpl.json",
        ];
        for name in all {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let (folder, held) = open(dir.path()).unwrap();
        assert!(folder.is_dir());
        let left: Vec<bool> = all
            .iter()
            .map(|name| dir.path().join(name).exists())
            .collect();
        assert_eq!(left, [false, false, true, true, true, true]);
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, Error::State { .. }), "{error}");
        drop(held);
        open(dir.path()).unwrap();
    }
}
