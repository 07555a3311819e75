//! Ids by the bytes of their tokens: a hash table with open addressing.

/// No id: an empty slot.
const NONE: u32 = u32::MAX;
/// The bits of a slot that are an id; the others are bits of the hash, which tell most other tokens apart.
const ID: u32 = (1 << 24) - 1;

/// Ids in a power of two of slots, at most two thirds of them full. On a collision the next free slot is taken.
#[derive(Debug, Clone)]
pub(super) struct Table {
    slots: Vec<u32>,
}

impl Table {
    /// For so many tokens.
    pub(super) fn new(tokens: usize) -> Self {
        Self {
            slots: vec![NONE; (tokens + tokens / 2 + 2).next_power_of_two()],
        }
    }

    /// Puts an id in by its token, and says whether there was an equal one; then the later one stays.
    pub(super) fn insert(
        &mut self,
        key: Key<'_>,
        id: u32,
        is_later: impl Fn(u32) -> bool,
        is_equal: impl Fn(u32) -> bool,
    ) -> bool {
        let hash = key.hash();
        let mask = self.slots.len() - 1;
        let mut slot = self.first(hash);
        loop {
            let taken = &mut self.slots[slot & mask];
            let same = same_tag(*taken, hash) && *taken != NONE && is_equal(*taken & ID);
            if *taken == NONE || same {
                if !same || is_later(*taken & ID) {
                    *taken = (hash as u32 & !ID) | id;
                }
                return same;
            }
            slot += 1;
        }
    }

    /// The id whose token this is, as `is_equal` finds.
    #[inline]
    pub(super) fn find(&self, key: Key<'_>, is_equal: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = key.hash();
        let mask = self.slots.len() - 1;
        let mut slot = self.first(hash);
        loop {
            let taken = self.slots[slot & mask];
            if taken == NONE {
                return None;
            }
            if same_tag(taken, hash) && is_equal(taken & ID) {
                return Some(taken & ID);
            }
            slot += 1;
        }
    }

    /// The slot where the search begins.
    fn first(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.slots.len() - 1)
    }
}

fn same_tag(slot: u32, hash: u64) -> bool {
    (slot ^ hash as u32) <= ID
}

/// A piece of a text, in bytes.
///
/// The text goes on where the piece ends: then eight bytes are read at once, and those past the end are masked out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'a> {
    text: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Key<'a> {
    /// The piece of `text` from `start` up to `end`, or up to the text's end.
    #[inline]
    pub(super) fn new(text: &'a [u8], start: usize, end: usize) -> Self {
        Self { text, start, end }
    }

    /// Its bytes.
    pub(super) fn len(self) -> usize {
        self.end - self.start
    }

    /// Its first `len` bytes, unless that cuts a character of UTF-8.
    #[inline]
    pub(super) fn cut(self, len: usize) -> Option<Self> {
        let end = self.start + len;
        let inside = end < self.end && self.text[end] & 0xC0 == 0x80;
        (!inside).then_some(Self { end, ..self })
    }

    /// What follows its first `len` bytes.
    pub(super) fn skip(self, len: usize) -> Self {
        Self {
            start: self.start + len,
            ..self
        }
    }

    /// Whether it is what stands at `span` in another text, but for the first `skip` bytes there.
    #[inline]
    pub(super) fn is(self, text: &[u8], [start, end]: [u32; 2], skip: usize) -> bool {
        let other = Key::new(text, start as usize + skip, end as usize);
        if self.len() + skip != (end - start) as usize {
            return false;
        }
        (0..self.len())
            .step_by(8)
            .all(|at| self.block(at) == other.block(at))
    }

    /// A block of eight bytes after the other, each mixed in by both halves of a product.
    #[inline]
    fn hash(self) -> u64 {
        let mut hash = 0x9E37_79B9_7F4A_7C15;
        let mut at = 0;
        loop {
            let product = u128::from(hash ^ self.block(at)) * 0xD6E8_FEB8_6659_FD93;
            hash = (product >> 64) as u64 ^ product as u64;
            at += 8;
            if at >= self.len() {
                return hash;
            }
        }
    }

    /// The eight bytes from `at` on as a number; zeros stand for bytes past the end.
    #[inline]
    fn block(self, at: usize) -> u64 {
        let from = self.start + at;
        let len = self.end.saturating_sub(from);
        let block = read(self.text, from);
        match len {
            8.. => block,
            _ => block & !(u64::MAX << (8 * len)),
        }
    }
}

/// Eight bytes of a text as a number; zeros stand for bytes past its end.
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
