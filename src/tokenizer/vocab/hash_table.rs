//! Hash table from tokens to ids, with open addressing and three bytes per slot.

use crate::tokenizer::swar::ByteMask;
use crate::weights::PodBuf;

/// Number of slots per bucket, which are compared together.
const SLOTS: usize = 8;
/// Tag of an empty slot.
const EMPTY: u8 = 0;

/// Eight slots: their tags, then the two lower bytes of each id, lowest first. A tag is seven bits of the token's hash,
/// which rules out most other tokens.
pub(super) type Bucket = [u8; 3 * SLOTS];
/// Third bytes of the ids of a bucket.
pub(super) type High = [u8; SLOTS];

/// HashTable of ids in buckets. A full bucket overflows into the next.
#[derive(Debug, Clone)]
pub(super) struct HashTable {
    pub(super) buckets: PodBuf<Bucket>,
    /// Third bytes of the ids; empty if all are zero, as in vocabularies of up to 65,536 tokens.
    pub(super) high: PodBuf<High>,
}

/// Builder of a table.
pub(super) struct HashTableBuilder {
    buckets: Vec<Bucket>,
    high: Vec<High>,
}

/// Borrowed table for look-ups.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots<'a> {
    buckets: &'a [Bucket],
    high: &'a [High],
}

impl HashTableBuilder {
    /// Creates an empty table for `tokens` tokens whose ids are below `ids`.
    pub(super) fn new(tokens: usize, ids: usize) -> Self {
        // Two of three slots are used: the table stays small, and one bucket in five is full.
        let buckets = (tokens + tokens / 2) / SLOTS + 1;
        let high = if ids > 1 << 16 { buckets } else { 0 };
        Self {
            buckets: vec![[0; 3 * SLOTS]; buckets],
            high: vec![[0; SLOTS]; high],
        }
    }

    /// Inserts an id by its token's hash. Returns whether the table held an equal token, of which the later one is
    /// kept.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        id: u32,
        is_later: impl Fn(u32) -> bool,
        is_equal: impl Fn(u32) -> bool,
    ) -> bool {
        let mut at = first(hash, self.buckets.len());
        loop {
            let bucket = &self.buckets[at];
            for place in tagged(bucket, tag(hash)) {
                let known = self.slots().id(at, place);
                if is_equal(known) {
                    if is_later(known) {
                        self.put(at, place, id);
                    }
                    return true;
                }
            }
            if let Some(place) = tagged(bucket, EMPTY).next() {
                self.buckets[at][place] = tag(hash);
                self.put(at, place, id);
                return false;
            }
            at = next(at, self.buckets.len());
        }
    }

    fn put(&mut self, at: usize, place: usize, id: u32) {
        let [lowest, second, third, _] = id.to_le_bytes();
        self.buckets[at][SLOTS + 2 * place..][..2].copy_from_slice(&[lowest, second]);
        if let Some(high) = self.high.get_mut(at) {
            high[place] = third;
        }
    }

    fn slots(&self) -> Slots<'_> {
        Slots {
            buckets: &self.buckets,
            high: &self.high,
        }
    }

    /// Returns the finished table.
    pub(super) fn finish(self) -> HashTable {
        HashTable {
            buckets: self.buckets.into(),
            high: self.high.into(),
        }
    }
}

impl HashTable {
    pub(super) fn slots(&self) -> Slots<'_> {
        Slots {
            buckets: &self.buckets,
            high: &self.high,
        }
    }
}

impl Slots<'_> {
    /// Finds the id of the token with this hash for which `is_equal` is true.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_equal: impl Fn(u32) -> bool) -> Option<u32> {
        let at = first(hash, self.buckets.len());
        let bucket = &self.buckets[at];
        match tagged(bucket, tag(hash)).next() {
            Some(place) => {
                let id = self.id(at, place);
                if is_equal(id) {
                    return Some(id);
                }
            }
            None if has_room(bucket) => return None,
            None => {}
        }
        self.find_further(at, tag(hash), is_equal)
    }

    /// Continues a search from the bucket `at`. Not inlined, so that the common case keeps all registers.
    #[inline(never)]
    fn find_further(&self, mut at: usize, tag: u8, is_equal: impl Fn(u32) -> bool) -> Option<u32> {
        loop {
            let bucket = &self.buckets[at];
            let mut ids = tagged(bucket, tag).map(|slot| self.id(at, slot));
            if let Some(id) = ids.find(|&id| is_equal(id)) {
                return Some(id);
            }
            if has_room(bucket) {
                return None;
            }
            at = next(at, self.buckets.len());
        }
    }

    #[inline]
    fn id(&self, at: usize, place: usize) -> u32 {
        let ids = &self.buckets[at][SLOTS..];
        let third = self.high.get(at).map_or(0, |high| high[place]);
        u32::from_le_bytes([ids[2 * place], ids[2 * place + 1], third, 0])
    }

    /// Whether every search ends and finds only ids below `count`. Checks tables that were read from a file.
    pub(super) fn is_sound(&self, count: usize) -> bool {
        // Includes empty slots and has no early exit, so that the compiler vectorises the loop.
        let greatest = match self.high {
            [] => {
                let buckets = self.buckets.iter();
                let ids = buckets.flat_map(|bucket| bucket[SLOTS..].as_chunks().0);
                u32::from(ids.fold(0, |greatest, &id| greatest.max(u16::from_le_bytes(id))))
            }
            _ => {
                let ids = |at| (0..SLOTS).map(move |slot| self.id(at, slot));
                (0..self.buckets.len()).flat_map(ids).fold(0, u32::max)
            }
        };
        (greatest as usize) < count
            && (self.high.is_empty() || self.high.len() == self.buckets.len())
            && self.buckets.iter().any(has_room)
    }
}

