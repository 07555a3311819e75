//! The beginning of a packed file, at fixed places: what it is, and the digest of what is needed to open it.
//!
//! ```text
//! 0   length of the header, 8 bytes
//! 8   {"__metadata__":{"format":"bertless","version":"0001","digest":"0123456789abcdef","checked":"000000123456",
//! ```
//!
//! The reader can tell damage from another format before it parses anything.

use xxhash_rust::xxh3::Xxh3;

use super::format::{ALIGNMENT, VERSION};
use crate::error::{Error, Result};

const OPENING: &[u8] = br#"{"__metadata__":{"format":"bertless","version":""#;
const DIGEST: &[u8] = br#"","digest":""#;
const CHECKED: &[u8] = br#"","checked":""#;
const END: &[u8] = br#"","#;
const VERSION_LEN: usize = 4;
const DIGEST_LEN: usize = 16;
const CHECKED_LEN: usize = 12;
/// Where the digest stands.
const DIGEST_AT: usize = 8 + OPENING.len() + VERSION_LEN + DIGEST.len();
const CHECKED_AT: usize = DIGEST_AT + DIGEST_LEN + CHECKED.len();
/// All of it.
pub(super) const LEN: usize = CHECKED_AT + CHECKED_LEN + END.len();

/// What the beginning says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preamble {
    /// Where the data start.
    pub(super) data: usize,
    /// Up to where the digest reaches, from the file's start.
    pub(super) checked: usize,
    /// Sixteen hexadecimal digits.
    pub(super) digest: String,
}

impl Preamble {
    /// Reads the first [`LEN`] bytes, or all that there are, of a file.
    ///
    /// # Errors
    /// `PackedForeign`, `PackedVersion`, `PackedDamaged`.
    pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Self> {
        let damaged = || damaged(file, "beginning");
        let Some((length, header)) = bytes.split_first_chunk::<8>() else {
            return Err(foreign(file));
        };
        let Some(rest) = header.strip_prefix(OPENING) else {
            return Err(foreign(file));
        };
        let version = rest.get(..VERSION_LEN).and_then(number);
        let found = version.ok_or_else(damaged)?;
        if found != VERSION as usize {
            return Err(Error::PackedVersion {
                file: file.to_owned(),
                found,
                supported: VERSION as usize,
            });
        }
        if bytes.len() < LEN {
            return Err(damaged());
        }
        let digest = &bytes[DIGEST_AT..][..DIGEST_LEN];
        let checked = number(&bytes[CHECKED_AT..][..CHECKED_LEN]).ok_or_else(damaged)?;
        let data = usize::try_from(u64::from_le_bytes(*length))
            .ok()
            .and_then(|length| length.checked_add(8))
            .filter(|&data| data.is_multiple_of(ALIGNMENT) && LEN <= data && data <= checked)
            .ok_or_else(damaged)?;
        Ok(Self {
            data,
            checked,
            digest: String::from_utf8(digest.to_vec()).map_err(|_| damaged())?,
        })
    }

    /// Checks the digest of the first `checked` bytes of a file.
    ///
    /// # Errors
    /// `PackedDamaged`.
    pub(super) fn check(&self, file: &str, bytes: &[u8]) -> Result<()> {
        if digest(bytes) != self.digest {
            return Err(damaged(file, "header, settings or vocabulary"));
        }
        Ok(())
    }

    /// The text that a header starts with; the digest comes later.
    pub(super) fn text(checked: usize) -> Vec<u8> {
        let digits = |number: usize, len: usize| format!("{number:0len$}").into_bytes();
        [
            OPENING,
            &digits(VERSION as usize, VERSION_LEN),
            DIGEST,
            &[b'0'; DIGEST_LEN],
            CHECKED,
            &digits(checked, CHECKED_LEN),
            END,
        ]
        .concat()
    }

    /// Writes the digest of these bytes into them.
    pub(super) fn seal(bytes: &mut [u8]) -> String {
        let digest = digest(bytes);
        bytes[DIGEST_AT..][..DIGEST_LEN].copy_from_slice(digest.as_bytes());
        digest
    }
}

/// The digest of a file's beginning, but for the place of the digest itself.
fn digest(bytes: &[u8]) -> String {
    let mut hash = Xxh3::new();
    hash.update(&bytes[..DIGEST_AT]);
    hash.update(&bytes[DIGEST_AT + DIGEST_LEN..]);
    hexadecimal(&hash)
}

/// Sixteen digits.
pub(super) fn hexadecimal(hash: &Xxh3) -> String {
    format!("{:016x}", hash.digest())
}

/// Digits and nothing else.
fn number(digits: &[u8]) -> Option<usize> {
    let all = digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| all)?;
    text.parse().ok()
}

fn foreign(file: &str) -> Error {
    Error::PackedForeign {
        file: file.to_owned(),
    }
}

pub(super) fn damaged(file: &str, part: &'static str) -> Error {
    Error::PackedDamaged {
        file: file.to_owned(),
        part,
    }
}
