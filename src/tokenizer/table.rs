//! Ids by the bytes of their tokens: a hash table with open addressing, and what is looked up in it.

use super::blocks::{low_bytes, read};

/// No id: an empty slot.
const NONE: u32 = u32::MAX;
/// The bits of a slot that are an id.
const ID: u32 = (1 << 24) - 1;
/// The bits of a slot that are bits of the hash, which tell most other tokens apart; an empty slot has one bit more.
const TAG: u32 = 0x7F << 24;
/// The slots that are looked at together.
const BUCKET: usize = 4;
/// Ids with bits of their tokens' hashes.
pub(super) type Bucket = [u32; BUCKET];
/// Keep products of blocks from being zero.
const SEEDS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93];

/// Ids in a power of two of buckets, at most two thirds of whose slots are taken. A full bucket goes on in the next.
#[derive(Debug, Clone)]
pub(super) struct Table {
    buckets: Vec<Bucket>,
}

impl Table {
    /// For so many tokens.
    pub(super) fn new(tokens: usize) -> Self {
        let slots = (tokens + tokens / 2 + 2).next_power_of_two();
        Self {
            buckets: vec![[NONE; BUCKET]; slots.div_ceil(BUCKET)],
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
        let new = (hash as u32 & TAG) | id;
        let mask = self.buckets.len() - 1;
        let mut index = first(hash);
        loop {
            let bucket = &mut self.buckets[index & mask];
            for place in places(bucket, |slot| same_tag(slot, hash)) {
                let slot = &mut bucket[place];
                if is_equal(*slot & ID) {
                    if is_later(*slot & ID) {
                        *slot = new;
                    }
                    return true;
                }
            }
            if let Some(place) = places(bucket, |slot| slot == NONE).next() {
                bucket[place] = new;
                return false;
            }
            index += 1;
        }
    }

    /// Its buckets, to be looked up in.
    pub(super) fn into_buckets(self) -> Vec<Bucket> {
        self.buckets
    }
}

/// The buckets of a finished table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots<'a>(pub(super) &'a [Bucket]);

impl Slots<'_> {
    /// The id of the token with this hash that `is_equal` says is the right one.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_equal: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.0.len() - 1;
        let mut index = first(hash);
        loop {
            let bucket = &self.0[index & mask];
            for place in places(bucket, |slot| same_tag(slot, hash)) {
                let id = bucket[place] & ID;
                if is_equal(id) {
                    return Some(id);
                }
            }
            // Slots are taken in order.
            if bucket[BUCKET - 1] == NONE {
                return None;
            }
            index += 1;
        }
    }

    /// Whether every search in it ends, and at ids below `count`; asked of what was not built here.
    pub(super) fn is_sound(self, count: usize) -> bool {
        let ends = |bucket: &Bucket| bucket[BUCKET - 1] == NONE;
        // All slots, without a way out in the middle, so that a compiler uses vectors.
        let known = |all: bool, &slot: &u32| all & ((slot == NONE) | ((slot & ID) < count as u32));
        self.0.len().is_power_of_two()
            && self.0.iter().any(ends)
            && self.0.as_flattened().iter().fold(true, known)
    }
}

/// The places of the slots that are `wanted`, found without a branch a slot: which they are, nothing foretells.
#[inline]
fn places<F: Fn(u32) -> bool>(
    bucket: &[u32; BUCKET],
    wanted: F,
) -> impl Iterator<Item = usize> + use<F> {
    let mut places = 0u32;
    for (place, &slot) in bucket.iter().enumerate() {
        places |= u32::from(wanted(slot)) << place;
    }
    std::iter::from_fn(move || {
        let place = places.trailing_zeros() as usize;
        places &= places.wrapping_sub(1);
        (place < BUCKET).then_some(place)
    })
}

/// The bucket where the search begins, to be wrapped around the table.
#[inline]
fn first(hash: u64) -> usize {
    (hash >> 32) as usize
}

#[inline]
fn same_tag(slot: u32, hash: u64) -> bool {
    slot ^ (hash as u32 & TAG) <= ID
}

/// Two blocks as one number, of both halves of a product.
#[inline]
fn mix(first: u64, second: u64) -> u64 {
    let product = u128::from(first ^ SEEDS[0]) * u128::from(second ^ SEEDS[1]);
    (product >> 64) as u64 ^ product as u64
}

/// A piece of at most sixteen bytes, which most tokens and words are: in two numbers, with zeros above.
#[derive(Debug, Clone, Copy)]
pub(super) struct Short {
    blocks: [u64; 2],
    len: usize,
}

impl Short {
    /// The most bytes.
    pub(super) const MAX: usize = 16;

