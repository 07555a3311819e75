//! Slices of a file in memory that are used in place, as bytes or as plain values.

use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::sync::Arc;

use bytemuck::Pod;

use super::source::Source;

/// A byte range of a file in memory. Keeps the file alive.
#[derive(Debug, Clone)]
pub(crate) struct Bytes {
    source: Arc<Source>,
    range: Range<usize>,
}

impl Bytes {
    /// Takes a byte range of a file. Returns `None` if the file is not in memory or has no such range.
    pub(super) fn slice_of(source: &Arc<Source>, range: Range<usize>) -> Option<Self> {
        source.bytes()?.get(range.clone())?;
        Some(Self {
            source: Arc::clone(source),
            range,
        })
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let bytes = self.source.bytes();
        // `slice_of` has checked the range, and a source does not change.
        &bytes.unwrap_or_default()[self.range.clone()]
    }
}

/// Plain values: owned, static, or in place in a file's memory.
#[derive(Debug, Clone)]
pub(crate) enum PodBuf<T: 'static> {
    Owned(Vec<T>),
    Static(&'static [T]),
    InFile(Bytes, PhantomData<T>),
}

impl<T: Pod> PodBuf<T> {
    /// Views bytes as `[T]` in place, without regard to endianness. `None` if they are misaligned or not a whole number of
    /// `T`.
    pub(super) fn from_ne_bytes(bytes: Bytes) -> Option<Self> {
        bytemuck::try_cast_slice::<u8, T>(&bytes).ok()?;
        Some(Self::InFile(bytes, PhantomData))
    }

    /// Reads little-endian bytes, in place if this machine can; `None` if they are not a whole number of `T`. A `T` of
    /// alignment 4 is read as a sequence of four-byte words; a `T` of alignment 1 needs no change of byte order.
    pub(crate) fn from_le_bytes(bytes: Bytes) -> Option<Self> {
        // Values of 2 or 8 bytes would be swapped in groups of four on a big-endian machine.
        const { assert!(align_of::<T>() == 1 || align_of::<T>() == 4) };
        let size = size_of::<T>();
        if !bytes.len().is_multiple_of(size) {
            return None;
        }
        if cfg!(target_endian = "big") && align_of::<T>() > 1 {
            let mut swapped = bytes.to_vec();
            swapped.chunks_exact_mut(4).for_each(<[u8]>::reverse);
            return Some(Self::Owned(copy_unaligned(&swapped)));
        }
        match bytemuck::try_cast_slice::<u8, T>(&bytes) {
            Ok(_) => Some(Self::InFile(bytes, PhantomData)),
            Err(_) => Some(Self::Owned(copy_unaligned(&bytes))),
        }
    }
}

/// Copies bytes of any alignment to values.
fn copy_unaligned<T: Pod>(bytes: &[u8]) -> Vec<T> {
    let values = bytes.chunks_exact(size_of::<T>());
    values.map(bytemuck::pod_read_unaligned).collect()
}

impl<T> From<Vec<T>> for PodBuf<T> {
    fn from(values: Vec<T>) -> Self {
        Self::Owned(values)
    }
}

impl<T: Pod> Deref for PodBuf<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Owned(values) => values,
            Self::Static(values) => values,
            Self::InFile(bytes, _) => bytemuck::cast_slice(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn bytes(range: Range<usize>) -> Option<Bytes> {
        let file: Vec<u8> = (0..100).collect();
        let source = Source::memory("x".to_owned(), Arc::new(Cow::Owned(file)));
        Bytes::slice_of(&Arc::new(source.into_aligned()), range)
    }

    #[test]
    fn values_are_read_at_any_alignment() {
        for start in [0, 1, 2, 3, 4] {
            let numbers = PodBuf::<u32>::from_le_bytes(bytes(start..start + 8).unwrap()).unwrap();
            let first = start as u32;
            let number = |first| {
                u32::from_le_bytes([first, first + 1, first + 2, first + 3].map(|x| x as u8))
            };
            assert_eq!(numbers[..], [number(first), number(first + 4)]);
            let in_place = matches!(numbers, PodBuf::InFile(..));
            assert_eq!(in_place, start % 4 == 0 && cfg!(target_endian = "little"));
        }
        assert!(PodBuf::<u32>::from_le_bytes(bytes(0..7).unwrap()).is_none());
    }

    #[test]
    fn a_range_outside_the_file_is_none() {
        assert!(bytes(99..101).is_none());
        #[allow(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        let reversed = bytes(5..4);
        assert!(reversed.is_none());
        assert_eq!(bytes(100..100).unwrap().len(), 0);
    }
}
