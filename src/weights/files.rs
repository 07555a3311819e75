//! Files of a model: in a folder, in memory or in a packed file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::packed::{PackedFile, PackingWriter, begins_packed};
use super::source::{Access, Source};
use crate::error::{Error, Result};

/// Name of a model in memory, for errors.
const IN_MEMORY: &str = "the model in memory";

/// Byte-order mark of UTF-8. Some editors on Windows write it in front of a text.
const UTF8_BOM: &[u8] = b"\xEF\xBB\xBF";

/// Files of a model in memory, by name: for a model from an archive, from an object store or from the program itself.
///
/// Names are paths relative to the model's folder, such as `config.json` or `1_Pooling/config.json`. Bytes are owned or
/// borrowed for `'static`.
///
/// ```
/// let files = bertless::ModelFiles::new()
///     .with("config.json", br#"{"model_type": "bert"}"#)
///     .with("vocab.txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\nhello\n".to_vec());
/// assert!(bertless::Model::from_files(files).is_err()); // there are no weights
/// ```
///
/// Pairs of names and bytes can be collected:
///
/// ```
/// use bertless::ModelFiles;
///
/// let archive = [("config.json", br#"{"model_type": "bert"}"#.to_vec())];
/// let files: ModelFiles = archive.into_iter().collect();
/// ```
#[derive(Clone, Default)]
pub struct ModelFiles {
    files: FilesIn,
}

#[derive(Clone)]
enum FilesIn {
    Folder(PathBuf),
    /// Bytes are shared so that a model can keep them without a copy.
    Memory(BTreeMap<String, Arc<Cow<'static, [u8]>>>),
    Packed(Arc<PackedFile>),
    /// A folder that is being packed: the writer also gets each file that is read.
    Packing(PathBuf, Arc<PackingWriter>),
}

impl<N, B> FromIterator<(N, B)> for ModelFiles
where
    N: Into<String>,
    B: Into<Cow<'static, [u8]>>,
{
    fn from_iter<I: IntoIterator<Item = (N, B)>>(files: I) -> Self {
        let mut all = Self::new();
        all.extend(files);
        all
    }
}

impl<N, B> Extend<(N, B)> for ModelFiles
where
    N: Into<String>,
    B: Into<Cow<'static, [u8]>>,
{
    fn extend<I: IntoIterator<Item = (N, B)>>(&mut self, files: I) {
        for (name, bytes) in files {
            self.insert(name.into(), bytes.into());
        }
    }
}

impl Default for FilesIn {
    fn default() -> Self {
        Self::Memory(BTreeMap::new())
    }
}

impl ModelFiles {
    /// Creates an empty set of files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, or replaces the file of that name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        self.insert(name.into(), bytes.into());
        self
    }

    fn insert(&mut self, name: String, bytes: Cow<'static, [u8]>) {
        // Callers outside this crate have files in memory only.
        if let FilesIn::Memory(files) = &mut self.files {
            files.insert(name, Arc::new(bytes));
        }
    }

    /// Files in a folder on disk.
    pub(crate) fn folder(path: impl Into<PathBuf>) -> Self {
        Self {
            files: FilesIn::Folder(path.into()),
        }
    }

    /// Files in a folder on disk that `writer` packs.
    pub(crate) fn being_packed(writer: &Arc<PackingWriter>, path: impl Into<PathBuf>) -> Self {
        Self {
            files: FilesIn::Packing(path.into(), Arc::clone(writer)),
        }
    }

    /// Opens a packed file, or a folder on disk. A folder is not checked before it is read.
    ///
    /// # Errors
    /// Those of [`PackedFile::open`].
    pub(crate) fn open(path: &Path, access: Access) -> Result<Self> {
        if path.is_file() {
            open_packed(path, access).map(Self::from_packed)
        } else {
            Ok(Self::folder(path))
        }
    }

