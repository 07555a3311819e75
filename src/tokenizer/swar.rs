//! SIMD within a register: eight bytes of text at a time in a `u64`, the first byte lowest.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// Mask with the bit that makes ASCII letters lower-case, in each byte; it is set in digits, too.
pub(super) const LOWER: u64 = 0x20 * ONES;

/// Reads eight bytes of a text; bytes past its end are read as zeros.
#[inline]
pub(super) fn read(text: &[u8], from: usize) -> u64 {
    match text.get(from..).and_then(|rest| rest.first_chunk()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => {
            let mut block = [0; 8];
            if let Some(rest) = text.get(from..) {
                block[..rest.len()].copy_from_slice(rest);
            }
            u64::from_le_bytes(block)
        }
    }
}

/// Mask of the `len` lowest bytes; all eight for a `len` of eight or more.
#[inline]
pub(super) fn low_bytes(len: usize) -> u64 {
    match len {
        8.. => u64::MAX,
        _ => !(u64::MAX << (8 * len)),
    }
}

/// Set of bytes of a block, as their high bits. Iterates over the positions of the bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ByteMask(u64);

impl ByteMask {
    /// Marks the bytes that equal `byte`.
    #[inline]
    pub(super) fn equal(block: u64, byte: u8) -> Self {
        let zero_if_equal = block ^ (ONES * u64::from(byte));
        // With the high bits cleared, an addition does not carry into the next byte.
        let low = (zero_if_equal & !HIGH) + (0x7F * ONES);
        Self(!(low | zero_if_equal) & HIGH)
    }

    /// Marks the bytes that equal `byte`, in fewer steps than [`equal`](Self::equal). All bytes must be even.
    #[inline]
    pub(super) fn equal_even(block: u64, byte: u8) -> Self {
        let zero_if_equal = block ^ (ONES * u64::from(byte));
        // A zero borrows one from the byte above, which cannot make an even byte look like zero.
        Self(zero_if_equal.wrapping_sub(ONES) & !zero_if_equal & HIGH)
    }

    /// Marks ASCII letters and digits.
    #[inline]
    pub(super) fn alphanumeric(block: u64) -> Self {
        let low = block & !HIGH;
        let at_least = |bytes: u64, least: u8| bytes + u64::from(0x80 - least) * ONES;
        let between =
            |bytes: u64, first: u8, last: u8| at_least(bytes, first) & !at_least(bytes, last + 1);
        let letters = between(low | LOWER, b'a', b'z');
        let digits = between(low, b'0', b'9');
        Self((letters | digits) & !block & HIGH)
    }

    /// Union of both sets.
    #[inline]
    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Number of marked bytes before the first unmarked one.
    #[inline]
    pub(super) fn leading_len(self) -> usize {
        (!self.0 & HIGH).trailing_zeros() as usize / 8
    }
}

/// Yields the positions of the marked bytes in ascending order.
impl Iterator for ByteMask {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let place = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0.wrapping_sub(1);
        (place < 8).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_end_there_are_zeros() {
        assert_eq!(read(b"abcdefgh", 0), u64::from_le_bytes(*b"abcdefgh"));
        assert_eq!(read(b"abcdefgh", 6), u64::from_le_bytes(*b"gh\0\0\0\0\0\0"));
        assert_eq!((read(b"a", 1), read(b"a", 9)), (0, 0));
        assert_eq!(
            (low_bytes(0), low_bytes(2), low_bytes(9)),
            (0, 0xFFFF, u64::MAX)
        );
    }

    #[test]
    fn bytes_are_told_apart_whatever_stands_beside_them() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                for around in [0x00, 0xFF, b'a', b'/'] {
                    let mut bytes = [around; 8];
                    bytes[place] = byte;
                    let block = u64::from_le_bytes(bytes);
                    let positions = |is: &dyn Fn(u8) -> bool| -> Vec<usize> {
                        (0..8).filter(|&place| is(bytes[place])).collect()
                    };
                    let found: Vec<usize> = ByteMask::alphanumeric(block).collect();
                    assert_eq!(found, positions(&|byte| byte.is_ascii_alphanumeric()));
                    let found: Vec<usize> = ByteMask::equal(block, byte).collect();
                    assert_eq!(found, positions(&|other| other == byte));
                    let even = bytes.map(|byte| byte & !1);
                    let found: Vec<usize> =
                        ByteMask::equal_even(u64::from_le_bytes(even), byte & !1).collect();
                    let expected = (0..8).filter(|&place| even[place] == byte & !1);
                    assert_eq!(found, expected.collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn runs() {
        let run =
            |bytes: &[u8; 8]| ByteMask::alphanumeric(u64::from_le_bytes(*bytes)).leading_len();
        assert_eq!(run(b"abc def "), 3);
        assert_eq!(run(b" abcdef "), 0);
        assert_eq!(run(b"Abcdef12"), 8);
    }
}