    /// The first `len` bytes of two blocks.
    #[inline]
    pub(super) fn new(blocks: [u64; 2], len: usize) -> Self {
        let [first, second] = blocks;
        let blocks = [
            first & low_bytes(len),
            second & low_bytes(len.saturating_sub(8)),
        ];
        Self { blocks, len }
    }

    pub(super) fn len(self) -> usize {
        self.len
    }

    /// Its bytes, and as many zeros: what starts at any of them can be read in whole blocks.
    pub(super) fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.blocks[0].to_le_bytes());
        bytes[8..16].copy_from_slice(&self.blocks[1].to_le_bytes());
        bytes
    }

    /// Whether it is what stands at `span` in a text, but for the first `skip` bytes there.
    #[inline]
    pub(super) fn is(self, text: &[u8], [start, end]: [u32; 2], skip: usize) -> bool {
        let from = start as usize + skip;
        self.len + skip == (end - start) as usize
            && read(text, from) & low_bytes(self.len) == self.blocks[0]
            && (self.len <= 8 || read(text, from + 8) & low_bytes(self.len - 8) == self.blocks[1])
    }

    #[inline]
    pub(super) fn hash(self) -> u64 {
        mix(self.blocks[0], self.blocks[1])
    }
}

/// A piece of a text, in bytes.
///
/// The text may go on where the piece ends: it is read in blocks, and what is past the end is masked out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'a> {
    text: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Key<'a> {
    /// The piece of `text` from `start` up to `end`.
    #[inline]
    pub(super) fn new(text: &'a [u8], start: usize, end: usize) -> Self {
        Self { text, start, end }
    }

    /// The number of its bytes.
    #[inline]
    pub(super) fn len(self) -> usize {
        self.end - self.start
    }

    /// Its first two bytes; zeros where it has none.
    #[inline]
    pub(super) fn first_two(self) -> [u8; 2] {
        let [first, second, ..] = self.block(0).to_le_bytes();
        [first, second]
    }

    /// Its first bytes, and what follows them in the text.
    #[inline]
    pub(super) fn blocks(self) -> [u64; 2] {
        [read(self.text, self.start), read(self.text, self.start + 8)]
    }

    /// Whether its first `len` bytes end between two characters of UTF-8.
    #[inline]
    pub(super) fn is_boundary(self, len: usize) -> bool {
        let at = self.start + len;
        at >= self.end || self.text[at] & 0xC0 != 0x80
    }

    /// Its first `len` bytes.
    pub(super) fn cut(self, len: usize) -> Self {
        Self {
            end: self.start + len,
            ..self
        }
    }

    /// What follows its first `len` bytes.
    #[inline]
    pub(super) fn skip(self, len: usize) -> Self {
        Self {
            start: self.start + len,
            ..self
        }
    }

    /// Whether it is what stands at `span` in another text, but for the first `skip` bytes there.
    pub(super) fn is(self, text: &[u8], [start, end]: [u32; 2], skip: usize) -> bool {
        let other = Key::new(text, start as usize + skip, end as usize);
        self.len() + skip == (end - start) as usize
            && (0..self.len())
                .step_by(8)
                .all(|at| self.block(at) == other.block(at))
    }

    /// Sixteen bytes at a time, so that most tokens take no branch; that of [`Short`] for what is short.
    #[inline]
    pub(super) fn hash(self) -> u64 {
        let mut hash = mix(self.block(0), self.block(8));
        let mut at = 16;
        while at < self.len() {
            hash = mix(hash ^ self.block(at), self.block(at + 8));
            at += 16;
        }
        hash
    }

    /// The eight bytes from `at` on as a number; zeros stand for bytes past the end.
    #[inline]
    fn block(self, at: usize) -> u64 {
        let from = self.start + at;
        read(self.text, from) & low_bytes(self.end.saturating_sub(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_hashes_the_same_in_whatever_form_and_place() {
        let text = "a word of fifty bytes, give or take one or two ones".as_bytes();
        for start in 0..8 {
            for end in start + 1..=text.len() {
                let key = Key::new(text, start, end);
                let alone = Key::new(&text[start..end], 0, end - start);
                assert_eq!(key.hash(), alone.hash());
                assert!(key.is(text, [start as u32, end as u32], 0));
                assert!(!key.is(text, [start as u32 + 1, end as u32 + 1], 0));
                if key.len() <= Short::MAX {
                    let short = Short::new(key.blocks(), key.len());
                    assert_eq!(short.hash(), key.hash());
                    assert_eq!(short.bytes()[..key.len()], text[start..end]);
                    assert!(short.is(text, [0, end as u32], start));
                    assert!(!short.is(text, [0, end as u32 + 1], start));
                }
            }
        }
    }
}
