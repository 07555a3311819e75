//! Span of each id's token in a text that concatenates the tokens in the order of their ids.

use crate::weights::PodBuf;

/// Start and end of a token, in bytes.
pub(in crate::tokenizer) type Span = [u32; 2];

/// Base-2 logarithm of the maximum number of ids that share a 32-bit start: 256 tokens of BERT take 3 KB.
const MOST_SHARED: u32 = 8;
/// Maximum length of a token, and of the text before it in its run of ids.
pub(super) const MOST_BYTES: u32 = u16::MAX as u32;

/// Little-endian 16-bit integer as bytes, so that it can be read in place on every machine.
pub(super) type TwoBytes = [u8; 2];

/// Position of a token in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// Starts of tokens: the lower 16 bits of each, and all 32 bits once per run of ids.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// Lower 16 bits of each token's start, followed by those of the last token's end.
    pub(super) starts: PodBuf<TwoBytes>,
    /// Start of the first token of each run of ids.
    pub(super) runs: PodBuf<u32>,
    /// Base-2 logarithm of the number of ids per run.
    shared: u32,
}

/// Borrowed spans, prepared for many look-ups.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlacesRef<'a> {
    starts: &'a [TwoBytes],
    runs: &'a [u32],
    shared: u32,
}

impl Places {
    /// Builds the spans of tokens of these lengths. No length may exceed [`MOST_BYTES`], and the sum must fit into 32
    /// bits.
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
        // A run of one token always fits.
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

    /// Reads spans from a file, for a text of `len` bytes; `None` if there are no tokens or one lies outside of the
    /// text.
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
        // Visits all without an early exit, so that the compiler vectorises the loop.
        let last = (0..count).map(|id| end(by_id.of(id))).fold(0, u64::max);
        (last <= u64::from(len)).then_some(places)
    }

    /// One more than the highest id.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Span of an id's token; empty for an id without a token, `None` past the last id.
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
    /// Position of the token of an existing id.
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

    /// Lengths that fit into runs of every size.
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
