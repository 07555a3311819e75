//! Early end of a pass: the caller cancels it, or its deadline passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Instant;

/// Reason why a pass ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// The caller has cancelled the call.
    Cancelled,
    /// The deadline of the call has passed.
    DeadlineExceeded,
}

/// Signal that a pass looks at between its steps. The default is never raised.
///
/// Once it was seen to be raised it stays so, whatever the caller does with the flag: steps that saw it have left their
/// work undone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Option<Arc<Signal>>);

#[derive(Debug)]
struct Signal {
    cancelled: Option<Arc<AtomicBool>>,
    deadline: Option<Instant>,
    /// [`NOT_RAISED`], or the interruption that was seen first.
    seen: AtomicU8,
}

const NOT_RAISED: u8 = 0;
const CANCELLED: u8 = 1;
const DEADLINE_EXCEEDED: u8 = 2;

impl Interrupt {
    /// Creates a signal that is raised once `cancelled` is true or `deadline` has passed.
    pub(crate) fn new(cancelled: Option<Arc<AtomicBool>>, deadline: Option<Instant>) -> Self {
        if cancelled.is_none() && deadline.is_none() {
            return Self(None);
        }
        Self(Some(Arc::new(Signal {
            cancelled,
            deadline,
            seen: AtomicU8::new(NOT_RAISED),
        })))
    }

    /// Returns the reason to end the pass, if there is one.
    pub(crate) fn raised(&self) -> Option<Interruption> {
        let signal = self.0.as_deref()?;
        if signal.seen.load(Ordering::Relaxed) == NOT_RAISED {
            let flag = signal.cancelled.as_ref();
            let now = if flag.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
                CANCELLED
            } else if signal.deadline.is_some_and(|end| Instant::now() >= end) {
                DEADLINE_EXCEEDED
            } else {
                return None;
            };
            // Another thread may have seen the other reason in between. All threads must agree.
            let _ =
                signal
                    .seen
                    .compare_exchange(NOT_RAISED, now, Ordering::Relaxed, Ordering::Relaxed);
        }
        match signal.seen.load(Ordering::Relaxed) {
            CANCELLED => Some(Interruption::Cancelled),
            _ => Some(Interruption::DeadlineExceeded),
        }
    }

    /// Returns whether the pass shall end.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_without_reasons_is_never_raised() {
        assert_eq!(Interrupt::default().raised(), None);
        assert_eq!(Interrupt::new(None, None).raised(), None);
    }

    #[test]
    fn a_raised_signal_stays_raised() {
        let flag = Arc::new(AtomicBool::new(false));
        let signal = Interrupt::new(Some(Arc::clone(&flag)), None);
        assert_eq!(signal.raised(), None);
        flag.store(true, Ordering::Relaxed);
        assert_eq!(signal.clone().raised(), Some(Interruption::Cancelled));
        flag.store(false, Ordering::Relaxed);
        assert_eq!(signal.raised(), Some(Interruption::Cancelled));
    }

    #[test]
    fn a_deadline_passes() {
        let past = Interrupt::new(None, Some(Instant::now()));
        assert_eq!(past.raised(), Some(Interruption::DeadlineExceeded));
        let far = Instant::now() + std::time::Duration::from_secs(3600);
        assert_eq!(Interrupt::new(None, Some(far)).raised(), None);
    }
}
