//! Constants of the packed format, and the names that it keeps for itself.

use safetensors::tensor::Metadata;

use crate::error::{Error, Result};

/// The version that is written, and the only one that is read.
pub(crate) const VERSION: u32 = 2;
/// Every tensor starts at a multiple of this.
pub(super) const ALIGNMENT: usize = 64;
/// What the names of the vocabulary's arrays start with.
pub(crate) const VOCABULARY: &str = "vocabulary/";
pub(super) const PADDING: &str = "padding/";
/// What the header's `format` is.
const FORMAT: &str = "bertless";

/// Whether a safetensors file's header is that of a packed file, of whatever version.
pub(in crate::weights) fn is_packed(header: &Metadata) -> bool {
    let metadata = header.metadata().as_ref();
    let format = metadata.and_then(|metadata| metadata.get("format"));
    format.is_some_and(|format| format == FORMAT)
}

/// # Errors
/// `Config` for a folder of the model whose name a packed file needs for itself; modules.json alone names folders.
pub(crate) fn check_name(name: &str) -> Result<()> {
    match [VOCABULARY, PADDING]
        .iter()
        .find(|own| name.starts_with(**own))
    {
        None => Ok(()),
        Some(own) => Err(Error::Config {
            file: "modules.json".to_owned(),
            key: "path".to_owned(),
            reason: format!("{name}: a packed file has its own parts under {own}"),
        }),
    }
}
