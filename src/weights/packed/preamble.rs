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
const DIGEST_KEY: &[u8] = br#"","digest":""#;
const CHECKED_KEY: &[u8] = br#"","checked":""#;
const END: &[u8] = br#"","#;
const VERSION_DIGITS: usize = 4;
const DIGEST_DIGITS: usize = 16;
const CHECKED_DIGITS: usize = 12;
/// Where the digest stands.
const DIGEST_OFFSET: usize = 8 + OPENING.len() + VERSION_DIGITS + DIGEST_KEY.len();
const CHECKED_OFFSET: usize = DIGEST_OFFSET + DIGEST_DIGITS + CHECKED_KEY.len();
/// All of it.
pub(super) const LEN: usize = CHECKED_OFFSET + CHECKED_DIGITS + END.len();

/// What the beginning says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preamble {
    /// Where the data start.
    pub(super) data_start: usize,
    /// Up to where the digest reaches, from the file's start.
    pub(super) checked_len: usize,
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
            return Err(not_packed(file));
        };
        let Some(rest) = header.strip_prefix(OPENING) else {
            return Err(not_packed(file));
        };
        let version = rest.get(..VERSION_DIGITS).and_then(decimal);
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
        let digest = &bytes[DIGEST_OFFSET..][..DIGEST_DIGITS];
        let checked_len =
            decimal(&bytes[CHECKED_OFFSET..][..CHECKED_DIGITS]).ok_or_else(damaged)?;
        let data_start = usize::try_from(u64::from_le_bytes(*length))
            .ok()
            .and_then(|length| length.checked_add(8))
            .filter(|&start| {
                start.is_multiple_of(ALIGNMENT) && LEN <= start && start <= checked_len
            })
            .ok_or_else(damaged)?;
        Ok(Self {
            data_start,
            checked_len,
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
    pub(super) fn bytes(checked_len: usize) -> Vec<u8> {
        let digits = |number: usize, len: usize| format!("{number:0len$}").into_bytes();
        [
            OPENING,
            &digits(VERSION as usize, VERSION_DIGITS),
            DIGEST_KEY,
            &[b'0'; DIGEST_DIGITS],
            CHECKED_KEY,
            &digits(checked_len, CHECKED_DIGITS),
            END,
        ]
        .concat()
    }

    /// Writes the digest of these bytes into them.
    pub(super) fn write_digest(bytes: &mut [u8]) -> String {
        let digest = digest(bytes);
        bytes[DIGEST_OFFSET..][..DIGEST_DIGITS].copy_from_slice(digest.as_bytes());
        digest
    }
}

/// The digest of a file's beginning, but for the place of the digest itself.
fn digest(bytes: &[u8]) -> String {
    let mut hash = Xxh3::new();
    hash.update(&bytes[..DIGEST_OFFSET]);
    hash.update(&bytes[DIGEST_OFFSET + DIGEST_DIGITS..]);
    hexadecimal(&hash)
}

/// Sixteen digits.
pub(super) fn hexadecimal(hash: &Xxh3) -> String {
    format!("{:016x}", hash.digest())
}

/// Digits and nothing else.
fn decimal(digits: &[u8]) -> Option<usize> {
    let all = digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| all)?;
    text.parse().ok()
}

fn not_packed(file: &str) -> Error {
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
