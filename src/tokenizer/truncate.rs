//! Truncation of long texts, and the windows that they are split into.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::names::named;

/// Length limit of a text or pair, and how it is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncation {
    /// Maximum number of tokens, special tokens included.
    pub max_length: usize,
    /// Text of a pair that is cut.
    pub strategy: TruncationStrategy,
    /// Number of tokens that a window shares with the window before it.
    pub stride: usize,
}

/// Rule that chooses the text of a pair to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TruncationStrategy {
    /// Cuts the longer text until the pair fits or both are equally long, then both.
    #[default]
    LongestFirst,
    /// Cuts the first text.
    OnlyFirst,
    /// Cuts the second text.
    OnlySecond,
}

named!(
    TruncationStrategy,
    "strategy",
    LongestFirst => "longest-first",
    OnlyFirst => "only-first",
    OnlySecond => "only-second",
);

/// End of a text that truncation removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
pub(super) enum TruncationSide {
    /// Removes the end; the first tokens remain.
    #[default]
    Right,
    /// Removes the start; the last tokens remain.
    Left,
}

impl TruncationSide {
    /// Indices of the tokens that remain, for a text of `len` tokens of which `kept` remain.
    pub(super) fn range(self, len: usize, kept: usize) -> Range<usize> {
        match self {
            Self::Right => 0..kept,
            Self::Left => len - kept..len,
        }
    }
}

impl Truncation {
    /// Limits inputs to `max_length` tokens, with the strategy [`LongestFirst`](TruncationStrategy::LongestFirst) and a
    /// stride of 0.
    pub fn to(max_length: usize) -> Self {
        Self {
            max_length,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        }
    }

    /// Number of tokens that are kept of each text, for texts of these lengths with `specials` special tokens.
    pub(super) fn lengths(
        &self,
        first: usize,
        second: Option<usize>,
        specials: usize,
    ) -> Result<(usize, usize)> {
        let wrong = |reason: String| Error::Option {
            name: "max_length",
            reason,
        };
        let Some(room) = self.max_length.checked_sub(specials) else {
            return Err(wrong(format!(
                "{} tokens have no room for {specials} special ones",
                self.max_length
            )));
        };
        if room == 0 {
            return Ok((0, 0)); // whatever the strategy, as in the reference
        }
        let other = second.unwrap_or(0);
        let surplus = (first + other).saturating_sub(room);
        if surplus == 0 {
            return Ok((first, other));
        }
        match (self.strategy, second) {
            (TruncationStrategy::LongestFirst, None) | (TruncationStrategy::OnlyFirst, _) => {
                match first.checked_sub(surplus) {
                    Some(rest) if rest > 0 || second.is_none() => Ok((rest, other)),
                    _ => Err(wrong(format!(
                        "{} tokens have no room for the second text, which alone has {other}",
                        self.max_length
                    ))),
                }
            }
            (TruncationStrategy::OnlySecond, Some(_)) => match other.checked_sub(surplus) {
                Some(rest) if rest > 0 => Ok((first, rest)),
                _ => Err(wrong(format!(
                    "{} tokens have no room for the first text, which alone has {first}",
                    self.max_length
                ))),
            },
            (TruncationStrategy::OnlySecond, None) => Err(Error::input(
                "only the second text may be cut, but there is one text",
            )),
            (TruncationStrategy::LongestFirst, Some(_)) => Ok(share(first, other, room)),
        }
    }
}

impl Truncation {
    /// Refuses a stride longer than a window, even if no second window is needed.
    pub(super) fn check_stride(&self, specials: usize) -> Result<()> {
        let room = self.max_length.saturating_sub(specials);
        if self.stride <= room {
            return Ok(());
        }
        Err(Error::Option {
            name: "stride",
            reason: format!("{} tokens shared of {room} leave no progress", self.stride),
        })
    }
}

