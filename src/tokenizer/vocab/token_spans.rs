//! Where each id's token stands in a text that holds the tokens one behind the other, in the order of their ids.

use crate::weights::PodBuf;

/// Where a token starts and ends.
pub(in crate::tokenizer) type Span = [u32; 2];

/// The most ids, as a power of two, that share a whole number: 256 tokens of BERT take 3 KB.
const MOST_SHARED: u32 = 8;
/// The most bytes of a token, and of what lies ahead of one in its run of ids.
pub(super) const MOST_BYTES: u32 = u16::MAX as u32;

/// A number below 65,536, the lower byte first: so it is read where it lies on every machine.
pub(super) type TwoBytes = [u8; 2];

/// Where a token stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// Starts of tokens, in two bytes each.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The lower half of each start; one more is that of where the last token ends.
    pub(super) starts: PodBuf<TwoBytes>,
    /// Where the first token of each run of ids starts.
    pub(super) runs: PodBuf<u32>,
    /// How many ids make a run, as a power of two.
    shared: u32,
}

/// The same, found once for many look-ups.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlacesRef<'a> {
    starts: &'a [TwoBytes],
    runs: &'a [u32],
    shared: u32,
}

impl Places {
    /// Of tokens of these lengths, none above [`MOST_BYTES`], as long together as fits into 32 bits.
    pub(super) fn of(lens: impl Iterator<Item = u32>) -> Self {
        let mut end = 0;
        let mut starts = vec![0];
        starts.extend(lens.map(|len| {
            end += len;
            end
        }));
        let fits = |shared: &u32| {
            let mut runs = starts.chunks(1 << shared);
            runs.all(|run| run[run.len() - 1] - run[0] <= MOST_BYTES)
        };
        // A run of one token fits always.
        let shared = (0..=MOST_SHARED).rev().find(fits).unwrap_or_default();
        let runs: Vec<u32> = starts.iter().copied().step_by(1 << shared).collect();
        let lower = |start: u32| (start as u16).to_le_bytes();
        let starts: Vec<TwoBytes> = starts.into_iter().map(lower).collect();
        Self {
            starts: starts.into(),
            runs: runs.into(),
            shared,
        }
    }

    /// Of what a file holds, of a text of `len` bytes; `None` if a token would be outside of it, or there are none.
    pub(super) fn stored(starts: PodBuf<TwoBytes>, runs: PodBuf<u32>, len: usize) -> Option<Self> {
        let count = u32::try_from(starts.len()).ok()?.checked_sub(1)?;
        let len = u32::try_from(len).ok()?;
        let shared = |shared: &u32| starts.len().div_ceil(1 << shared) == runs.len();
        let shared = (0..=MOST_SHARED).rev().find(shared)?;
        let places = Self {
            starts,
            runs,
            shared,
        };
        let by_id = places.by_id();
        let end = |Place { start, len }| u64::from(start) + u64::from(len);
        // Of all of them, without a way out in the middle, so that a compiler uses vectors.
        let last = (0..count).map(|id| end(by_id.of(id))).fold(0, u64::max);
        (last <= u64::from(len)).then_some(places)
    }

    /// One more than the highest id.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The place of an id's token; where there is none, it takes no bytes.
    pub(super) fn get(&self, id: u32) -> Option<Span> {
        ((id as usize) < self.len()).then(|| {
            let Place { start, len } = self.by_id().of(id);
            [start, start + len]
        })
    }

    pub(super) fn by_id(&self) -> PlacesRef<'_> {
        PlacesRef {
            starts: &self.starts,
            runs: &self.runs,
            shared: self.shared,
        }
    }
}

impl PlacesRef<'_> {
    /// The place of the token of an id that there is.
    #[inline]
    pub(super) fn of(self, id: u32) -> Place {
        let index = id as usize;
        let end = u16::from_le_bytes(self.starts[index + 1]);
        let start = u16::from_le_bytes(self.starts[index]);
        let run = self.runs[index >> self.shared];
        let from_run = start.wrapping_sub(run as u16);
        Place {
            start: run.wrapping_add(u32::from(from_run)),
            len: u32::from(end.wrapping_sub(start)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(places: &Places) -> Vec<Span> {
        (0..places.len() as u32)
            .map(|id| places.get(id).unwrap())
            .collect()
    }

    /// Of lengths that fit into runs of every size.
    #[test]
    fn tokens_lie_one_behind_the_other() {
        for (longest, runs) in [(10, 3), (300, 3), (1000, 5), (65_535, 300)] {
            let lens: Vec<u32> = (0..600).map(|id| id * 7919 % (longest + 1)).collect();
            let places = Places::of(lens.iter().copied());
            assert!(
                places.runs.len() >= runs,
                "{longest}: {}",
                places.runs.len()
            );
            let mut at = 0;
            for (span, len) in spans(&places).into_iter().zip(lens) {
                assert_eq!(span, [at, at + len]);
                at += len;
            }
            assert_eq!((places.len(), places.get(600)), (600, None));
            let stored =
                |len| Places::stored(places.starts.clone(), places.runs.clone(), len as usize);
            assert_eq!(spans(&stored(at).unwrap()), spans(&places));
            assert!(stored(at - 1).is_none());
        }
    }

    #[test]
    fn what_leads_outside_is_refused() {
        let stored = |starts: &[u16], runs: &[u32], len| {
            let starts: Vec<TwoBytes> = starts.iter().map(|start| start.to_le_bytes()).collect();
            Places::stored(starts.into(), runs.to_vec().into(), len)
        };
        let places = Places::of([3, 0, 5].into_iter());
        let again = stored(&[0, 3, 3, 8], &[0], 8).unwrap();
        assert_eq!(spans(&again), spans(&places));
        for (starts, runs) in [
            (&[0, 3, 3, 9][..], &[0][..]),
            (&[0, 3, 2, 8], &[0]),
            (&[1, 3, 3, 8], &[2]),
            (&[0, 3, 3, 8], &[0xFFFF_0000]),
            (&[0, 3, 3, 8], &[0, 4]),
            // One run too few, and one too many.
            (&[0, 3, 3, 8], &[]),
            (&[0, 3, 3, 8], &[0, 0, 3]),
            (&[], &[]),
        ] {
            assert!(stored(starts, runs, 8).is_none(), "{starts:?} {runs:?}");
        }
    }
}
