//! One range of memory for all weights of a model, in huge pages where the system has them.
//!
//! A cold start pays for memory by the page: the 42 MB of all-MiniLM-L6-v2 are 10,500 page faults of 4 KB, but 21 of 2
//! MB. On an EPYC of 2024 (a virtual machine, Linux 6.18) the faults alone took 19 ms against 1.5 ms, and returning the
//! pages took 3 ms against 0.15 ms. Each pass also needs 500 times fewer entries of the processor's address cache
//! (TLB). With small pages a pass takes 15 % longer at 8 tokens and 10 % at 32, where reading weights is most of the
//! work.
//!
//! Linux gives huge pages to a range that requests them ("madvise", the default of most distributions), where the range
//! covers whole aligned huge pages. The sizes of layers are not multiples of 2 MB, so a separate range for each would
//! waste half a huge page on average. That is why all layers share one range. It is as long as the weights. Address
//! space that no weight needs is never touched, so at most a part of the last page is wasted.
//!
//! Where the system refuses huge pages, the range works with small ones. Where it cannot map such a range, or the range
//! is full, each buffer is allocated separately.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use memmap2::MmapMut;

use super::aligned::AlignedFloats;
use crate::kernels::threads::lock;

/// Bytes of a huge page of x86-64, and of AArch64 with pages of 4 KB.
const HUGE_PAGE: usize = 2 << 20;
/// Floats of a cache line. Every buffer starts at a cache line.
const LINE_LEN: usize = 16;

/// Allocator of weight buffers, from one range of memory while that has room.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    /// The range; `None` if each buffer is allocated separately.
    region: Option<Arc<Region>>,
    /// Floats of the region that have been allocated.
    used: Mutex<usize>,
}

/// Zeroed memory, owned by the slices that are allocated from it.
#[derive(Debug)]
struct Region {
    /// First float: at the start of a huge page, inside the map.
    start: NonNull<f32>,
    /// Number of floats from `start` on.
    len: usize,
    /// The map that owns the memory.
    _map: MmapMut,
}

// SAFETY: a region only owns memory. `WeightBuf` alone reads and writes it, each through an `ArenaSlice` of its own.
#[allow(unsafe_code, reason = "a raw pointer is not Send by itself")]
unsafe impl Send for Region {}
// SAFETY: a shared region gives no access to its memory either.
#[allow(unsafe_code, reason = "a raw pointer is not Sync by itself")]
unsafe impl Sync for Region {}

impl Arena {
    /// Creates an arena with one range for `floats` floats. There is no range if they take less than a huge page, or if
    /// the system does not give it.
    pub(crate) fn new(floats: usize) -> Self {
        let region = match floats.checked_mul(size_of::<f32>()) {
            Some(bytes) if bytes >= HUGE_PAGE => Region::new(bytes).map(Arc::new),
            _ => None,
        };
        Self {
            region,
            used: Mutex::default(),
        }
    }

    /// Allocates `len` zeros at the start of a cache line.
    pub(crate) fn zeros(&self, len: usize) -> WeightBuf {
        let shared = self.region.as_ref().and_then(|region| {
            let mut used = lock(&self.used);
            let start = *used;
            let end = start.checked_add(len)?.checked_next_multiple_of(LINE_LEN)?;
            if end > region.len {
                return None;
            }
            *used = end;
            Some(ArenaSlice {
                region: Arc::clone(region),
                start,
                len,
            })
        });
        match shared {
            Some(slice) => WeightBuf::Arena(slice),
            None => WeightBuf::Owned(AlignedFloats::zeros(len)),
        }
    }
}

impl Region {
    /// Maps at least `bytes` bytes, in whole aligned huge pages; `None` if the system does not give that memory.
    fn new(bytes: usize) -> Option<Self> {
        let len = bytes.checked_next_multiple_of(HUGE_PAGE)?;
        // One huge page more, since older systems start a map at any small page.
        let mut map = MmapMut::map_anon(len.checked_add(HUGE_PAGE)?).ok()?;
        // Systems without huge pages refuse this. Then the pages are small, and nothing else changes.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let address = map.as_ptr() as usize;
        let skip = address.next_multiple_of(HUGE_PAGE) - address;
        let start = map.get_mut(skip..skip + len)?.as_mut_ptr();
        Some(Self {
            start: NonNull::new(start.cast())?,
            len: len / size_of::<f32>(),
            _map: map,
        })
    }
}

