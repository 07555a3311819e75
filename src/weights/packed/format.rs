//! Constants and reserved names of the packed format.

use safetensors::tensor::Metadata;

use crate::error::{Error, Result};

/// Version of the format that is written, and the only one that is read.
pub(crate) const VERSION: u32 = 2;
/// Alignment of every tensor in the file, in bytes.
pub(super) const ALIGNMENT: usize = 64;
/// Prefix of the names of the vocabulary's arrays.
pub(crate) const VOCABULARY: &str = "vocabulary/";
/// Prefix of the names of padding.
pub(super) const PADDING: &str = "padding/";
/// Value of `format` in the header's metadata.
const FORMAT: &str = "bertless";

/// Whether a safetensors file's header is that of a packed file, of any version.
pub(in crate::weights) fn is_packed(header: &Metadata) -> bool {
    let metadata = header.metadata().as_ref();
    let format = metadata.and_then(|metadata| metadata.get("format"));
    format.is_some_and(|format| format == FORMAT)
}

/// Checks that the name of a file or weight does not start with a reserved prefix.
///
/// # Errors
/// `Config` if it does. It names modules.json, because only that file names folders.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let mut reserved = [VOCABULARY, PADDING].into_iter();
    match reserved.find(|prefix| name.starts_with(prefix)) {
        None => Ok(()),
        Some(prefix) => Err(Error::Config {
            file: "modules.json".to_owned(),
            key: "path".to_owned(),
            reason: format!("{name}: a packed file has its own parts under {prefix}"),
        }),
    }
}