    /// Opens a packed file in memory. Bytes that are not aligned to a cache line are copied and then freed.
    ///
    /// # Errors
    /// Those of [`PackedFile::open`].
    pub(crate) fn packed_bytes(bytes: Cow<'static, [u8]>) -> Result<Self> {
        let source = Source::memory(IN_MEMORY.to_owned(), Arc::new(bytes));
        PackedFile::open(source).map(Self::from_packed)
    }

    /// Opens a packed file of `len` bytes that `reader` gives.
    ///
    /// # Errors
    /// `Io` if the reader fails or has another number of bytes, and those of [`PackedFile::open`].
    pub(crate) fn packed_reader(reader: impl Read, len: usize) -> Result<Self> {
        let source = Source::from_reader(IN_MEMORY.to_owned(), reader, len)?;
        PackedFile::open(source).map(Self::from_packed)
    }

    /// Opens the packed file that these files consist of. Files that are not a single packed file are returned as they are.
    ///
    /// # Errors
    /// Those of [`PackedFile::open`].
    pub(crate) fn open_if_packed(self) -> Result<Self> {
        let FilesIn::Memory(files) = &self.files else {
            return Ok(self);
        };
        match files.first_key_value() {
            Some((name, bytes)) if files.len() == 1 && begins_packed(bytes) => {
                let source = Source::memory(name.clone(), Arc::clone(bytes));
                PackedFile::open(source).map(Self::from_packed)
            }
            _ => Ok(self),
        }
    }

    fn from_packed(file: PackedFile) -> Self {
        Self {
            files: FilesIn::Packed(Arc::new(file)),
        }
    }

    /// The packed file; `None` for a folder and for separate files in memory.
    pub(crate) fn packed(&self) -> Option<&Arc<PackedFile>> {
        match &self.files {
            FilesIn::Packed(file) => Some(file),
            _ => None,
        }
    }

    /// The writer that packs these files, if they are being packed.
    pub(super) fn packing(&self) -> Option<&Arc<PackingWriter>> {
        match &self.files {
            FilesIn::Packing(_, writer) => Some(writer),
            _ => None,
        }
    }

