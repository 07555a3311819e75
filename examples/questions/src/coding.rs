//! Decoder of compressed HTTP request bodies (`Content-Encoding`).

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::{ApiError, named};

/// Value of the header `Accept-Encoding` of a response with status 415.
pub const ACCEPTED_CODINGS: &str = "gzip, deflate, identity";

/// First bytes of every gzip member.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Decodes a body by the value of its `Content-Encoding`, which is empty if the request has no such header.
///
/// Reads gzip with one or several members, and deflate with or without zlib's header. Decoding stops once the result exceeds
/// `limit` bytes, so a small body cannot fill the memory.
///
/// # Errors
/// 415 for another coding, 400 for a body that is not in the coding, 413 for a body of more than `limit` bytes after decoding.
pub fn decoded<'a>(
    body: Cow<'a, [u8]>,
    coding: &str,
    limit: usize,
) -> Result<Cow<'a, [u8]>, ApiError> {
    match coding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" if body.starts_with(&GZIP) => Err(ApiError::malformed(
            "the body is gzip, and no Content-Encoding says so",
        )),
        "" | "identity" => Ok(body),
        "gzip" | "x-gzip" => decode(MultiGzDecoder::new(&*body), "gzip", limit),
        "deflate" if has_zlib_header(&body) => decode(ZlibDecoder::new(&*body), "deflate", limit),
        "deflate" => decode(DeflateDecoder::new(&*body), "deflate", limit),
        other => Err(ApiError::new(
            415,
            format!(
                "Content-Encoding {} is not supported, {ACCEPTED_CODINGS} are",
                named(other)
            ),
        )),
    }
}

/// Decodes a reader to its end. Stops with an error after `limit` bytes.
fn decode<'a>(reader: impl Read, coding: &str, limit: usize) -> Result<Cow<'a, [u8]>, ApiError> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    match reader.take(most).read_to_end(&mut bytes) {
        Err(error) => Err(ApiError::malformed(format!(
            "the body is not {coding}, as its Content-Encoding says: {error}"
        ))),
        Ok(_) if bytes.len() > limit => Err(ApiError::body_too_large(limit)),
        Ok(_) => Ok(bytes.into()),
    }
}

/// Returns whether a body begins with zlib's header (RFC 1950). Some senders of "deflate" leave it out.
fn has_zlib_header(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..]
        if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    const JSON: &[u8] = br#"{"text": "A great film"}"#;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn status(body: &[u8], coding: &str) -> u16 {
        decoded(body.into(), coding, 100).unwrap_err().status
    }

    #[test]
    fn each_coding_is_decoded() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(JSON).unwrap();
        let zlib = zlib.finish().unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(JSON).unwrap();
        let raw = raw.finish().unwrap();
        let (first, second) = JSON.split_at(7);
        let members = [gzip(first), gzip(b""), gzip(second)].concat();
        for (body, coding) in [
            (JSON, ""),
            (JSON, "identity"),
            (&gzip(JSON), "gzip"),
            (&gzip(JSON), " GZIP "),
            (&gzip(JSON), "x-gzip"),
            (&members, "gzip"),
            (&zlib, "deflate"),
            (&raw, "deflate"),
        ] {
            assert_eq!(decoded(body.into(), coding, 100).unwrap(), JSON, "{coding}");
        }
    }

    #[test]
    fn undecodable_bodies_are_errors() {
        let whole = gzip(JSON);
        let mut broken = whole.clone();
        let checksum = broken.len() - 8;
        broken[checksum] ^= 0xff;
        assert_eq!(status(&whole[..whole.len() - 3], "gzip"), 400);
        assert_eq!(status(&broken, "gzip"), 400);
        assert_eq!(status(&[whole.as_slice(), b"more"].concat(), "gzip"), 400);
        assert_eq!(status(JSON, "gzip"), 400);
        assert_eq!(status(b"", "gzip"), 400);
        assert_eq!(status(&whole, "deflate"), 400);
        assert_eq!(status(&whole, ""), 400);
        for coding in ["br", "zstd", "gzip, gzip", "compress", "a text with spaces"] {
            assert_eq!(status(JSON, coding), 415);
        }
        let reason = decoded(JSON.into(), "br", 100).unwrap_err().reason;
        assert!(reason.contains("br") && reason.contains("gzip"), "{reason}");
    }

    /// Tests zeros, which gzip compresses to a thousandth of their size.
    #[test]
    fn decoding_stops_at_the_limit() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let zeros = vec![0; 1 << 20];
        for _ in 0..1 << 5 {
            encoder.write_all(&zeros).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 1 << 16);
        assert_eq!(
            decoded(bomb.into(), "gzip", 1 << 20).unwrap_err().status,
            413
        );
        let exact = gzip(&[b' '; 100]);
        let decoded_to = |limit| decoded(exact.as_slice().into(), "gzip", limit);
        assert!(decoded_to(100).is_ok());
        assert_eq!(decoded_to(99).unwrap_err().status, 413);
    }
}
