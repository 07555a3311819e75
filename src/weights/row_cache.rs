//! Cache of recently read table rows, so that common tokens cost no system call.

use std::sync::Mutex;

use crate::error::Result;

/// Maximum number of cached bytes: 2,048 rows of all-MiniLM-L6-v2 in int8. Vocabularies have the most frequent words next to
/// each other, so these seldom share a slot.
const MAX_BYTES: usize = 1 << 20;

/// Direct-mapped cache of one table's rows: row `i` can only be in slot `i % slots`.
#[derive(Debug)]
pub(super) struct RowCache {
    /// Offset of the table in its file.
    start: usize,
    /// Length of a row in bytes.
    row: usize,
    slots: Mutex<RowSlots>,
}

#[derive(Debug, Default)]
struct RowSlots {
    /// Index of the row in each slot, plus 1; 0 for an empty slot.
    rows: Vec<usize>,
    /// Bytes of the rows.
    bytes: Vec<u8>,
}

impl RowCache {
    /// Creates an empty cache for rows of `row` bytes, the first of which begins at byte `start` of the file.
    pub(super) fn new(start: usize, row: usize) -> Self {
        Self {
            start,
            row: row.max(1),
            slots: Mutex::default(),
        }
    }

    /// Fills `out` with the file's bytes from `start` on: a cached row, or the bytes that `read` fills in. Anything but a row
    /// is read and not cached.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn read(
        &self,
        start: usize,
        out: &mut [u8],
        read: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let within = start.wrapping_sub(self.start);
        // A thread reads the file itself instead of waiting for another.
        let (Ok(mut slots), true) = (
            self.slots.try_lock(),
            out.len() == self.row && start >= self.start && within.is_multiple_of(self.row),
        ) else {
            return read(out);
        };
        let count = 1 << (MAX_BYTES / self.row).max(1).ilog2();
        if slots.rows.is_empty() {
            // The system provides zeroed pages only when they are written.
            *slots = RowSlots {
                rows: vec![0; count],
                bytes: vec![0; count * self.row],
            };
        }
        let RowSlots { rows, bytes } = &mut *slots;
        let index = within / self.row;
        let slot = &mut bytes[index % count * self.row..][..self.row];
        if rows[index % count] == index + 1 {
            out.copy_from_slice(slot);
        } else {
            read(out)?;
            slot.copy_from_slice(out);
            rows[index % count] = index + 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::Error;

    /// Reads a file whose bytes are their own offsets, and counts the reads.
    fn read(cache: &RowCache, reads: &Cell<usize>, start: usize, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        let from_file = |out: &mut [u8]| {
            reads.set(reads.get() + 1);
            for (at, byte) in out.iter_mut().enumerate() {
                *byte = (start + at) as u8;
            }
            Ok(())
        };
        cache.read(start, &mut out, from_file).unwrap();
        out
    }

    fn expected(start: usize, len: usize) -> Vec<u8> {
        (start..start + len).map(|at| at as u8).collect()
    }

    #[test]
    fn a_row_is_read_once_and_stays_itself() {
        let (row, slots) = (48, 1 << 14);
        let (cache, reads) = (RowCache::new(5, row), Cell::new(0));
        let start = |index: usize| 5 + index * row;
        // Rows 7 and 7 + slots share a slot, and so do rows 0 and `slots`.
        let indices = [0, 7, 7, 7 + slots, 7 + slots, 7, 0, slots, 0];
        for (index, in_all) in indices.into_iter().zip([1, 2, 2, 3, 3, 4, 4, 5, 6]) {
            let out = read(&cache, &reads, start(index), row);
            assert_eq!(out, expected(start(index), row), "{index}");
            assert_eq!(reads.get(), in_all, "{index}");
        }
    }

    #[test]
    fn anything_but_a_row_is_read_uncached() {
        let (cache, reads) = (RowCache::new(64, 8), Cell::new(0));
        for (start, len) in [(64, 8), (64, 16), (65, 8), (56, 8), (64, 7)] {
            for _ in 0..2 {
                assert_eq!(read(&cache, &reads, start, len), expected(start, len));
            }
        }
        assert_eq!(reads.get(), 1 + 4 * 2);
    }

    #[test]
    fn a_row_that_could_not_be_read_is_read_again() {
        let (cache, reads) = (RowCache::new(0, 8), Cell::new(0));
        let gone = |_: &mut [u8]| {
            Err(Error::FileMissing {
                dir: "models".into(),
                given: None,
                what: "a row",
            })
        };
        assert!(cache.read(8, &mut [0; 8], gone).is_err());
        assert_eq!(read(&cache, &reads, 8, 8), expected(8, 8));
        assert_eq!(reads.get(), 1);
    }

    #[test]
    fn a_locked_cache_is_bypassed() {
        let (cache, reads) = (RowCache::new(0, 8), Cell::new(0));
        read(&cache, &reads, 8, 8);
        let held = cache.slots.lock().unwrap();
        assert_eq!(read(&cache, &reads, 8, 8), expected(8, 8));
        assert_eq!(reads.get(), 2);
        drop(held);
    }
}