    /// Reads a text file, such as JSON or a vocabulary, without its byte-order mark. Returns `None` if there is no such file.
    ///
    /// # Errors
    /// `Io` for a file that cannot be read, and for one in UTF-16.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>> {
        let bytes = self.read_unrecorded(name)?;
        if let (Some(bytes), Some(writer)) = (&bytes, self.packing()) {
            writer.file(name, bytes);
        }
        Ok(bytes)
    }

    /// Reads a text file that a packed file does not need, such as an index of shards. Returns `None` if there is no such
    /// file.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub(super) fn read_unrecorded(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>> {
        let Some(bytes) = self.read_bytes(name)? else {
            return Ok(None);
        };
        if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
            return Err(Error::Io {
                path: self.display_path(name),
                cause: std::io::Error::new(
                    ErrorKind::InvalidData,
                    "this file is in UTF-16: save it as UTF-8",
                ),
            });
        }
        if !bytes.starts_with(UTF8_BOM) {
            return Ok(Some(bytes));
        }
        Ok(Some(match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[UTF8_BOM.len()..]),
            Cow::Owned(mut bytes) => {
                bytes.drain(..UTF8_BOM.len());
                Cow::Owned(bytes)
            }
        }))
    }

    /// Reads a file unchanged. Returns `None` if there is no such file.
    fn read_bytes(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>> {
        match &self.files {
            FilesIn::Packed(file) => Ok(file.settings_file(name).map(|b| Cow::Owned(b.to_vec()))),
            FilesIn::Memory(files) => Ok(files.get(name).map(|bytes| Cow::clone(bytes))),
            FilesIn::Folder(folder) | FilesIn::Packing(folder, _) => {
                let path = folder.join(name);
                match std::fs::read(&path) {
                    Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
                    // The cause is the folder itself, so the error names the folder.
                    Err(_) if folder.is_file() => Err(Error::Io {
                        path: folder.clone(),
                        cause: std::io::Error::new(
                            ErrorKind::NotADirectory,
                            "this is a file, not a model's folder",
                        ),
                    }),
                    Err(source) if source.kind() == ErrorKind::NotFound && !folder.is_dir() => {
                        Err(Error::PathMissing {
                            path: folder.clone(),
                        })
                    }
                    Err(source) if source.kind() == ErrorKind::NotFound && !entry_exists(&path) => {
                        Ok(None)
                    }
                    Err(cause) => Err(Error::Io { path, cause }),
                }
            }
        }
    }

    /// Bytes of a file in memory, shared. Returns `None` if there is no such file, and for folders and packed files.
    pub(crate) fn share(&self, name: &str) -> Option<Arc<Cow<'static, [u8]>>> {
        match &self.files {
            FilesIn::Memory(files) => files.get(name).cloned(),
            FilesIn::Folder(_) | FilesIn::Packing(..) | FilesIn::Packed(_) => None,
        }
    }

    /// Reads a text file that must exist. `what` describes it in the error.
    ///
    /// # Errors
    /// `FileMissing` if there is no such file; otherwise those of [`read`](Self::read).
    pub(crate) fn require(&self, name: &str, what: &'static str) -> Result<Cow<'static, [u8]>> {
        self.read(name)?
            .ok_or_else(|| self.missing_error(name, what))
    }

    /// Error for a missing file. It names the folder in which `name` was looked for, and `what` could have been there.
    pub(crate) fn missing_error(&self, name: &str, what: &'static str) -> Error {
        let mut dir = self.display_path(name);
        dir.pop();
        let given = match &self.files {
            FilesIn::Memory(files) => Some(files.keys().cloned().collect()),
            _ => None,
        };
        Error::FileMissing { dir, what, given }
    }

    /// Path of a file for error messages, whether the file exists or not.
    pub(crate) fn display_path(&self, name: &str) -> PathBuf {
        let all = match &self.files {
            FilesIn::Folder(folder) | FilesIn::Packing(folder, _) => folder.clone(),
            FilesIn::Memory(_) => PathBuf::from(IN_MEMORY),
            FilesIn::Packed(file) => PathBuf::from(file.name()),
        };
        all.join(name)
    }

    /// Path of a file on disk; `None` if the files are not in a folder.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        match &self.files {
            FilesIn::Folder(folder) | FilesIn::Packing(folder, _) => Some(folder.join(name)),
            FilesIn::Memory(_) | FilesIn::Packed(_) => None,
        }
    }

    /// Whether there is an entry of this name. It may be a folder or a broken link.
    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.files {
            FilesIn::Folder(folder) | FilesIn::Packing(folder, _) => {
                entry_exists(&folder.join(name))
            }
            FilesIn::Memory(files) => files.contains_key(name),
            FilesIn::Packed(file) => file.settings_file(name).is_some(),
        }
    }
}

/// Opens a packed file on disk.
///
/// # Errors
/// Those of [`PackedFile::open`].
pub(crate) fn open_packed(path: &Path, access: Access) -> Result<PackedFile> {
    let name = path.display().to_string();
    PackedFile::open(Source::open(name, path, access)?)
}

/// Whether a path exists, even as a broken link.
fn entry_exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

impl std::fmt::Debug for ModelFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.files {
            FilesIn::Memory(files) => f.debug_set().entries(files.keys()).finish(),
            _ => write!(f, "ModelFiles({})", self.display_path("").display()),
        }
    }
}