/// Whether a search ends at this bucket. Slots are filled in order, so the last one tells.
#[inline]
fn has_room(bucket: &Bucket) -> bool {
    bucket[SLOTS - 1] == EMPTY
}

/// Marks the slots with a tag, without a branch per slot, which would be unpredictable.
#[inline]
fn tagged(bucket: &Bucket, tag: u8) -> ByteMask {
    let tags = bucket
        .first_chunk()
        .map_or(0, |tags| u64::from_le_bytes(*tags));
    ByteMask::equal_even(tags, tag)
}

/// Bucket where a search begins: the upper half of the hash, scaled to the number of buckets.
#[inline]
fn first(hash: u64, buckets: usize) -> usize {
    (((hash >> 32) * buckets as u64) >> 32) as usize
}

#[inline]
fn next(at: usize, buckets: usize) -> usize {
    if at + 1 == buckets { 0 } else { at + 1 }
}

/// Tag of a hash: even, and never [`EMPTY`].
#[inline]
fn tag(hash: u64) -> u8 {
    (hash as u8 & !1).max(EMPTY + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a table of tokens whose hashes are given and whose ids are their indices.
    fn table(hashes: &[u64], ids: usize) -> HashTable {
        let mut builder = HashTableBuilder::new(hashes.len(), ids);
        for (id, hash) in (0..).zip(hashes) {
            let is_equal = |other: u32| hashes[other as usize] == *hash;
            assert!(!builder.insert(*hash, id, |_| false, is_equal));
        }
        builder.finish()
    }

    fn find(table: &HashTable, hashes: &[u64], hash: u64) -> Option<u32> {
        let slots = table.slots();
        slots.find(hash, |id| hashes[id as usize] == hash)
    }

    #[test]
    fn a_full_bucket_goes_on_in_the_next() {
        // All begin in the last bucket, with three different tags.
        let hashes: Vec<u64> = (0..30)
            .map(|i| (!0 << 32) | (i << 8) | (i % 3) << 1)
            .collect();
        for ids in [30, 1 << 20] {
            let table = table(&hashes, ids);
            assert!(table.slots().is_sound(30) && !table.slots().is_sound(29));
            for (id, &hash) in (0..).zip(&hashes) {
                assert_eq!(find(&table, &hashes, hash), Some(id));
            }
            assert_eq!(find(&table, &hashes, !0), None);
            assert_eq!(find(&table, &hashes, 30 << 8), None);
        }
    }

    #[test]
    fn of_equal_tokens_the_later_stays() {
        let mut builder = HashTableBuilder::new(2, 2);
        assert!(!builder.insert(7, 1, |_| false, |_| true));
        assert!(builder.insert(7, 0, |_| false, |_| true));
        assert_eq!(builder.slots().find(7, |_| true), Some(1));
        assert!(builder.insert(7, 0, |_| true, |_| true));
        assert_eq!(builder.slots().find(7, |_| true), Some(0));
    }

    #[test]
    fn a_search_without_an_end_is_not_sound() {
        let sound = |buckets: &[Bucket], high: &[High]| Slots { buckets, high }.is_sound(1);
        let room = [0; 3 * SLOTS];
        let full = std::array::from_fn(|byte| u8::from(byte < SLOTS));
        assert!(sound(&[room, full], &[]) && sound(&[room], &[[0; SLOTS]]));
        assert!(!sound(&[full, full], &[]));
        assert!(!sound(&[], &[]));
        assert!(!sound(&[room, room], &[[0; SLOTS]]));
        assert!(!sound(&[room], &[[1; SLOTS]]));
    }
}
