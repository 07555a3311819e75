//! Ids by the hashes of their tokens: a table with open addressing, in three bytes a slot.

use crate::tokenizer::swar::Marked;
use crate::weights::PodBuf;

/// The slots that are looked at together.
const SLOTS: usize = 8;
/// The tag of an empty slot.
const EMPTY: u8 = 0;

/// Eight slots: a tag of each, then the two lower bytes of each one's id, the lowest first. Tags are seven bits of the
/// tokens' hashes, which tell most other tokens apart.
pub(super) type Bucket = [u8; 3 * SLOTS];
/// The third byte of each id.
pub(super) type High = [u8; SLOTS];

/// Ids in buckets. A full bucket goes on in the next.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) buckets: PodBuf<Bucket>,
    /// None where they are all zero, as in vocabularies of up to 65,536 tokens.
    pub(super) high: PodBuf<High>,
}

/// A table that is being filled.
pub(super) struct Builder {
    buckets: Vec<Bucket>,
    high: Vec<High>,
}

/// A table as it is looked up in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots<'a> {
    buckets: &'a [Bucket],
    high: &'a [High],
}

impl Builder {
    /// For so many tokens, whose ids are below `ids`.
    pub(super) fn new(tokens: usize, ids: usize) -> Self {
        // Two of three slots are taken: so a table is small, and one bucket of five is full.
        let buckets = (tokens + tokens / 2) / SLOTS + 1;
        let high = if ids > 1 << 16 { buckets } else { 0 };
        Self {
            buckets: vec![[0; 3 * SLOTS]; buckets],
            high: vec![[0; SLOTS]; high],
        }
    }

    /// Puts an id in by its token's hash, and says whether there was an equal one; then the later one stays.
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

    /// The table, to be looked up in.
    pub(super) fn finish(self) -> Table {
        Table {
            buckets: self.buckets.into(),
            high: self.high.into(),
        }
    }
}

impl Table {
    pub(super) fn slots(&self) -> Slots<'_> {
        Slots {
            buckets: &self.buckets,
            high: &self.high,
        }
    }
}

impl Slots<'_> {
    /// The id of the token with this hash that `is_equal` says is the right one.
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

    /// The same from a bucket on. Not inlined, so that what is mostly enough has the registers for itself.
    #[inline(never)]
    fn find_further(&self, mut at: usize, tag: u8, is_equal: impl Fn(u32) -> bool) -> Option<u32> {
        loop {
            let bucket = &self.buckets[at];
            let mut ids = tagged(bucket, tag).map(|place| self.id(at, place));
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

    /// Whether every search in it ends, and at ids below `count`; asked of what was not built here.
    pub(super) fn is_sound(&self, count: usize) -> bool {
        // Of all slots, empty ones too, without a way out in the middle, so that a compiler uses vectors.
        let greatest = match self.high {
            [] => {
                let buckets = self.buckets.iter();
                let ids = buckets.flat_map(|bucket| bucket[SLOTS..].as_chunks().0);
                u32::from(ids.fold(0, |greatest, &id| greatest.max(u16::from_le_bytes(id))))
            }
            _ => {
                let places = |at| (0..SLOTS).map(move |place| self.id(at, place));
                (0..self.buckets.len()).flat_map(places).fold(0, u32::max)
            }
        };
        (greatest as usize) < count
            && (self.high.is_empty() || self.high.len() == self.buckets.len())
            && self.buckets.iter().any(has_room)
    }
}

/// Whether a search ends here: slots are taken in order.
#[inline]
fn has_room(bucket: &Bucket) -> bool {
    bucket[SLOTS - 1] == EMPTY
}

/// The places of the slots with a tag, found without a branch a slot: which they are, nothing foretells.
#[inline]
fn tagged(bucket: &Bucket, tag: u8) -> Marked {
    let tags = bucket
        .first_chunk()
        .map_or(0, |tags| u64::from_le_bytes(*tags));
    Marked::equal_even(tags, tag)
}

/// The bucket where the search begins: its share of all is that of the hash's upper half.
#[inline]
fn first(hash: u64, buckets: usize) -> usize {
    (((hash >> 32) * buckets as u64) >> 32) as usize
}

#[inline]
fn next(at: usize, buckets: usize) -> usize {
    if at + 1 == buckets { 0 } else { at + 1 }
}

/// What a hash leaves in the slot that it takes: an even number, and not that of an empty slot.
#[inline]
fn tag(hash: u64) -> u8 {
    (hash as u8 & !1).max(EMPTY + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens that are their own hashes, of which ids are the places.
    fn table(hashes: &[u64], ids: usize) -> Table {
        let mut builder = Builder::new(hashes.len(), ids);
        for (id, hash) in (0..).zip(hashes) {
            let is_equal = |other: u32| hashes[other as usize] == *hash;
            assert!(!builder.insert(*hash, id, |_| false, is_equal));
        }
        builder.finish()
    }

    fn find(table: &Table, hashes: &[u64], hash: u64) -> Option<u32> {
        let slots = table.slots();
        slots.find(hash, |id| hashes[id as usize] == hash)
    }

    #[test]
    fn a_full_bucket_goes_on_in_the_next() {
        // All begin in the last bucket, and have three tags.
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
        let mut builder = Builder::new(2, 2);
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