/// Buffer of packed weights.
#[derive(Debug)]
pub(crate) enum WeightBuf {
    /// Part of an arena's range.
    Arena(ArenaSlice),
    /// Separate memory, owned by the buffer.
    Owned(AlignedFloats),
    /// Memory of another owner, such as a file that is used in place. It is never written to.
    External(Box<dyn ExternalFloats>),
}

/// Owner of floats that do not change.
pub(crate) trait ExternalFloats:
    Deref<Target = [f32]> + Send + Sync + std::fmt::Debug
{
}

impl<T: Deref<Target = [f32]> + Send + Sync + std::fmt::Debug> ExternalFloats for T {}

/// Part of a region. No two slices overlap.
pub(crate) struct ArenaSlice {
    region: Arc<Region>,
    start: usize,
    len: usize,
}

impl Deref for WeightBuf {
    type Target = [f32];

    #[inline]
    fn deref(&self) -> &[f32] {
        match self {
            Self::Owned(floats) => floats,
            Self::External(owner) => owner,
            #[allow(unsafe_code, reason = "a region is memory without a slice")]
            // SAFETY: `zeros` has checked that start + len is inside the region, whose memory is initialised (anonymous
            // maps are zeros), aligned for f32, and kept alive by the slice's `Arc`. It has allocated these floats
            // once, and `ArenaSlice` is neither `Clone` nor made elsewhere, so `&self` excludes writers.
            Self::Arena(ArenaSlice { region, start, len }) => unsafe {
                std::slice::from_raw_parts(region.start.as_ptr().add(*start), *len)
            },
        }
    }
}

impl DerefMut for WeightBuf {
    fn deref_mut(&mut self) -> &mut [f32] {
        if let Self::External(owner) = self {
            // External floats are not written to: they are replaced by a copy.
            let mut copy = AlignedFloats::zeros(owner.len());
            copy.copy_from_slice(owner);
            *self = Self::Owned(copy);
        }
        match self {
            Self::Owned(floats) => floats,
            Self::External(_) => unreachable!("it was replaced by a copy"),
            #[allow(unsafe_code, reason = "a region is memory without a slice")]
            // SAFETY: the slice is inside the region, initialised, aligned and kept alive, as in `deref`. `&mut self`
            // is the only access to this slice, whose floats no other slice has.
            Self::Arena(ArenaSlice { region, start, len }) => unsafe {
                std::slice::from_raw_parts_mut(region.start.as_ptr().add(*start), *len)
            },
        }
    }
}

impl std::fmt::Debug for ArenaSlice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ArenaSlice({} + {})", self.start, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zeros_at_cache_lines_and_do_not_overlap() {
        let arena = Arena::new(1 << 20);
        let lens = [0, 1, 16, 17, 1000, 100_000];
        let mut buffers: Vec<WeightBuf> = lens.iter().map(|&len| arena.zeros(len)).collect();
        for (buffer, (index, len)) in buffers.iter_mut().zip(lens.into_iter().enumerate()) {
            assert!(matches!(buffer, WeightBuf::Arena(_)));
            assert_eq!((buffer.len(), buffer.as_ptr() as usize % 64), (len, 0));
            assert!(buffer.iter().all(|&x| x == 0.0));
            buffer.fill(index as f32);
        }
        drop(arena); // the slices keep the memory alive
        for (index, buffer) in buffers.iter().enumerate() {
            assert!(buffer.iter().all(|&x| x == index as f32));
        }
    }

    #[test]
    fn what_does_not_fit_is_allocated_separately() {
        let arena = Arena::new(HUGE_PAGE / 4);
        assert!(matches!(
            arena.zeros(HUGE_PAGE / 4 + 1),
            WeightBuf::Owned(_)
        ));
        assert!(matches!(arena.zeros(HUGE_PAGE / 4), WeightBuf::Arena(_)));
        assert!(matches!(arena.zeros(1), WeightBuf::Owned(_)));
        for small in [Arena::new(0), Arena::new(1000), Arena::new(usize::MAX)] {
            let floats = small.zeros(20);
            assert!(matches!(floats, WeightBuf::Owned(_)));
            assert_eq!(floats.len(), 20);
        }
    }
}
