//! Preamble: the first bytes of a packed file, with format, version and digest at fixed offsets.
//!
//! ```text
//! 0   length of the header, 8 bytes
//! 8   {"__metadata__":{"format":"bertless","version":"0001","digest":"0123456789abcdef","checked":"000000123456",
//! ```
//!
//! The digest covers the first `checked` bytes of the file except the digest itself. A reader can tell a damaged file from
//! another format before it parses anything.

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
/// Offset of the digest in the file.
const DIGEST_OFFSET: usize = 8 + OPENING.len() + VERSION_DIGITS + DIGEST_KEY.len();
/// Offset of the number of checked bytes.
const CHECKED_OFFSET: usize = DIGEST_OFFSET + DIGEST_DIGITS + CHECKED_KEY.len();
/// Length of the preamble in bytes, the header's length included.
pub(super) const LEN: usize = CHECKED_OFFSET + CHECKED_DIGITS + END.len();

/// Whether bytes begin as a packed file does.
pub(in crate::weights) fn begins_packed(bytes: &[u8]) -> bool {
    bytes
        .get(8..)
        .is_some_and(|header| header.starts_with(OPENING))
}

/// Contents of a preamble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preamble {
    /// Offset of the tensors' data in the file.
    pub(super) data_start: usize,
    /// Number of bytes, from the start of the file, that the digest covers.
    pub(super) checked_len: usize,
    /// Digest as sixteen hexadecimal digits.
    pub(super) digest: String,
}

impl Preamble {
    /// Reads a preamble from the first [`LEN`] bytes of a file, or from all bytes of a shorter file.
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

    /// Checks the digest of the first `checked_len` bytes of a file.
    ///
    /// # Errors
    /// `PackedDamaged`.
    pub(super) fn check(&self, file: &str, bytes: &[u8]) -> Result<()> {
        if digest(bytes) != self.digest {
            return Err(damaged(file, "header, settings or vocabulary"));
        }
        Ok(())
    }

    /// Start of a header, with zeros in place of the digest.
    pub(super) fn bytes(checked_len: usize) -> Vec<u8> {
        let digits = |value: usize, len: usize| format!("{value:0len$}").into_bytes();
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

    /// Writes the digest of the checked bytes into them, and returns it.
    pub(super) fn write_digest(bytes: &mut [u8]) -> String {
        let digest = digest(bytes);
        bytes[DIGEST_OFFSET..][..DIGEST_DIGITS].copy_from_slice(digest.as_bytes());
        digest
    }
}

/// Digest of the checked bytes without the digest itself.
fn digest(bytes: &[u8]) -> String {
    let mut hash = Xxh3::new();
    hash.update(&bytes[..DIGEST_OFFSET]);
    hash.update(&bytes[DIGEST_OFFSET + DIGEST_DIGITS..]);
    hexadecimal(&hash)
}

/// Formats a digest as sixteen hexadecimal digits.
pub(super) fn hexadecimal(hash: &Xxh3) -> String {
    format!("{:016x}", hash.digest())
}

/// Parses decimal digits. Returns `None` if there is any other character, such as a sign.
fn decimal(digits: &[u8]) -> Option<usize> {
    let all = digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| all)?;
    text.parse().ok()
}

/// Error for a file that is not a packed file.
fn not_packed(file: &str) -> Error {
    Error::PackedForeign {
        file: file.to_owned(),
    }
}

/// Error for a packed file whose `part` is damaged.
pub(super) fn damaged(file: &str, part: &'static str) -> Error {
    Error::PackedDamaged {
        file: file.to_owned(),
        part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_begin_at_a_multiple_of_64_between_the_preamble_and_the_end_of_what_is_checked() {
        let read = |data_start: u64, checked_len: usize| {
            let length = data_start.wrapping_sub(8).to_le_bytes();
            Preamble::read("m", &[&length[..], &Preamble::bytes(checked_len)].concat())
        };
        for (data_start, checked_len) in [(128, 128), (128, 1000), (960, 1000)] {
            let preamble = read(data_start, checked_len).unwrap();
            assert_eq!(preamble.data_start as u64, data_start);
            assert_eq!(preamble.checked_len, checked_len);
        }
        for (data_start, checked_len) in
            [(129, 1000), (64, 1000), (128, 127), (1024, 1000), (0, 1000)]
        {
            let error = read(data_start, checked_len).unwrap_err();
            assert!(matches!(error, Error::PackedDamaged { .. }), "{error}");
        }
    }
}