/// Joins `folder` and the path `named`, which is written in `file` of the model.
///
/// `folder` and the result are relative to the model's folder, with `/` between names; `""` is the model's folder itself.
///
/// # Errors
/// `PathOutside` if the path may lead out of the model's folder.
pub(crate) fn join_within(folder: &str, named: &str, file: &str) -> Result<String> {
    let outside = || Error::PathOutside {
        file: file.to_owned(),
        path: named.to_owned(),
    };
    let mut joined = folder.trim_end_matches('/').to_owned();
    // A backslash separates folders on Windows only. No model needs it, so it is refused everywhere.
    if named.contains(['\\', '\0']) {
        return Err(outside());
    }
    for component in Path::new(named).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => {
                let name = name.to_str().ok_or_else(outside)?;
                if name.contains(':') {
                    return Err(outside());
                }
                if !joined.is_empty() {
                    joined.push('/');
                }
                joined.push_str(name);
            }
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(outside());
            }
        }
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(
            join_within("", "1_Pooling", "modules.json").unwrap(),
            "1_Pooling"
        );
        assert_eq!(join_within("", "", "modules.json").unwrap(), "");
        assert_eq!(
            join_within("0_Transformer", "./a/b", "x").unwrap(),
            "0_Transformer/a/b"
        );
        for path in ".. a/../.. /etc/passwd C:\\x a\\b a\0b c:x".split(' ') {
            let error = join_within("", path, "modules.json").unwrap_err();
            assert!(matches!(error, Error::PathOutside { .. }), "{path:?}");
        }
    }

    #[test]
    fn memory_and_folder_answer_alike() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.json"), b"{}").unwrap();
        for files in [
            ModelFiles::folder(dir.path()),
            ModelFiles::new().with("a.json", b"{}"),
        ] {
            assert_eq!(files.read("a.json").unwrap().as_deref(), Some(&b"{}"[..]));
            assert!(files.has("a.json") && !files.has("b.json"));
            assert!(files.read("b.json").unwrap().is_none());
            let error = files.require("b.json", "b.json").unwrap_err();
            assert!(matches!(error, Error::FileMissing { what: "b.json", .. }));
        }
    }

    #[test]
    fn a_byte_order_mark_is_not_text() {
        let dir = tempfile::tempdir().unwrap();
        let marked = b"\xEF\xBB\xBF{}\xEF\xBB\xBF";
        let utf16 = b"\xFF\xFE{\0}\0";
        std::fs::write(dir.path().join("a.json"), marked).unwrap();
        std::fs::write(dir.path().join("b.json"), utf16).unwrap();
        for files in [
            ModelFiles::folder(dir.path()),
            ModelFiles::new()
                .with("a.json", marked)
                .with("b.json", utf16),
            ModelFiles::new()
                .with("a.json", marked.to_vec())
                .with("b.json", utf16.to_vec()),
        ] {
            let bytes = files.read("a.json").unwrap();
            assert_eq!(bytes.as_deref(), Some(&b"{}\xEF\xBB\xBF"[..]));
            let error = files.read("b.json").unwrap_err();
            let Error::Io {
                path,
                cause: source,
            } = error
            else {
                panic!("{error}");
            };
            assert!(path.ends_with("b.json"));
            assert!(source.to_string().contains("UTF-16"), "{source}");
        }
    }

    #[test]
    fn a_file_in_place_of_a_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("model.safetensors");
        std::fs::write(&file, b"").unwrap();
        let error = ModelFiles::folder(&file).read("config.json").unwrap_err();
        let Error::Io {
            path,
            cause: source,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(path, file);
        assert!(source.to_string().contains("not a model's folder"));
    }

    /// Tests that a folder in place of a file, and a broken link, are errors and not missing files.
    #[cfg(unix)]
    #[test]
    fn an_unreadable_file_is_not_missing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("folder.json")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link.json")).unwrap();
        let files = ModelFiles::folder(dir.path());
        for name in ["folder.json", "link.json"] {
            assert!(files.has(name));
            let error = files.read(name).unwrap_err();
            assert!(matches!(&error, Error::Io { path, .. } if path.ends_with(name)));
        }
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = ModelFiles::folder("no/such/folder")
            .read("config.json")
            .unwrap_err();
        let Error::PathMissing { path, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(path, Path::new("no/such/folder"));
    }
}
