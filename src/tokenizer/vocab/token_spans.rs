//! Span of each id's token in a text that concatenates the tokens in the order of their ids.

use crate::weights::PodBuf;

/// Start and end of a token, in bytes.
pub(in crate::tokenizer) type ByteSpan = [u32; 2];

/// Base-2 logarithm of the maximum number of ids that share a 32-bit start: 256 tokens of BERT take 3 KB.
const MAX_RUN_LOG2: u32 = 8;
/// Maximum length of a token, and of the text before it in its run of ids.
pub(super) const MAX_RUN_BYTES: u32 = u16::MAX as u32;

/// Little-endian 16-bit integer as bytes, so that it can be read in place on every machine.
pub(super) type TwoBytes = [u8; 2];

/// Position of a token in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenSpan {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// Starts of tokens: the lower 16 bits of each, and all 32 bits once per run of ids.
#[derive(Debug, Clone)]
pub(super) struct TokenSpans {
    /// Lower 16 bits of each token's start, followed by those of the last token's end.
    pub(super) starts: PodBuf<TwoBytes>,
    /// Start of the first token of each run of ids.
    pub(super) run_starts: PodBuf<u32>,
    /// Base-2 logarithm of the number of ids per run.
    run_log2: u32,
}

/// Borrowed spans, prepared for many look-ups.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenSpansRef<'a> {
    starts: &'a [TwoBytes],
    run_starts: &'a [u32],
    run_log2: u32,
}

impl TokenSpans {
    /// Builds the spans of tokens of these lengths. No length may exceed [`MAX_RUN_BYTES`], and the sum must fit into 32
    /// bits.
    pub(super) fn of(lens: impl Iterator<Item = u32>) -> Self {
        let mut end = 0;
        let mut starts = vec![0];
        starts.extend(lens.map(|len| {
            end += len;
            end
        }));
        let fits = |run_log2: &u32| {
            let mut runs = starts.chunks(1 << run_log2);
            runs.all(|run| run[run.len() - 1] - run[0] <= MAX_RUN_BYTES)
        };
        // A run of one token always fits.
        let run_log2 = (0..=MAX_RUN_LOG2).rev().find(fits).unwrap_or_default();
        let run_starts: Vec<u32> = starts.iter().copied().step_by(1 << run_log2).collect();
        let lower = |start: u32| (start as u16).to_le_bytes();
        let starts: Vec<TwoBytes> = starts.into_iter().map(lower).collect();
        Self {
            starts: starts.into(),
            run_starts: run_starts.into(),
            run_log2,
        }
    }

    /// Reads spans from a file, for a text of `len` bytes; `None` if there are no tokens or one lies outside of the
    /// text.
    pub(super) fn stored(
        starts: PodBuf<TwoBytes>,
        run_starts: PodBuf<u32>,
        len: usize,
    ) -> Option<Self> {
        let count = u32::try_from(starts.len()).ok()?.checked_sub(1)?;
        let len = u32::try_from(len).ok()?;
        let fits = |run_log2: &u32| starts.len().div_ceil(1 << run_log2) == run_starts.len();
        let run_log2 = (0..=MAX_RUN_LOG2).rev().find(fits)?;
        let token_spans = Self {
            starts,
            run_starts,
            run_log2,
        };
        let by_id = token_spans.by_id();
        let end = |TokenSpan { start, len }| u64::from(start) + u64::from(len);
        // Visits all without an early exit, so that the compiler vectorises the loop.
        let last = (0..count).map(|id| end(by_id.of(id))).fold(0, u64::max);
        (last <= u64::from(len)).then_some(token_spans)
    }

    /// One more than the highest id.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Span of an id's token; empty for an id without a token, `None` past the last id.
    pub(super) fn get(&self, id: u32) -> Option<ByteSpan> {
        ((id as usize) < self.len()).then(|| {
            let TokenSpan { start, len } = self.by_id().of(id);
            [start, start + len]
        })
    }

    pub(super) fn by_id(&self) -> TokenSpansRef<'_> {
        TokenSpansRef {
            starts: &self.starts,
            run_starts: &self.run_starts,
            run_log2: self.run_log2,
        }
    }
}

impl TokenSpansRef<'_> {
    /// Position of the token of an existing id.
    #[inline]
    pub(super) fn of(self, id: u32) -> TokenSpan {
        let index = id as usize;
        let end = u16::from_le_bytes(self.starts[index + 1]);
        let start = u16::from_le_bytes(self.starts[index]);
        let run = self.run_starts[index >> self.run_log2];
        let from_run = start.wrapping_sub(run as u16);
        TokenSpan {
            start: run.wrapping_add(u32::from(from_run)),
            len: u32::from(end.wrapping_sub(start)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(token_spans: &TokenSpans) -> Vec<ByteSpan> {
        (0..token_spans.len() as u32)
            .map(|id| token_spans.get(id).unwrap())
            .collect()
    }

    /// Lengths that fit into runs of every size.
    #[test]
    fn tokens_lie_one_behind_the_other() {
        for (longest, min_runs) in [(10, 3), (300, 3), (1000, 5), (65_535, 300)] {
            let lens: Vec<u32> = (0..600).map(|id| id * 7919 % (longest + 1)).collect();
            let token_spans = TokenSpans::of(lens.iter().copied());
            assert!(
                token_spans.run_starts.len() >= min_runs,
                "{longest}: {}",
                token_spans.run_starts.len()
            );
            let mut at = 0;
            for (span, len) in spans(&token_spans).into_iter().zip(lens) {
                assert_eq!(span, [at, at + len]);
                at += len;
            }
            assert_eq!((token_spans.len(), token_spans.get(600)), (600, None));
            let stored = |len| {
                TokenSpans::stored(
                    token_spans.starts.clone(),
                    token_spans.run_starts.clone(),
                    len as usize,
                )
            };
            assert_eq!(spans(&stored(at).unwrap()), spans(&token_spans));
            assert!(stored(at - 1).is_none());
        }
    }

    #[test]
    fn what_leads_outside_is_refused() {
        let stored = |starts: &[u16], run_starts: &[u32], len| {
            let starts: Vec<TwoBytes> = starts.iter().map(|start| start.to_le_bytes()).collect();
            TokenSpans::stored(starts.into(), run_starts.to_vec().into(), len)
        };
        let token_spans = TokenSpans::of([3, 0, 5].into_iter());
        let again = stored(&[0, 3, 3, 8], &[0], 8).unwrap();
        assert_eq!(spans(&again), spans(&token_spans));
        for (starts, run_starts) in [
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
            assert!(
                stored(starts, run_starts, 8).is_none(),
                "{starts:?} {run_starts:?}"
            );
        }
    }
}