/// Divides the room between two texts that do not fit. The shorter text is kept whole if it takes less than half.
fn share(first: usize, second: usize, room: usize) -> (usize, usize) {
    let (short, swapped) = if first > second {
        (second, true)
    } else {
        (first, false)
    };
    let mut short = short;
    let mut long = if short > room {
        short
    } else {
        short.max(room - short)
    };
    if short + long > room {
        short = room / 2;
        long = short + room % 2;
    }
    if swapped {
        (long, short)
    } else {
        (short, long)
    }
}

/// Windows of a text of `len` tokens: each has at most `size` tokens and shares `stride` of them with the window before.
///
/// The first window is the one that remains when the text is truncated on this side.
pub(super) fn windows(
    len: usize,
    size: usize,
    stride: usize,
    side: TruncationSide,
) -> Result<Vec<Range<usize>>> {
    let mut windows = windows_from_start(len, size, stride)?;
    if side == TruncationSide::Left {
        for window in &mut windows {
            *window = len - window.end..len - window.start;
        }
    }
    Ok(windows)
}

/// Windows from the start of a text to its end.
fn windows_from_start(len: usize, size: usize, stride: usize) -> Result<Vec<Range<usize>>> {
    if len <= size {
        return Ok(std::iter::once(0..len).collect());
    }
    if size == 0 {
        // No token is kept; all that is cut off is one window.
        return Ok(vec![0..0, 0..len]);
    }
    if stride >= size {
        return Err(Error::Option {
            name: "stride",
            reason: format!("{stride} tokens shared of {size} leave no progress"),
        });
    }
    let mut windows = Vec::new();
    for start in (0..len).step_by(size - stride) {
        let end = len.min(start + size);
        windows.push(start..end);
        if end == len {
            break;
        }
    }
    Ok(windows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(
        strategy: TruncationStrategy,
        first: usize,
        second: usize,
    ) -> Result<(usize, usize)> {
        let truncation = Truncation {
            max_length: 13,
            strategy,
            stride: 0,
        };
        truncation.lengths(first, Some(second), 3)
    }

    #[test]
    fn longest_first() {
        let lengths =
            |first, second| lengths(TruncationStrategy::LongestFirst, first, second).unwrap();
        assert_eq!(lengths(4, 6), (4, 6));
        assert_eq!(lengths(3, 20), (3, 7));
        assert_eq!(lengths(20, 3), (7, 3));
        assert_eq!(lengths(20, 20), (5, 5));
        let odd = Truncation::to(14).lengths(20, Some(20), 3).unwrap();
        assert_eq!(odd, (5, 6));
    }

    #[test]
    fn one_of_two() {
        assert_eq!(
            lengths(TruncationStrategy::OnlyFirst, 20, 4).unwrap(),
            (6, 4)
        );
        assert_eq!(
            lengths(TruncationStrategy::OnlySecond, 4, 20).unwrap(),
            (4, 6)
        );
        for strategy in [
            TruncationStrategy::OnlyFirst,
            TruncationStrategy::OnlySecond,
        ] {
            assert!(matches!(
                lengths(strategy, 20, 20),
                Err(Error::Option { .. })
            ));
        }
    }

    #[test]
    fn windows_overlap_by_the_stride_and_cover_all() {
        let windows = |len, size, stride| windows(len, size, stride, TruncationSide::Right);
        assert_eq!(windows(10, 4, 1).unwrap(), [0..4, 3..7, 6..10]);
        assert_eq!(
            windows(4, 4, 1).unwrap().as_slice(),
            std::slice::from_ref(&(0..4))
        );
        assert_eq!(windows(5, 4, 3).unwrap(), [0..4, 1..5]);
        assert!(windows(5, 4, 4).is_err());
        let stride = |stride| Truncation {
            stride,
            ..Truncation::to(6)
        };
        assert!(stride(4).check_stride(2).is_ok() && stride(5).check_stride(2).is_err());
        let from_end = super::windows(9, 4, 1, TruncationSide::Left).unwrap();
        assert_eq!(from_end, [5..9, 2..6, 0..3]);
    }
}
